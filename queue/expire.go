package queue

import (
	"container/heap"
	"encoding/binary"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// expirePage is the most messages one step of expiry or cleaning removes.
	expirePage = 1000
	// expireLines is how many queues one tick looks at.
	expireLines = 10
	// rangeDeleteMin is how many messages make a range tombstone worth its
	// cost to later reads; below, they are deleted one by one.
	rangeDeleteMin = 10_000
	// rangeDeletePause keeps range tombstones rare.
	rangeDeletePause = 1000
	// expireLook is how far ahead the next message to expire is looked for.
	expireLook = 60_000
	// recentBucket is the time one bucket of deduplication ids covers.
	recentBucket = int64(DedupWindow / time.Millisecond)
)

// expiry is what a shard deletes by itself: messages past their queue's
// retention, the messages of deleted queues, and old deduplication ids.
type expiry struct {
	lines       lineHeap // by expireAt
	garbage     []uint64 // queue numbers without a queue
	garbageAt   int64
	lastRange   int64
	recentFloor int64 // no bucket before this one is on disk
	recentAny   bool
}

// next is when the shard has something to delete.
func (e *expiry) next() int64 {
	at := int64(never)
	if len(e.lines) > 0 {
		at = e.lines[0].expireAt
	}
	if len(e.garbage) > 0 {
		at = min(at, e.garbageAt)
	}
	if e.recentAny {
		at = min(at, (e.recentFloor+2)*recentBucket)
	}
	return at
}

// schedule plans the next look at a line's oldest messages, unless an earlier
// one is planned. It is called whenever the line's floor may have fallen.
func (e *expiry) schedule(_ *writer, ln *line) {
	if ln.queue == nil || ln.counts.empty() {
		return
	}
	retention := durationMillis(ln.queue.current.Load().Settings.Retention)
	at := max(positionTime(ln.counts.floor)+retention, ln.expireAfter)
	if retention <= 0 || at >= ln.expireAt {
		return
	}
	e.remove(ln)
	ln.expireAt = at
	heap.Push(&e.lines, ln)
}

func (e *expiry) remove(ln *line) {
	if ln.heapIndex >= 0 {
		heap.Remove(&e.lines, ln.heapIndex)
	}
	ln.heapIndex, ln.expireAt = -1, never
}

func (w *writer) expire() {
	e := &w.expiry
	for n := 0; n < expireLines && len(e.lines) > 0 && e.lines[0].expireAt <= w.now; n++ {
		w.expireLine(e.lines[0])
	}
	if len(e.garbage) > 0 && e.garbageAt <= w.now {
		w.clean(e.garbage[0])
	}
	if e.recentAny && (e.recentFloor+2)*recentBucket <= w.now {
		w.expireRecent()
	}
}

// expireLine deletes a page of a queue's messages that were visible for longer
// than its retention, and plans the next look.
func (w *writer) expireLine(ln *line) {
	retention := durationMillis(ln.queue.current.Load().Settings.Retention)
	cutoff := positionAt(w.now - retention + 1)
	look := positionAt(w.now - retention + expireLook)
	w.flush() // so that the scan sees what it deletes
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, ln.number, pos) }
	next, n := min(look, positionAt(w.now)), 0
	it := w.iter(key(ln.counts.floor), key(next))
	defer it.Close()
	end := next
	for ok := it.First() || w.past(it, key, ln.counts.floor, end); ok; ok = w.step(it, ln, key, positionOf(it.Key())+1, end) {
		pos := positionOf(it.Key())
		if pos >= cutoff || n == expirePage {
			next = pos
			break
		}
		w.removeAnyhow(ln, pos, it)
		n++
	}
	ln.counts.floor = max(ln.counts.floor, next)
	w.touch(ln)
	ln.expireAfter = w.now + horizonMin
	w.expiry.remove(ln)
	w.expiry.schedule(w, ln)
}

// removeAnyhow deletes a message in whatever phase it is; one of which that
// cannot be read stays.
func (w *writer) removeAnyhow(ln *line, pos uint64, it *pebble.Iterator) {
	s, leased, err := w.stateOf(ln.number, pos)
	if broken(err) {
		return
	}
	if !leased {
		c, err := parseContent(it.Value())
		must(err)
		s = state{phase: phaseReady, group: c.group}
		if wasDelayed(pos) && w.stillDelayed(ln, pos) {
			s.phase, s.due = phaseWaiting, positionTime(pos)
		}
	}
	w.remove(ln, pos, s)
}

func (w *writer) stillDelayed(ln *line, pos uint64) bool {
	w.buf = timerKey(w.buf[:0], w.sh.prefix, positionTime(pos), ln.number, pos)
	v, err := w.get(w.buf)
	if broken(err) {
		return !w.timers.passed(dueTimer{positionTime(pos), ln.number, pos})
	}
	return v != nil
}

// discard gives a queue's number up: its messages in this shard are deleted in
// the background.
func (w *writer) discard(number uint64) {
	ln := w.lines[number]
	if ln == nil {
		return
	}
	w.expiry.remove(ln)
	ln.queue = nil
	w.expiry.garbage = append(w.expiry.garbage, number)
	w.expiry.garbageAt = w.now
}

// clean deletes a page of a discarded queue's messages, or all of them by range
// if they are many. Their timers are dropped when they come due.
func (w *writer) clean(number uint64) {
	e := &w.expiry
	ln := w.line(number)
	w.flush()
	all := ln.counts.ready + ln.counts.leased + ln.counts.waiting
	if all >= rangeDeleteMin {
		if w.now < e.lastRange+rangeDeletePause {
			e.garbageAt = e.lastRange + rangeDeletePause
			return
		}
		e.lastRange = w.now
		for _, table := range [...]byte{tableMessage, tableLease, tableReady, tableLock} {
			first := queueKey(nil, w.sh.prefix, table, number)
			must(w.batch.DeleteRange(first, prefixEnd(first), nil))
		}
		w.cleaned(ln)
		return
	}
	left := expirePage
	for _, table := range [...]byte{tableMessage, tableLease, tableReady, tableLock} {
		left = w.cleanPage(queueKey(nil, w.sh.prefix, table, number), left)
	}
	if left > 0 {
		w.cleaned(ln)
		return
	}
	e.garbageAt = w.now + horizonMin
}

func (w *writer) cleanPage(first []byte, left int) int {
	if left == 0 {
		return 0
	}
	it := w.iter(first, prefixEnd(first))
	defer it.Close()
	for ok := it.First(); ok && left > 0; ok = it.Next() {
		must(w.batch.Delete(it.Key(), nil))
		left--
	}
	if pebble.IsCorruptionError(it.Error()) { // cannot be read, but deleted
		must(w.batch.DeleteRange(first, prefixEnd(first), nil))
		return left
	}
	must(it.Error())
	return left
}

func (w *writer) cleaned(ln *line) {
	w.expiry.garbage = w.expiry.garbage[1:]
	ln.counts = counts{}
	w.touch(ln)
}

// recentKey is valid until the writer's next key.
func (w *writer) recentKey(bucket int64, kind byte, queue uint64, hash [16]byte) []byte {
	w.buf = appendTable(w.buf[:0], w.sh.prefix, tableRecent)
	w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(bucket))
	w.buf = append(w.buf, kind)
	w.buf = binary.BigEndian.AppendUint64(w.buf, queue)
	w.buf = append(w.buf, hash[:]...)
	return w.buf
}

// remember writes a deduplication id or receive attempt for DedupWindow.
func (w *writer) remember(kind byte, queue uint64, hash [16]byte, value []byte) {
	bucket := w.now / recentBucket
	key := w.recentKey(bucket, kind, queue, hash)
	w.recent[string(key)] = value
	w.set(key, value)
	if e := &w.expiry; !e.recentAny {
		e.recentAny, e.recentFloor = true, bucket
	}
}

// recall finds what was remembered; the caller checks its time.
func (w *writer) recall(kind byte, queue uint64, hash [16]byte) ([]byte, error) {
	bucket := w.now / recentBucket
	for b := bucket; b >= bucket-1 && b >= 0; b-- {
		key := w.recentKey(b, kind, queue, hash)
		if v, ok := w.recent[string(key)]; ok {
			return v, nil
		}
		v, err := w.get(key)
		if err != nil || v != nil {
			return v, err
		}
	}
	return nil, nil
}

// expireRecent deletes the oldest bucket, by range if it is large.
func (w *writer) expireRecent() {
	e := &w.expiry
	w.flush()
	bucket := func(n int64) []byte {
		return binary.BigEndian.AppendUint64(appendTable(nil, w.sh.prefix, tableRecent), uint64(n))
	}
	it := w.iter(bucket(0), bucket(w.now/recentBucket-1))
	defer it.Close()
	n := 0
	for ok := it.First(); ok && n < rangeDeleteMin; ok = it.Next() {
		n++
	}
	if broken(it.Error()) || n == rangeDeleteMin { // what cannot be read is deleted all the same
		e.lastRange = w.now
		must(w.batch.DeleteRange(bucket(0), bucket(w.now/recentBucket-1), nil))
	} else {
		for ok := it.First(); ok; ok = it.Next() {
			must(w.batch.Delete(it.Key(), nil))
		}
	}
	w.findRecent(w.now/recentBucket - 1)
}

// findRecent looks for the oldest bucket there is, from the given one on.
func (w *writer) findRecent(from int64) {
	lower := binary.BigEndian.AppendUint64(appendTable(nil, w.sh.prefix, tableRecent), uint64(max(from, 0)))
	it := w.iter(lower, appendTable(nil, w.sh.prefix, tableRecent+1))
	defer it.Close()
	w.expiry.recentAny = it.First()
	switch {
	case w.expiry.recentAny:
		w.expiry.recentFloor = int64(binary.BigEndian.Uint64(it.Key()[keyHeader:]))
	case broken(it.Error()):
		w.expiry.recentAny, w.expiry.recentFloor = true, w.now/recentBucket
	}
}

// lineHeap orders lines by when they have something to expire.
type lineHeap []*line

func (h lineHeap) Len() int           { return len(h) }
func (h lineHeap) Less(i, j int) bool { return h[i].expireAt < h[j].expireAt }
func (h lineHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *lineHeap) Push(x any) {
	ln := x.(*line)
	ln.heapIndex = len(*h)
	*h = append(*h, ln)
}

// Pop implements heap.Interface.
func (h *lineHeap) Pop() any {
	old := *h
	ln := old[len(old)-1]
	*h = old[:len(old)-1]
	ln.heapIndex = -1
	return ln
}
