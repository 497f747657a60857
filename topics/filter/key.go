package filter

import (
	"net/netip"
	"strings"
)

// list is what hangs on the same condition.
type list []hit

// hit is a posting in a list, with what most matches need of it beside it.
type hit struct {
	id    ID
	p     *posting
	alone bool // the posting's
	once  bool // the policy has no other posting
}

func (l *list) add(p *posting) {
	p.at = int32(len(*l))
	*l = append(*l, hit{p.entry.id, p, p.alone, len(p.entry.postings) == 1})
}

func (l *list) remove(p *posting) {
	end := len(*l) - 1
	last := (*l)[end]
	(*l)[p.at], last.p.at = last, p.at
	(*l)[end] = hit{}
	if *l = (*l)[:end]; end == 0 {
		*l = nil
	}
}

// lists are lists by what they hang on.
type lists[K comparable] map[K]list

func (m *lists[K]) add(k K, p *posting) {
	if *m == nil {
		*m = lists[K]{}
	}
	l := (*m)[k]
	l.add(p)
	(*m)[k] = l
}

func (m lists[K]) remove(k K, p *posting) {
	l := m[k]
	if l.remove(p); len(l) == 0 {
		delete(m, k)
		return
	}
	m[k] = l
}

// key is what hangs on one key, by kind of condition.
type key struct {
	count    int // postings
	equal    lists[string]
	same     lists[value]
	fold     lists[string]
	prefix   sized[string]
	suffix   sized[string]
	networks sized[netip.Prefix]
	ranges   ranges
	present  list // anything-but, exists: true
	absent   list // exists: false
}

// isNot tells conditions of which a key knows only that they need a value.
func isNot(c condition) bool {
	switch c.(type) {
	case not, notPrefix:
		return true
	}
	return false
}

func (k *key) put(c condition, p *posting) {
	k.count++
	switch c := c.(type) {
	case equals:
		k.equal.add(string(c), p)
	case same:
		k.same.add(value(c), p)
	case fold:
		k.fold.add(string(c), p)
	case prefix:
		k.prefix.add(len(c), string(c), p)
	case suffix:
		k.suffix.add(len(c), string(c), p)
	case network:
		k.networks.add(netip.Prefix(c).Bits(), netip.Prefix(c), p)
	case between:
		k.ranges.add(c, p)
	case exists:
		if !c {
			k.absent.add(p)
			return
		}
		k.present.add(p)
	case not, notPrefix:
		k.present.add(p)
	}
}

func (k *key) drop(c condition, p *posting) {
	k.count--
	switch c := c.(type) {
	case equals:
		k.equal.remove(string(c), p)
	case same:
		k.same.remove(value(c), p)
	case fold:
		k.fold.remove(string(c), p)
	case prefix:
		k.prefix.remove(len(c), string(c), p)
	case suffix:
		k.suffix.remove(len(c), string(c), p)
	case network:
		k.networks.remove(netip.Prefix(c).Bits(), netip.Prefix(c), p)
	case between:
		k.ranges.remove(c, p)
	case exists:
		if !c {
			k.absent.remove(p)
			return
		}
		k.present.remove(p)
	case not, notPrefix:
		k.present.remove(p)
	}
}

// crowd guesses how many branches would be looked at in vain if one more hung
// on the condition: how many hang there, times how little the condition keeps
// out. A key without any is nil.
func (k *key) crowd(c condition) int {
	if k == nil {
		k = &key{}
	}
	switch c := c.(type) {
	case equals:
		return 1 + len(k.equal[string(c)])
	case same:
		return 1 + len(k.same[value(c)])
	case fold:
		return 1 + len(k.fold[string(c)])
	case prefix:
		return 2 * (1 + len(k.prefix.lists[string(c)]))
	case suffix:
		return 2 * (1 + len(k.suffix.lists[string(c)]))
	case network:
		return 2 * (1 + len(k.networks.lists[netip.Prefix(c)]))
	case between:
		return 2 * (1 + k.ranges.crowd(c))
	case exists:
		if !c {
			return 256 * (1 + len(k.absent))
		}
	}
	return 64 * (1 + len(k.present))
}

// visit calls look for each list that hangs on a condition the values meet.
func (k *key) visit(f field, look func(list)) {
	look(k.present)
	for _, v := range f.values {
		if v.kind == isString {
			k.visitText(v.text, look)
			continue
		}
		look(k.same[v])
		if v.kind == isNumber {
			k.ranges.visit(v.number, func(l list) bool { look(l); return true })
		}
	}
}

func (k *key) visitText(s string, look func(list)) {
	look(k.equal[s])
	if len(k.fold) > 0 {
		look(k.fold[strings.ToLower(s)])
	}
	for _, n := range k.prefix.sizes {
		if n.size > len(s) {
			break
		}
		look(k.prefix.lists[s[:n.size]])
	}
	for _, n := range k.suffix.sizes {
		if n.size > len(s) {
			break
		}
		look(k.suffix.lists[s[len(s)-n.size:]])
	}
	if len(k.networks.sizes) == 0 {
		return
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return
	}
	for _, n := range k.networks.sizes {
		if p, err := ip.Prefix(n.size); err == nil {
			look(k.networks.lists[p])
		}
	}
}
