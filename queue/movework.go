package queue

import "fmt"

// moveWork moves the next messages of a shard: what it takes from the source,
// what it adds to destinations, or to the outbox for them, and how far it came
// are one batch.
type moveWork struct {
	record   *moveRecord
	progress progress
	limit    int
	done     bool // nothing is left in the shard
	failed   error
	// forwarded are the entries of the outbox it wrote.
	forwarded []entry
}

func (m *moveWork) do(w *writer) (answer, error) {
	if q, _ := w.store.byNumber(m.record.Number); q == nil { // purged or deleted
		m.done = true
		return whenSettled, nil
	}
	w.flush() // so that the scan sees what others of the group did
	before := m.progress
	m.step(w, w.line(m.record.Number))
	if m.progress != before {
		w.set(progressKey(w.sh.prefix, m.record.ID), m.progress.append(w.val[:0]))
	}
	return durableIf(m.progress.moved != before.moved), nil
}

// step walks on over the messages that were visible when the move started.
func (m *moveWork) step(w *writer, ln *line) {
	number := m.record.Number
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableMessage, number, pos) }
	end := positionAt(m.record.Started + 1)
	from := ln.counts.over(max(m.progress.next, ln.counts.floor))
	it := w.iter(key(from), key(max(from, end)))
	defer it.Close()
	ok := it.First() || w.past(it, key, from, end)
	for seen, moved := 0, 0; ok && seen < moveLook && moved < m.limit && w.batch.Len() < moveBytes; seen++ {
		pos := positionOf(it.Key())
		c, err := parseContent(it.Value())
		must(err)
		s, free := w.freeState(ln, pos, &c)
		if free && m.wants(&c) {
			to, err := m.destination(w, ln, &c)
			if err != nil {
				m.failed = err
				return
			}
			m.forwarded = append(m.forwarded, w.transfer(ln, pos, s, &c, to))
			m.progress.moved++
			moved++
		}
		m.progress.next = pos + 1
		ok = w.step(it, ln, key, pos+1, end)
	}
	m.done = !ok
}

func (m *moveWork) wants(c *content) bool {
	r := m.record
	return c.sentAt >= r.From && (r.Before == 0 || c.sentAt < r.Before)
}

func (m *moveWork) destination(w *writer, ln *line, c *content) (*queueDef, error) {
	name := m.record.Destination
	if name == "" {
		name = c.source
	}
	if name == "" {
		return nil, &moveError{fmt.Sprintf("message %v came from no other queue; a destination must be named", c.id)}
	}
	to := w.store.queue(name)
	switch {
	case to == nil:
		return nil, &moveError{fmt.Sprintf("destination queue %q: %v", name, ErrNotFound)}
	case to.current.Load().Settings.FIFO != ln.fifo:
		return nil, &moveError{fmt.Sprintf("destination queue %q must be FIFO if queue %q is, and only then", name, m.record.Source)}
	case to == ln.queue:
		return nil, &moveError{fmt.Sprintf("message %v would move to where it is", c.id)}
	}
	return to, nil
}

// freeState is where a message stands; free tells whether a receiver could get it.
func (w *writer) freeState(ln *line, pos uint64, c *content) (s state, free bool) {
	s, ready := w.readyState(ln, pos, c)
	return s, ready && !w.locked(ln, c.group, pos)
}

// readyState is where a message stands, be its group locked or not.
func (w *writer) readyState(ln *line, pos uint64, c *content) (s state, ready bool) {
	s, leased, err := w.stateOf(ln.number, pos)
	if broken(err) || leased {
		return s, leased && s.phase == phaseReady
	}
	s = state{phase: phaseReady, group: c.group}
	return s, !wasDelayed(pos) || !w.stillDelayed(ln, pos)
}

// transfer moves a message to another queue, as a new one.
func (w *writer) transfer(ln *line, pos uint64, s state, c *content, to *queueDef) entry {
	w.remove(ln, pos, s)
	def := to.current.Load()
	moved := *c
	moved.id, moved.sentAt, moved.source = w.sh.ids.next(w.now), w.now, ""
	moved.before = 0
	if def.Settings.FIFO {
		moved.dedup = moved.id.String()
	}
	return w.hand(def, &moved, sendTime(&Message{}, &def.Settings, w.now))
}
