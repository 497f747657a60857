package queue

import "fmt"

// pendingState is a message's state in the open batch.
type pendingState struct {
	state
	gone bool
}

// stateOf reads where a leased-before message stands; false if there is no such
// message or it was never leased.
func (w *writer) stateOf(queue, pos uint64) (state, bool, error) {
	if p, ok := w.states[msgRef{queue, pos}]; ok {
		return p.state, !p.gone, nil
	}
	w.buf = messageKey(w.buf[:0], w.sh.prefix, tableLease, queue, pos)
	v, err := w.get(w.buf)
	if broken(err) {
		w.rebuildLeases(queue, pos)
		v, err = w.get(messageKey(nil, w.sh.prefix, tableLease, queue, pos))
	}
	if err == nil && v == nil {
		return state{}, false, nil
	}
	var s state
	if err == nil {
		s, err = parseState(v)
	}
	if err != nil {
		return state{}, false, fmt.Errorf("lease of message %d of queue %s: %w", pos, w.store.queueName(queue), err)
	}
	return s, true, nil
}

// putState writes where a message stands, and its timer.
func (w *writer) putState(queue, pos uint64, s *state) {
	w.states[msgRef{queue, pos}] = pendingState{state: *s}
	v := s.append(w.val[:0])
	w.set(messageKey(w.buf[:0], w.sh.prefix, tableLease, queue, pos), v)
	if s.phase != phaseReady {
		w.setTimer(queue, pos, s)
	}
}

func (w *writer) setTimer(queue, pos uint64, s *state) {
	w.set(timerKey(w.buf[:0], w.sh.prefix, s.due, queue, pos), s.append(w.val[:0]))
	w.timers.add(dueTimer{s.due, queue, pos})
}

func (w *writer) dropTimer(queue, pos uint64, due int64) {
	w.delete(timerKey(w.buf[:0], w.sh.prefix, due, queue, pos))
}

// contentOf reads a message as it was sent; nil if it is gone.
func (w *writer) contentOf(queue, pos uint64) (*content, error) {
	w.buf = messageKey(w.buf[:0], w.sh.prefix, tableMessage, queue, pos)
	v, err := w.get(w.buf)
	if err != nil || v == nil {
		return nil, err
	}
	c, err := parseContent(v)
	if err != nil {
		return nil, fmt.Errorf("message %x: %w", w.buf, err)
	}
	return &c, nil
}

// add puts a new message into a queue, visible at the given time. A message
// that was never visible does not hold its FIFO group back.
func (w *writer) add(ln *line, c *content, at int64) uint64 {
	var pos uint64
	if at <= w.now {
		w.head.position = nextPosition(w.head.position, w.now)
		pos = w.head.position
	} else {
		pos = w.delayedPosition(ln, at)
	}
	if ln.counts.empty() {
		ln.counts.floor = pos
	}
	ln.counts.floor = min(ln.counts.floor, pos)
	w.setContent(ln, pos, c)
	if at <= w.now {
		w.addReady(ln, c.group, readyEntry{pos: pos})
	} else {
		ln.counts.waiting++
		w.touch(ln)
		w.setTimer(ln.number, pos, &state{phase: phaseWaiting, due: at, group: c.group})
	}
	w.expiry.schedule(w, ln)
	return pos
}

func (w *writer) setContent(ln *line, pos uint64, c *content) {
	key := messageKey(w.buf[:0], w.sh.prefix, tableMessage, ln.number, pos)
	op := w.batch.SetDeferred(len(key), c.size())
	copy(op.Key, key)
	c.append(op.Value[:0])
	must(op.Finish())
	w.buf = key[:0]
}

// delayedPosition is a free place at a time to come. The counter in it is
// reused after two million messages; only then two could meet.
func (w *writer) delayedPosition(ln *line, at int64) uint64 {
	for {
		pos := positionAt(at) | w.head.delayed&counterMask
		w.head.delayed++
		if w.head.delayed <= counterMask {
			return pos
		}
		w.buf = messageKey(w.buf[:0], w.sh.prefix, tableMessage, ln.number, pos)
		v, err := w.get(w.buf)
		must(err)
		if v == nil {
			return pos
		}
	}
}

// lease hands a ready message to a receiver until due.
func (w *writer) lease(ln *line, name string, e readyEntry, due int64) state {
	w.leases++
	s := state{
		phase: phaseLeased, lease: w.store.meta.Epoch<<leaseCounterBits | w.leases,
		receives: e.receives + 1, first: e.first, leased: w.now, due: due, group: name,
	}
	if s.first == 0 {
		s.first = w.now
	}
	ln.counts.leased++
	ln.fly(name, 1)
	w.touch(ln)
	w.putState(ln.number, e.pos, &s)
	return s
}

// remove deletes a message for good.
func (w *writer) remove(ln *line, pos uint64, s state) {
	w.delete(messageKey(w.buf[:0], w.sh.prefix, tableMessage, ln.number, pos))
	w.delete(messageKey(w.buf[:0], w.sh.prefix, tableLease, ln.number, pos))
	w.states[msgRef{ln.number, pos}] = pendingState{gone: true}
	w.leave(ln, pos, s)
	if pos == ln.counts.floor {
		ln.counts.floor++
	}
	if ln.deleted++; ln.deleted%w.limits.sweep == 0 { // again if the last sweep failed
		w.sweeps = append(w.sweeps, sweepRef{w.sh, ln.number})
	}
	w.touch(ln)
}

// leave takes a message out of the index of its phase.
func (w *writer) leave(ln *line, pos uint64, s state) {
	switch s.phase {
	case phaseReady:
		w.removeReady(ln, s.group, pos)
	case phaseLeased:
		w.dropTimer(ln.number, pos, s.due)
		ln.counts.leased--
		if leaseEpoch(s.lease) == w.store.meta.Epoch {
			ln.fly(s.group, -1)
		}
	case phaseWaiting:
		w.dropTimer(ln.number, pos, s.due)
		ln.counts.waiting--
	}
	if s.phase != phaseReady && s.lease != 0 {
		w.lock(ln, s.group, -1)
	}
	w.touch(ln)
}

// release makes a message that was leased visible at the given time.
func (w *writer) release(ln *line, pos uint64, s state, at int64) {
	w.leave(ln, pos, s)
	if at <= w.now {
		s.phase, s.due = phaseReady, 0
		w.putState(ln.number, pos, &s)
		w.addReady(ln, s.group, readyEntry{pos: pos, lease: s.lease, receives: s.receives, first: s.first})
		return
	}
	s.phase, s.due = phaseWaiting, at
	w.lock(ln, s.group, 1)
	ln.counts.waiting++
	w.touch(ln)
	w.putState(ln.number, pos, &s)
}

// deadLetter tells where a message goes whose lease ends now; nil: nowhere.
func (w *writer) deadLetter(ln *line, s *state) *queueDef {
	if ln.queue == nil {
		return nil
	}
	def := ln.queue.current.Load()
	if def.Settings.MaxReceives == 0 || s.receives < uint64(def.Settings.MaxReceives) {
		return nil
	}
	to := w.store.queue(def.Settings.DeadLetter)
	if to == nil || to.current.Load().Settings.FIFO != def.Settings.FIFO {
		return nil
	}
	return to
}

// bury moves a message to a dead-letter queue. It keeps its ID, its group and
// the time it was sent; its receives so far are told and do not count for where
// it is. In a FIFO queue its ID becomes its deduplication id, as in SQS: two
// messages may have shared one. To another shard it goes through the outbox,
// taken from here in this batch.
func (w *writer) bury(ln *line, pos uint64, s state, c *content, to *queueDef) {
	w.remove(ln, pos, s)
	dead := *c
	dead.source, dead.before = ln.queue.name, dead.before+s.receives
	if ln.fifo {
		dead.dedup = dead.id.String()
	}
	w.hand(to.current.Load(), &dead, w.now)
}
