package filter

import "sync"

// ID names a policy in an Index, such as a subscription's id.
type ID = [16]byte

// Index finds the policies that match a message. Each branch of a policy hangs
// on one of its terms, the one that seemed to let the fewest messages through
// when the policy was set; a message visits what hangs on its own values and
// asks each branch it finds for its other terms. So its cost follows the
// matches, but for policies that have nothing more selective than a
// low-cardinality value, anything-but or exists.
//
// It is safe for use by many goroutines: matches run beside each other, and
// wait for Set and Remove, which take microseconds.
type Index struct {
	mu      sync.RWMutex
	entries map[ID]*entry
	scopes  [2]struct {
		keys   map[string]*key
		absent map[string]*key // those of keys with something in absent
	}
	always list // branches without a term
}

// entry is one policy of an index and where it hangs.
type entry struct {
	id       ID
	policy   *Policy
	postings []posting
	first    [1]posting // of postings, near by: most have no other
}

// posting is one place where a branch of a policy hangs: on one condition of
// one of its terms.
type posting struct {
	entry           *entry
	branch          branch
	term, condition int32
	at              int32 // in its list
	exact           bool  // found means that the term matches
	alone           bool  // and there is no other term
}

// match asks the terms of which it is not known yet.
func (p *posting) match(fs fields) bool {
	for i := range p.branch {
		if (!p.exact || int32(i) != p.term) && !p.branch[i].match(fs) {
			return false
		}
	}
	return true
}

// NewIndex is an empty index.
func NewIndex() *Index {
	x := &Index{entries: map[ID]*entry{}}
	for s := range x.scopes {
		x.scopes[s].keys = map[string]*key{}
		x.scopes[s].absent = map[string]*key{}
	}
	return x
}

// Len is the number of policies.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.entries)
}

// Set adds a policy, or puts it in the place of the one that id had.
func (x *Index) Set(id ID, p *Policy) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	e := &entry{id: id, policy: p}
	e.postings = e.first[:0]
	x.entries[id] = e
	for _, b := range p.branches {
		e.hang(b, x.choose(p.scope, b))
	}
	for i := range e.postings {
		x.put(&e.postings[i])
	}
}

// Remove takes a policy out; it does nothing if there is none.
func (x *Index) Remove(id ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

func (x *Index) remove(id ID) {
	e := x.entries[id]
	if e == nil {
		return
	}
	delete(x.entries, id)
	for i := range e.postings {
		x.drop(&e.postings[i])
	}
}

// Match calls found once for each policy that takes the message, in no order,
// until it returns false. Set and Remove wait until Match is done, so found must
// not use the index.
func (x *Index) Match(m *Message, found func(ID) (more bool)) { x.match(m, found) }

// match tells how many branches it looked at.
func (x *Index) match(m *Message, found func(ID) bool) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := search{found: found}
	look := s.list
	look(x.always)
	for scope := range x.scopes {
		sc := &x.scopes[scope]
		if len(sc.keys) == 0 {
			continue
		}
		fs, ok := m.fields(Scope(scope))
		if !ok {
			continue
		}
		s.fields = fs
		for path, f := range fs {
			if k := sc.keys[path]; k != nil && !f.invalid {
				s.many = len(f.values) > 1
				k.visit(f, look)
			}
		}
		s.many = false
		for path, k := range sc.absent {
			if _, there := fs[path]; !there {
				look(k.absent)
			}
		}
	}
	return s.looked
}

// search is one Match under way.
type search struct {
	fields fields
	found  func(ID) bool
	ended  bool        // found wants no more
	many   bool        // the key under way has more than one value
	seen   map[ID]bool // of those that can be met more than once
	looked int
}

func (s *search) list(l list) {
	if s.ended {
		return
	}
	s.looked += len(l)
	for i := range l {
		h := &l[i]
		if s.seen[h.id] || !h.alone && !h.p.match(s.fields) {
			continue
		}
		if s.many || !h.once {
			if s.seen == nil {
				s.seen = map[ID]bool{}
			}
			s.seen[h.id] = true
		}
		if !s.found(h.id) {
			s.ended = true
			return
		}
	}
}

// choose is the term to hang a branch on, -1 if it has none.
func (x *Index) choose(scope Scope, b branch) int32 {
	if len(b) < 2 {
		return int32(len(b)) - 1
	}
	best, least := 0, int(^uint(0)>>1)
	for i := range b {
		k := x.scopes[scope].keys[b[i].path]
		sum := 0
		for _, c := range b[i].conditions {
			sum += k.crowd(c)
		}
		if sum < least {
			best, least = i, sum
		}
	}
	return int32(best)
}

// hang notes the postings of a branch: one for each condition of its term.
func (e *entry) hang(b branch, term int32) {
	if term < 0 {
		e.postings = append(e.postings, posting{entry: e, term: term, alone: true})
		return
	}
	for i, c := range b[term].conditions {
		exact := !isNot(c)
		e.postings = append(e.postings, posting{
			entry: e, branch: b, term: term, condition: int32(i), exact: exact, alone: exact && len(b) == 1,
		})
	}
}

// place is the key and condition a posting hangs on.
func (p *posting) place() (path string, c condition) {
	t := &p.branch[p.term]
	return t.path, t.conditions[p.condition]
}

func (x *Index) put(p *posting) {
	if p.term < 0 {
		x.always.add(p)
		return
	}
	sc := &x.scopes[p.entry.policy.scope]
	path, c := p.place()
	k := sc.keys[path]
	if k == nil {
		k = &key{}
		sc.keys[path] = k
	}
	k.put(c, p)
	if len(k.absent) > 0 {
		sc.absent[path] = k
	}
}

func (x *Index) drop(p *posting) {
	if p.term < 0 {
		x.always.remove(p)
		return
	}
	sc := &x.scopes[p.entry.policy.scope]
	path, c := p.place()
	k := sc.keys[path]
	k.drop(c, p)
	if len(k.absent) == 0 {
		delete(sc.absent, path)
	}
	if k.count == 0 {
		delete(sc.keys, path)
	}
}
