package queue

import (
	"cmp"
	"time"
)

const (
	// tickMoves is the most messages one tick moves; the next group goes on.
	tickMoves = 2000
	// horizons bound how far ahead a tick looks for the next due time. Looking
	// costs a step for every timer deleted since, so it looks far only if it
	// finds few.
	horizonMin  = 25 // ms
	horizonMax  = 24 * 3600 * 1000
	cheapSteps  = 500
	costlySteps = 5000
)

// timers is a window over the timer table: nothing on disk is due before floor,
// and what is due then lies from queue and pos on. A crowd that is due at once
// is moved page by page, and the pages moved are not stepped over again.
type timers struct {
	floor      int64
	queue, pos uint64

	horizon int64
	ticked  int64 // when the writer last looked by itself or with a group

	lost lostTimers
}

func (t *timers) add(d dueTimer) {
	if d.due <= t.floor {
		t.floor, t.queue, t.pos = d.due, 0, 0
	}
	if t.lost.span.holds(d.due) {
		t.lost.add(d)
	}
}

// passed tells whether the window lies behind a timer: it was moved.
func (t *timers) passed(d dueTimer) bool {
	return compareTimers(d, dueTimer{t.floor, t.queue, t.pos}) < 0
}

// wakeTime is when the writer has to look by itself.
func (w *writer) wakeTime() int64 {
	return min(w.timers.floor, w.expiry.next())
}

// due tells whether the writer has to move something without being asked. It
// leaves a pause between such ticks, so that many due times make few batches.
func (w *writer) due(now int64) bool {
	return max(w.wakeTime(), w.timers.ticked+w.store.tick) <= now
}

// sleep is how long the writer may wait for requests.
func (w *writer) sleep() time.Duration {
	ms := max(w.wakeTime(), w.timers.ticked+w.store.tick) - w.store.clock.now()
	return time.Duration(min(max(ms, 1), int64(time.Hour/time.Millisecond))) * time.Millisecond
}

// tick moves what came due: a part of every group's batch, and a batch of its
// own when there are no requests.
func (w *writer) tick() {
	if w.wakeTime() > w.now {
		return
	}
	w.timers.ticked = w.now
	if w.timers.floor <= w.now {
		w.moveDue()
	}
	if w.expiry.next() <= w.now {
		w.expire()
	}
}

// moveDue ends the leases and waits that are over. The window's floor then lies
// at the next due time found, or as far as was looked.
func (w *writer) moveDue() {
	if w.timers.lost.span.holds(w.timers.floor) {
		w.moveLost()
		return
	}
	horizon := max(w.timers.horizon, horizonMin)
	end := w.now + horizon + 1
	if from := w.timers.lost.span.from; from > w.timers.floor {
		end = min(end, from)
	}
	lower := timerKey(nil, w.sh.prefix, w.timers.floor, w.timers.queue, w.timers.pos)
	it := w.iter(lower, timerKey(nil, w.sh.prefix, end, 0, 0))
	defer it.Close()
	t := dueTimer{due: w.timers.floor}
	w.timers.floor, w.timers.queue, w.timers.pos = end, 0, 0
	moved := 0
	for ok := it.First(); ok; ok = it.Next() {
		t.due, t.queue, t.pos = splitTimerKey(it.Key())
		if t.due > w.now || moved == tickMoves || w.batch.Len() > groupBytes {
			if t.due < w.timers.floor {
				w.timers.floor, w.timers.queue, w.timers.pos = t.due, t.queue, t.pos
			}
			if t.due <= w.now {
				w.timers.ticked = 0 // no pause: more is late
			}
			break
		}
		s, err := parseState(it.Value())
		must(err)
		w.endWait(t, s)
		moved++
	}
	if err := it.Error(); broken(err) {
		w.loseTimers(t.due, err)
		return
	}
	switch n := steps(it); {
	case n < cheapSteps:
		w.timers.horizon = min(2*horizon, horizonMax)
	case n > costlySteps:
		w.timers.horizon = max(horizon/2, horizonMin)
	}
}

type dueTimer struct {
	due        int64
	queue, pos uint64
}

// compareTimers is the order of the table.
func compareTimers(a, b dueTimer) int {
	return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.queue, b.queue), cmp.Compare(a.pos, b.pos))
}

// endWait moves one message whose lease or wait is over.
func (w *writer) endWait(t dueTimer, s state) {
	if q, _ := w.store.byNumber(t.queue); q == nil {
		w.dropTimer(t.queue, t.pos, t.due) // its queue was deleted or purged
		return
	}
	ln := w.line(t.queue)
	if s.lease == 0 { // delayed since it was sent
		w.dropTimer(t.queue, t.pos, t.due)
		ln.counts.waiting--
		w.addReady(ln, s.group, readyEntry{pos: t.pos})
		return
	}
	if s.phase == phaseLeased {
		w.endLease(ln, t.pos, s)
		return
	}
	w.release(ln, t.pos, s, w.now)
}

// endLease makes a leased message visible, or a dead letter.
func (w *writer) endLease(ln *line, pos uint64, s state) {
	if to := w.deadLetter(ln, &s); to != nil {
		c, err := w.contentOf(ln.number, pos)
		if err != nil { // it stays where it is
			w.store.log.Error("dead letter cannot be read", "shard", w.sh.number, "err", err.Error())
			w.store.lose(ln.queue, ln.number, lostMessage{w.sh.number, pos}, err)
		}
		if c != nil {
			w.bury(ln, pos, s, c, to)
			return
		}
	}
	w.release(ln, pos, s, w.now)
}
