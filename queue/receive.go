package queue

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// visitsMax bounds the groups one receive looks at before it lets others at
// the writer.
const visitsMax = 8192

// leased is a message handed out; its content is read by the receiver, so that
// the writer does not read bodies.
type leased struct {
	pos   uint64
	state state
	fresh bool // never leased before
	// content is set if the message is gone from the queue already.
	content *content
}

// receiveWork leases messages of one queue in one shard.
type receiveWork struct {
	queue  *queueDef
	o      ReceiveOptions
	max    int
	number uint64 // the queue's number at the time
	got    []leased
	passed bool // groups with messages were skipped
	more   bool // it stopped early, and is to go on
	// since is how many passes over the groups on disk there were when it began,
	// or last got something: two more, and it has seen every group.
	since   uint64
	visited bool
}

func (r *receiveWork) do(w *writer) (answer, error) {
	def := r.queue.current.Load()
	r.number = def.number()
	w.charge()
	if w.store.queue(def.Name) != r.queue {
		return 0, fmt.Errorf("queue %q: %w", def.Name, ErrNotFound)
	}
	ln := w.line(r.number)
	when := durableIf(def.Settings.FIFO)
	if r.o.AttemptID != "" {
		found, err := r.repeat(w, ln)
		if err != nil || found {
			return when, err
		}
	}
	visibility := def.Settings.Visibility
	if r.o.Visibility != 0 {
		visibility = r.o.Visibility
	}
	r.take(w, ln, w.now+max(leaseMillis(visibility), 0))
	if len(r.got) == 0 {
		return whenApplied, nil
	}
	r.endTaken(w, ln, visibility < 0)
	if r.o.AttemptID != "" {
		r.note(w)
	}
	if when == whenSettled && r.allDurable(w) {
		return whenApplied, nil
	}
	return when, nil
}

// allDurable tells whether the messages taken are on disk already, and visible
// since they were sent: they may be handed out without waiting for what the
// shard is writing meanwhile.
func (r *receiveWork) allDurable(w *writer) bool {
	for i := range r.got {
		if !r.got[i].fresh || !w.durable(r.got[i].pos) {
			return false
		}
	}
	return true
}

func leaseMillis(d time.Duration) int64 {
	if d < 0 {
		return 0
	}
	return durationMillis(d)
}

// take leases messages, a turn for each group, until there are enough. A turn in
// a FIFO queue is all that the group has, since it is held back from then on:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
func (r *receiveWork) take(w *writer, ln *line, due int64) {
	w.call++
	if !r.visited {
		r.visited, r.since = true, ln.passes
	}
	w.further(ln)
	var t turn
	for visits := 0; len(r.got) < r.max; visits++ {
		if visits == visitsMax {
			r.more = true
			return
		}
		g := ln.ring.front()
		if g == nil || t.passed() >= ln.ring.n {
			if !t.again() && (ln.complete || !r.widen(w, ln)) {
				return
			}
			t.skipped = 0
			continue
		}
		if g.call != w.call {
			g.call, g.taken = w.call, 0
		}
		if r.skips(g) {
			ln.ring.rotate(g)
			r.passed = true
			t.skipped++
			continue
		}
		if t.standsBack(w, ln, g) {
			ln.ring.rotate(g)
			continue
		}
		e, ok := w.takeReady(ln, g)
		if ok {
			t, r.since = turn{all: t.all}, ln.passes
			g.taken++
			ln.turns++
			r.got = append(r.got, leased{pos: e.pos, state: w.lease(ln, g.name, e, due), fresh: e.lease == 0})
		}
		if w.list(ln, g); g.listed && !ln.fifo {
			ln.ring.rotate(g)
		}
	}
}

func (r *receiveWork) skips(g *group) bool {
	if r.o.PerGroup > 0 && g.taken >= r.o.PerGroup {
		return true
	}
	return r.o.Skip != nil && r.o.Skip(g.name)
}

// widen brings further groups in turn from disk.
func (r *receiveWork) widen(w *writer, ln *line) bool {
	if ln.passes-r.since >= 2 {
		return false
	}
	if ln.ring.n >= w.limits.groups {
		w.dropUnlocked(ln, w.call)
	}
	found, more := w.fillGroups(ln)
	r.more = r.more || more
	return found > 0
}

// endTaken locks the groups of a FIFO queue, and ends leases of no duration.
func (r *receiveWork) endTaken(w *writer, ln *line, atOnce bool) {
	if ln.fifo {
		locks := make(map[string]int)
		for i := range r.got {
			locks[r.got[i].state.group]++
		}
		for i := range r.got { // in order, not the map's
			name := r.got[i].state.group
			if n := locks[name]; n > 0 {
				if g := w.openGroup(ln, name); g.locks == 0 {
					g.first = r.got[i].pos
				}
				w.lock(ln, name, n)
				locks[name] = 0
			}
		}
	}
	if atOnce {
		for i := range r.got {
			l := &r.got[i]
			if w.deadLetter(ln, &l.state) != nil {
				// It goes to the dead letters before the receiver could read it.
				var err error
				l.content, err = w.contentOf(ln.number, l.pos)
				must(err)
			}
			w.endLease(ln, l.pos, l.state)
		}
	}
}

// Receive leases messages. It returns none and no error when there are none
// within o.Wait.
func (s *Store) Receive(ctx context.Context, queue string, o ReceiveOptions) ([]Received, error) {
	if err := checkReceive(&o); err != nil {
		return nil, err
	}
	q, err := s.lookup(queue)
	if err != nil {
		return nil, err
	}
	got, _, err := s.receiveNow(ctx, q, o)
	if err != nil || len(got) > 0 || o.Wait <= 0 {
		return got, err
	}
	return s.receiveLater(ctx, q, o)
}

func checkReceive(o *ReceiveOptions) error {
	if o.Max == 0 {
		o.Max = 1
	}
	switch {
	case o.Max < 0 || o.Max > MaxBatch:
		return fmt.Errorf("%w: max must be 1 to %d messages, not %d", ErrInvalid, MaxBatch, o.Max)
	case o.Wait < 0:
		return fmt.Errorf("%w: wait must not be negative, not %v", ErrInvalid, o.Wait)
	case o.Visibility > MaxVisibility:
		return fmt.Errorf("%w: visibility must be at most %v, not %v", ErrInvalid, MaxVisibility, o.Visibility)
	case o.PerGroup < 0:
		return fmt.Errorf("%w: per group must not be negative, not %d", ErrInvalid, o.PerGroup)
	case len(o.AttemptID) > MaxName:
		return fmt.Errorf("%w: attempt id must be at most %d bytes, not %d", ErrInvalid, MaxName, len(o.AttemptID))
	}
	return nil
}

// receiveLater waits in the queue's line of receivers.
func (s *Store) receiveLater(ctx context.Context, q *queueDef, o ReceiveOptions) ([]Received, error) {
	timer := time.NewTimer(o.Wait)
	defer timer.Stop()
	me := q.waiters.enter()
	defer func() { q.waiters.leave(me) }()
	for {
		// Once entered, no message can come unnoticed; look before waiting.
		got, passed, err := s.receiveNow(ctx, q, o)
		if err != nil || len(got) > 0 {
			return got, err
		}
		q.waiters.again(me, passed)
		select {
		case <-me.wake:
		case <-timer.C:
			return nil, nil
		case <-q.gone:
			return nil, fmt.Errorf("queue %q: %w", q.name, ErrNotFound)
		case <-s.closing:
			return nil, ErrClosed
		case <-s.failed:
			return nil, s.failure()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// receiveNow asks the shards that may have messages, beginning with another
// one each time.
func (s *Store) receiveNow(ctx context.Context, q *queueDef, o ReceiveOptions) (got []Received, passed bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if o.AttemptID != "" {
		return s.receiveAttempt(ctx, q, o)
	}
	n := len(s.shards)
	first := int(q.turn.Add(1))
	for i := 0; i < n && len(got) < o.Max; i++ {
		sh := s.shards[(first+i)%n]
		if q.ready[sh.number].Load() <= 0 && sh.nextDue.Load() > s.clock.now() {
			continue
		}
		part, skipped, err := s.receiveFrom(sh, q, o, o.Max-len(got))
		passed = passed || skipped
		if err != nil {
			if len(got) > 0 {
				return got, passed, nil
			}
			return nil, passed, err
		}
		got = append(got, part...)
	}
	return got, passed, nil
}

// receiveFrom leases from one shard. It does not end with a context: what was
// leased must reach the caller.
func (s *Store) receiveFrom(sh *shard, q *queueDef, o ReceiveOptions, most int) ([]Received, bool, error) {
	r := &receiveWork{queue: q, o: o, max: most}
	for {
		r.more = false
		if err := sh.run(context.Background(), r); err != nil {
			return nil, false, err
		}
		if r.more && len(r.got) == 0 {
			continue
		}
		got, err := s.contents(sh, q, r)
		return got, r.passed, err
	}
}

// contents reads the leased messages. One that is gone meanwhile (purged,
// expired) is left out.
func (s *Store) contents(sh *shard, q *queueDef, r *receiveWork) ([]Received, error) {
	out := make([]Received, 0, len(r.got))
	var key []byte
	get, done, err := s.getter(sh, r)
	if err != nil {
		return nil, err
	}
	defer done()
	for i := range r.got {
		l := &r.got[i]
		if l.content != nil {
			out = append(out, received(sh, q, r.number, l, l.content))
			continue
		}
		key = messageKey(key[:0], sh.prefix, tableMessage, r.number, l.pos)
		v, err := get(key)
		if err == nil && v == nil {
			continue
		}
		var c content
		if err == nil {
			c, err = parseContent(v)
		}
		if err != nil {
			s.log.Error("message cannot be read", "queue", q.name, "shard", sh.number, "key", fmt.Sprintf("%x", key), "err", err.Error())
			s.lose(q, r.number, lostMessage{sh.number, l.pos}, err)
			if len(r.got) == 1 {
				return nil, fmt.Errorf("queue %q: %w", q.name, err)
			}
			continue
		}
		if len(v) > turnBytes {
			sh.bills.add(r.number, c.group, int64(len(v)-turnBytes))
		}
		out = append(out, received(sh, q, r.number, l, &c))
	}
	return out, nil
}

// scanMin is how many messages are read faster by one iterator than one by one.
const scanMin = 4

// getter reads messages: those of a large batch, which lie side by side, with
// one iterator.
func (s *Store) getter(sh *shard, r *receiveWork) (get func(key []byte) ([]byte, error), done func(), err error) {
	if len(r.got) < scanMin {
		return func(key []byte) ([]byte, error) { return read(s.db, key) }, func() {}, nil
	}
	first := queueKey(nil, sh.prefix, tableMessage, r.number)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: prefixEnd(first)})
	if err != nil {
		return nil, nil, err
	}
	get = func(key []byte) ([]byte, error) {
		if it.SeekGE(key) && bytes.Equal(it.Key(), key) {
			return bytes.Clone(it.Value()), nil
		}
		return nil, it.Error()
	}
	return get, func() { _ = it.Close() }, nil // Close repeats errors that were told
}

func received(sh *shard, q *queueDef, number uint64, l *leased, c *content) Received {
	return Received{
		Message: Message{
			ID: c.id, Group: c.group, DedupID: c.dedup, Body: c.body, Attributes: c.attrs,
		},
		Queue:        q.name,
		Handle:       Handle{queue: number, shard: sh.number, seq: l.pos, lease: l.state.lease},
		Sequence:     l.pos,
		Receives:     int(c.before + l.state.receives),
		SentAt:       timeOf(c.sentAt),
		FirstReceive: timeOf(l.state.first),
		VisibleAt:    timeOf(l.state.due),
		SourceQueue:  c.source,
	}
}
