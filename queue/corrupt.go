package queue

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// lostMax is how many unreadable messages of a queue are told apart.
const lostMax = 1 << 16

// lost are the messages of a queue that were met since Open and cannot be read.
type lost struct {
	mu     sync.Mutex
	number uint64 // of the queue; a purge changes it, and ends them
	all    map[lostMessage]struct{}
}

type lostMessage struct {
	shard int
	pos   uint64
}

// count is how many there are.
func (l *lost) count(number uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number != number {
		return 0
	}
	return int64(len(l.all))
}

// lose counts a message that could not be read, once, if a broken block is why.
func (s *Store) lose(q *queueDef, number uint64, m lostMessage, why error) {
	if q == nil || !pebble.IsCorruptionError(why) && !errors.Is(why, errCorrupt) {
		return
	}
	l := &q.lost
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number != number || l.all == nil {
		l.number, l.all = number, make(map[lostMessage]struct{})
	}
	if _, known := l.all[m]; !known && len(l.all) < lostMax {
		l.all[m] = struct{}{}
		s.unreadable.Add(1)
	}
}

// past brings an iterator that met a block it cannot read to the first key
// behind it that can be read. The keys are told by position, those from pos up to
// end are looked at. What lies between is lost to the scan, and told. False is
// the end, with or without an error that was told. Other errors end the store.
func (w *writer) past(it *pebble.Iterator, key func(pos uint64) []byte, pos, end uint64) bool {
	err := it.Error()
	if err == nil {
		return false
	}
	if !pebble.IsCorruptionError(err) {
		panic(err)
	}
	readable := func(at uint64) bool {
		it.SeekGE(key(at))
		return it.Error() == nil
	}
	bad, good := pos, end
	for step := uint64(1); step > 0 && step < end-bad; step *= 2 {
		if readable(bad + step) {
			good = bad + step
			break
		}
		bad += step
	}
	for good-bad > 1 {
		if at := bad + (good-bad)/2; readable(at) {
			good = at
		} else {
			bad = at
		}
	}
	w.store.log.Error("keys cannot be read", "shard", w.sh.number,
		"first", fmt.Sprintf("%x", key(pos)), "before", fmt.Sprintf("%x", key(good)), "err", err)
	w.unread = gap{pos, good}
	return good < end && it.SeekGE(key(good))
}

// recover finds a group's ready messages of which the index cannot be read among
// the messages themselves. It gives false, and leaves unread as it is, when the
// window is full before.
func (w *writer) recover(ln *line, g *group) bool {
	lost := w.unread
	if lost == (gap{}) {
		return true
	}
	w.flush() // so that the messages are those the states are of
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, ln.number, pos) }
	it := w.iter(key(max(lost.from, ln.counts.floor)), key(lost.to))
	defer it.Close()
	for ok := it.First() || w.past(it, key, lost.from, lost.to); ok; ok = w.step(it, ln, key, g.next, lost.to) {
		if len(g.ready) >= w.limits.fill {
			w.unread = lost
			return false
		}
		pos := positionOf(it.Key())
		g.next = pos + 1
		c, err := parseContent(it.Value())
		must(err)
		if c.group != g.name {
			continue
		}
		if s, free := w.freeState(ln, pos, &c); free {
			g.ready = append(g.ready, readyEntry{pos: pos, lease: s.lease, receives: s.receives, first: s.first})
		}
	}
	w.unread = gap{}
	return true
}
