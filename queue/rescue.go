package queue

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// What a broken block of one table held, the others tell: the ready index says
// nothing that messages and leases do not, locks nothing that leases do not.

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
		if s, ready := w.readyState(ln, pos, &c); ready {
			g.ready = append(g.ready, readyEntry{pos: pos, lease: s.lease, receives: s.receives, first: s.first})
		}
	}
	w.unread = gap{}
	return true
}

// seek finds groups by their messages, those whose names lie in a stretch of the
// ready index that cannot be read, and all that is ready of them. It gives how
// many it put in turn, and reads every message of the queue.
func (w *writer) seek(ln *line, from, to []byte) (found int) {
	w.flush() // so that the messages are those the states are of
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, ln.number, pos) }
	it := w.iter(key(ln.counts.floor), prefixEnd(queueKey(nil, w.sh.prefix, tableMessage, ln.number)))
	defer it.Close()
	var fresh []*group
	mine := make(map[string]bool)
	for ok := it.First() || w.past(it, key, ln.counts.floor, math.MaxUint64); ok; ok = w.step(it, ln, key, positionOf(it.Key())+1, math.MaxUint64) {
		c, err := parseContent(it.Value())
		must(err)
		if !mine[c.group] {
			name := groupKey(nil, w.sh.prefix, tableReady, ln.number, c.group)
			if ln.groups[c.group] != nil || bytes.Compare(name, from) < 0 || bytes.Compare(name, to) >= 0 {
				continue
			}
		}
		pos := positionOf(it.Key())
		s, ready := w.readyState(ln, pos, &c)
		switch {
		case !ready:
			continue
		case mine[c.group]:
		case ln.ring.n+len(fresh) >= w.limits.groups:
			ln.clean = false // a later pass finds it
			continue
		default:
			mine[c.group] = true
			fresh = append(fresh, w.openGroup(ln, c.group))
		}
		w.hold(ln.groups[c.group], readyEntry{pos: pos, lease: s.lease, receives: s.receives, first: s.first})
	}
	for _, g := range fresh {
		g.drained = g.next == 0
		if w.list(ln, g); g.listed {
			found++
		}
	}
	return found
}

// hold adds an entry behind those of a group's window, as long as it is not full.
func (w *writer) hold(g *group, e readyEntry) {
	switch {
	case g.next > 0:
	case len(g.ready) >= w.limits.window:
		g.next = e.pos
	default:
		g.ready = append(g.ready, e)
		w.held++
	}
}

// locksOfLeases counts the messages that lock a group of which the lock cannot
// be read, and writes that down, so that it can.
func (w *writer) locksOfLeases(ln *line, name string) (locks, first uint64) {
	w.eachLease(ln, func(pos uint64, s state) {
		if s.group != name || s.phase == phaseReady {
			return
		}
		if locks++; locks == 1 {
			first = pos
		}
	})
	key := groupKey(w.buf[:0], w.sh.prefix, tableLock, ln.number, name)
	if locks == 0 {
		w.delete(key)
	} else {
		w.set(key, binary.AppendUvarint(binary.AppendUvarint(w.val[:0], locks), first))
	}
	return locks, first
}

// indexed is where a message stands that the ready index holds.
func (w *writer) indexed(queue uint64, group string, pos uint64) (s state, ready bool) {
	w.buf = readyKey(w.buf[:0], w.sh.prefix, queue, group, pos)
	v, err := w.get(w.buf)
	if broken(err) || v == nil {
		return state{}, false
	}
	e, err := parseReady(pos, v)
	must(err)
	return state{phase: phaseReady, lease: e.lease, receives: e.receives, first: e.first, group: group}, true
}

// rebuildLeases makes leases of a queue that cannot be read anew, those that lie
// together around a position: timers tell of messages in flight or in backoff,
// the ready index of the others. Single reads then find the newer ones above the
// broken block; a scan still passes them over.
func (w *writer) rebuildLeases(queue, pos uint64) {
	w.flush() // so that timers and ready index are as the writer knows them
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableLease, queue, pos) }
	first := queueKey(nil, w.sh.prefix, tableLease, queue)
	it := w.iter(first, prefixEnd(first))
	defer it.Close()
	lost := gap{^halve(^pos, readable(it, func(n uint64) []byte { return key(^n) })) + 1, math.MaxUint64}
	it.SeekGE(key(pos))
	w.past(it, key, pos, math.MaxUint64)
	lost.to = w.unread.to
	known := w.leasesOfTimers(queue, lost)
	for pos, s := range w.readyMessages(queue, lost) {
		known[pos] = s
	}
	for _, pos := range slices.Sorted(maps.Keys(known)) {
		if s := known[pos]; s.lease == 0 {
			w.delete(key(pos))
		} else {
			w.set(key(pos), s.append(w.val[:0]))
		}
	}
	w.flush()
}

// leasesOfTimers reads the states that timers hold of a queue's messages.
func (w *writer) leasesOfTimers(queue uint64, within gap) map[uint64]state {
	all := appendTable(nil, w.sh.prefix, tableTimer)
	it := w.iter(all, prefixEnd(all))
	defer it.Close()
	found := make(map[uint64]state)
	for ok := it.First(); ok; ok = it.Next() {
		_, number, pos := splitTimerKey(it.Key())
		if number != queue || pos < within.from || pos >= within.to {
			continue
		}
		s, err := parseState(it.Value())
		must(err)
		if s.lease != 0 {
			found[pos] = s
		}
	}
	_ = broken(it.Error()) // those behind stay unknown
	return found
}

// readyMessages reads the states that the ready index holds of a queue's messages.
func (w *writer) readyMessages(queue uint64, within gap) map[uint64]state {
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, queue, pos) }
	it := w.iter(key(within.from), key(within.to))
	defer it.Close()
	found := make(map[uint64]state)
	for ok := it.First(); ok; ok = it.Next() {
		c, err := parseContent(it.Value())
		must(err)
		pos := positionOf(it.Key())
		if s, ready := w.indexed(queue, c.group, pos); ready {
			found[pos] = s
		}
	}
	_ = broken(it.Error())
	return found
}

// eachLease walks the leases of a queue on disk that can be read.
func (w *writer) eachLease(ln *line, fn func(pos uint64, s state)) {
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableLease, ln.number, pos) }
	it := w.iter(key(ln.counts.floor), prefixEnd(queueKey(nil, w.sh.prefix, tableLease, ln.number)))
	defer it.Close()
	for ok := it.First() || w.past(it, key, ln.counts.floor, math.MaxUint64); ok; ok = w.step(it, ln, key, positionOf(it.Key())+1, math.MaxUint64) {
		s, err := parseState(it.Value())
		must(err)
		fn(positionOf(it.Key()), s)
	}
}
