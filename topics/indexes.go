package topics

import (
	"slices"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// maxIndexed is how many subscriptions all indexes together have at most. With a
// policy of its own one takes 0.4 KiB (a policy of one key) to 1.1 KiB (of five).
const maxIndexed = 1 << 18

// indexKept is how long an index keeps its place after its topic was last
// published to. Until then a topic that does not fit beside it is walked: two
// that took each other's place would be read at each publish all the same, and
// indexed for nothing.
const indexKept = 10 * time.Minute

// indexes are the indexes of the topics published to lately.
type indexes struct {
	mu     sync.Mutex
	all    map[topicName]*index
	size   int         // of all
	most   int         // maxIndexed
	wanted chan *index // those the indexer is to work on
}

func (xs *indexes) init() {
	xs.most = maxIndexed
	xs.all = map[topicName]*index{}
	xs.wanted = make(chan *index, 64)
}

// changed follows the registry. See queue.Store.Follow for when it is called.
func (xs *indexes) changed(key string) {
	o, topic, id, ok := parseSubscriptionKey(key)
	if !ok {
		return
	}
	xs.mu.Lock()
	defer xs.mu.Unlock()
	x := xs.all[topicName{o, topic}]
	if x == nil {
		return
	}
	x.marked[id] = struct{}{}
	if len(x.marked) > x.size+1000 { // nobody needed it for long
		xs.forget(x)
	}
}

func (xs *indexes) get(n topicName) *index {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	x := xs.all[n]
	if x != nil {
		x.used = time.Now()
	}
	return x
}

// add makes an index of that many subscriptions; nil if there is no room for it.
func (xs *indexes) add(n topicName, size int) *index {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	if x := xs.all[n]; x != nil || !xs.room(size) {
		return x
	}
	x := &index{name: n, size: size, marked: map[queue.ID]struct{}{}, used: time.Now()}
	xs.all[n] = x
	xs.size += size
	return x
}

// made notes that an index is, and of how many subscriptions. One that has
// grown beyond its room is forgotten.
func (xs *indexes) made(x *index, size int) {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	x.made = true
	if xs.all[x.name] != x {
		return
	}
	xs.forget(x)
	if x.size = size; xs.room(size) {
		xs.all[x.name] = x
		xs.size += size
	}
}

// room tells whether so many subscriptions fit. Indexes that were not used for
// long give way to them, the one unused for the longest time first, if that
// helps.
func (xs *indexes) room(size int) bool {
	var old []*index
	free := xs.most - xs.size
	for _, x := range xs.all {
		if time.Since(x.used) >= indexKept {
			old = append(old, x)
			free += x.size
		}
	}
	if size > free {
		return false
	}
	slices.SortFunc(old, func(a, b *index) int { return a.used.Compare(b.used) })
	for _, x := range old {
		if xs.size+size <= xs.most {
			break
		}
		xs.forget(x)
	}
	return true
}

func (xs *indexes) drop(x *index) {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	xs.forget(x)
}

func (xs *indexes) forget(x *index) {
	if xs.all[x.name] == x {
		delete(xs.all, x.name)
		xs.size -= x.size
	}
}

// take gives at most so many of the marked subscriptions, which are marked no
// more.
func (xs *indexes) take(x *index, most int) (ids []queue.ID) {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	for id := range x.marked {
		if len(ids) == most {
			break
		}
		ids = append(ids, id)
		delete(x.marked, id)
	}
	return ids
}

// behind tells whether the indexer has to work on an index before it is of use,
// and asks it to.
func (xs *indexes) behind(x *index, most int) bool {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	if x.made && len(x.marked) <= most {
		return false
	}
	if !x.asked {
		select {
		case xs.wanted <- x:
			x.asked = true
		default: // it has enough to do; the next publish asks again
		}
	}
	return true
}

// working tells the indexer whether it has to go on with an index.
func (xs *indexes) working(x *index) bool {
	xs.mu.Lock()
	defer xs.mu.Unlock()
	x.asked = xs.all[x.name] == x && (!x.made || len(x.marked) > 0)
	return x.asked
}
