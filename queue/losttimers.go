package queue

import (
	"math"
	"slices"
)

// lostTimers is a stretch of the timer table that cannot be read, and what is due
// in it, as leases and messages tell. Nothing of it is written down: a writer
// that meets the stretch again looks again.
type lostTimers struct {
	span  period
	found []dueTimer // the first of them, in order; some may be over already
	more  bool       // there are others behind
}

// period is a time from one millisecond up to another.
type period struct{ from, to int64 }

func (p period) holds(ms int64) bool { return p.from <= ms && ms < p.to }

// add holds a timer, or if there are many leaves it to be found when those
// before it are over.
func (l *lostTimers) add(d dueTimer) {
	i, known := slices.BinarySearchFunc(l.found, d, compareTimers)
	if known || l.more && i == len(l.found) {
		return
	}
	if l.found = slices.Insert(l.found, i, d); len(l.found) > tickMoves {
		l.found, l.more = l.found[:tickMoves], true
	}
}

// loseTimers meets a block of timers that cannot be read; all before from were.
func (w *writer) loseTimers(from int64, err error) {
	all := appendTable(nil, w.sh.prefix, tableTimer)
	it := w.iter(all, prefixEnd(all))
	defer it.Close()
	to := int64(never)
	if w.skip(it, err, timerKey(nil, w.sh.prefix, from, 0, 0), digits{keyHeader, 1}) {
		to, _, _ = splitTimerKey(it.Key())
	}
	w.timers.lost = lostTimers{span: period{from, to}}
	w.findTimers()
	w.waitLost()
}

// findTimers looks for what is due in the lost stretch. A message in flight or
// in backoff has its time in its lease; of one delayed since it was sent it is
// that of its position.
func (w *writer) findTimers() {
	w.flush() // so that leases and messages are as the writer knows them
	l := &w.timers.lost
	l.found, l.more = nil, false
	for _, ln := range w.lines {
		if ln.queue == nil {
			continue
		}
		if ln.counts.leased+ln.counts.waiting > 0 {
			w.eachLease(ln, func(pos uint64, s state) {
				if s.phase != phaseReady && l.span.holds(s.due) {
					l.add(dueTimer{s.due, ln.number, pos})
				}
			})
		}
		if ln.counts.waiting > 0 {
			w.findDelayed(ln)
		}
	}
}

func (w *writer) findDelayed(ln *line) {
	l := &w.timers.lost
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, ln.number, pos) }
	from, to := max(positionAt(l.span.from), ln.counts.floor), uint64(math.MaxUint64)
	if l.span.to <= positionTime(to) {
		to = positionAt(l.span.to)
	}
	it := w.iter(key(from), key(max(from, to)))
	defer it.Close()
	for ok := it.First() || w.past(it, key, from, to); ok; ok = w.step(it, ln, key, positionOf(it.Key())+1, to) {
		pos := positionOf(it.Key())
		if !wasDelayed(pos) {
			continue
		}
		d := dueTimer{positionTime(pos), ln.number, pos}
		if _, waits := w.waiting(d); waits {
			l.add(d)
		}
	}
}

// waiting tells whether a message waits, or is leased, until the time that was
// found, and where it stands.
func (w *writer) waiting(d dueTimer) (state, bool) {
	s, leased, err := w.stateOf(d.queue, d.pos)
	if broken(err) || leased {
		return s, leased && s.phase != phaseReady && s.due == d.due
	}
	c, err := w.contentOf(d.queue, d.pos)
	if broken(err) || c == nil {
		return state{}, false
	}
	_, ready := w.indexed(d.queue, c.group, d.pos)
	return state{phase: phaseWaiting, due: d.due, group: c.group}, !ready
}

// moveLost moves what is due of the lost stretch.
func (w *writer) moveLost() {
	l := &w.timers.lost
	for moved := 0; len(l.found) > 0 && l.found[0].due <= w.now && moved < tickMoves && w.batch.Len() <= groupBytes; moved++ {
		d := l.found[0]
		l.found = l.found[1:]
		if s, waits := w.waiting(d); waits {
			w.endWait(d, s)
		}
	}
	if len(l.found) == 0 && l.more {
		w.findTimers()
	}
	w.waitLost()
}

// waitLost puts the window's floor at the first timer of the lost stretch, or
// behind it.
func (w *writer) waitLost() {
	t := &w.timers
	t.floor, t.queue, t.pos = t.lost.span.to, 0, 0
	if len(t.lost.found) > 0 {
		first := t.lost.found[0]
		t.floor, t.queue, t.pos = first.due, first.queue, first.pos
	}
	if t.floor <= w.now {
		t.ticked = 0 // no pause: more is late
	}
}
