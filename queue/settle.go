package queue

import (
	"context"
	"fmt"
	"math"
	"time"
)

// deleteWork deletes messages as SQS does: a handle whose lease ended deletes
// if nobody leased the message since, or, of a standard queue, nobody has it now.
type deleteWork struct {
	handles []Handle
	errs    []error // of those whose state cannot be read
}

func (d *deleteWork) do(w *writer) (answer, error) {
	d.errs = make([]error, len(d.handles))
	for i, h := range d.handles {
		if err := d.remove(w, h); broken(err) {
			d.errs[i] = err
		}
	}
	return whenDurable, nil
}

func (d *deleteWork) remove(w *writer, h Handle) error {
	s, ok, err := w.stateOf(h.queue, h.seq)
	if err != nil {
		return err
	}
	q, def := w.store.byNumber(h.queue)
	if q == nil {
		return nil // purged
	}
	if !ok {
		// Never leased as far as the disk knows: a lease lost in a crash.
		if s, ok, err = w.neverLeased(h); err != nil {
			return err
		}
	}
	if ok && (s.lease <= h.lease || s.phase == phaseReady && !def.Settings.FIFO) {
		w.remove(w.line(h.queue), h.seq, s)
	}
	return nil
}

// neverLeased finds a message that has no state yet.
func (w *writer) neverLeased(h Handle) (state, bool, error) {
	if p, ok := w.states[msgRef{h.queue, h.seq}]; ok && p.gone {
		return state{}, false, nil
	}
	c, err := w.contentOf(h.queue, h.seq)
	if err != nil || c == nil {
		return state{}, false, err
	}
	s := state{phase: phaseReady, group: c.group}
	if wasDelayed(h.seq) && w.stillDelayed(w.line(h.queue), h.seq) {
		s.phase, s.due = phaseWaiting, positionTime(h.seq)
	}
	return s, true, nil
}

// Delete removes leased messages; one error per handle. As in SQS a handle
// whose lease ended deletes the message if it was not leased since, or is in a
// standard queue and not leased now, and otherwise succeeds without effect.
// Durable on return.
func (s *Store) Delete(ctx context.Context, queue string, handles ...Handle) []error {
	parts, errs := byShard(s, queue, handles, func(h *Handle) Handle { return *h })
	for shard, p := range parts {
		d := &deleteWork{handles: p.items}
		p.answer(errs, s.shards[shard].run(ctx, d), &d.errs)
	}
	return errs
}

// settlement is what of a batch belongs to one shard.
type settlement[T any] struct {
	items []T
	index []int // where each stands in the batch
}

// byShard parts a batch by the shards of its handles; errs has one entry for
// each item, nil for those that are in one.
func byShard[T any](s *Store, queue string, items []T, handle func(*T) Handle) (parts map[int]*settlement[T], errs []error) {
	errs = make([]error, len(items))
	parts = make(map[int]*settlement[T])
	q, err := s.lookup(queue)
	for i := range items {
		h := handle(&items[i])
		if errs[i] = err; err == nil {
			errs[i] = s.checkHandle(q, h)
		}
		if errs[i] != nil {
			continue
		}
		p := parts[h.shard]
		if p == nil {
			p = &settlement[T]{}
			parts[h.shard] = p
		}
		p.items, p.index = append(p.items, items[i]), append(p.index, i)
	}
	return parts, errs
}

// answer enters into errs what became of it: one error of all, or else own,
// which belongs to the writer until it has answered.
func (p *settlement[T]) answer(errs []error, all error, own *[]error) {
	for n, i := range p.index {
		if errs[i] = all; all == nil {
			errs[i] = (*own)[n]
		}
	}
}

// Visibility is how long from now a leased message stays hidden.
type Visibility struct {
	Handle Handle
	For    time.Duration // 0 … MaxVisibility counted from the receive; 0 ends the lease
}

// visibilityWork moves the ends of leases.
type visibilityWork struct {
	changes []Visibility
	errs    []error
}

func (v *visibilityWork) do(w *writer) (answer, error) {
	v.errs = make([]error, len(v.changes))
	when := whenSettled
	for i, c := range v.changes {
		one, err := w.changeVisibility(c.Handle, c.For)
		v.errs[i] = err
		if one == whenDurable {
			when = whenDurable
		}
	}
	return when, nil
}

func (w *writer) changeVisibility(h Handle, d time.Duration) (answer, error) {
	if d < 0 || d > MaxVisibility {
		return 0, fmt.Errorf("%w: visibility must be 0 to %v, not %v", ErrInvalid, MaxVisibility, d)
	}
	q, def := w.store.byNumber(h.queue)
	s, ok, err := w.stateOf(h.queue, h.seq)
	if err == nil && !ok && q != nil && !def.Settings.FIFO {
		s, ok, err = w.neverLeased(h)
	}
	if err != nil {
		return 0, err
	}
	held := ok && s.phase == phaseLeased && s.lease == h.lease
	if q == nil || !held && (!ok || s.phase == phaseWaiting || def.Settings.FIFO) {
		return 0, fmt.Errorf("message %d: %w", h.seq, ErrNotInFlight)
	}
	when := durableIf(def.Settings.FIFO)
	ln := w.line(h.queue)
	if s.phase == phaseReady {
		if d > 0 {
			w.hide(ln, h, s, w.now+durationMillis(d))
		}
		return when, nil
	}
	due := w.now + durationMillis(d)
	if due > s.leased+durationMillis(MaxVisibility) {
		return 0, fmt.Errorf("%w: the lease would last longer than %v", ErrInvalid, MaxVisibility)
	}
	if d == 0 {
		w.endLease(ln, h.seq, s)
		return when, nil
	}
	w.dropTimer(h.queue, h.seq, s.due)
	s.due = due
	w.putState(h.queue, h.seq, &s)
	return when, nil
}

// hide gives the latest lease of a ready message back to whoever had it. One
// that was lost in a crash is that of the handle.
func (w *writer) hide(ln *line, h Handle, s state, due int64) {
	w.leave(ln, h.seq, s)
	s.phase, s.lease, s.leased, s.due = phaseLeased, max(s.lease, h.lease), w.now, due
	ln.counts.leased++
	if leaseEpoch(s.lease) == w.store.meta.Epoch {
		ln.fly(s.group, 1)
	}
	w.touch(ln)
	w.putState(ln.number, h.seq, &s)
}

// ChangeVisibilities makes the leases of messages end at their time from now;
// one error per change. In a standard queue it takes, as in SQS, any handle of a
// message: after the lease ended the message is hidden again, and a lease of
// somebody else ends then too. In a FIFO queue, and for a message that is gone or
// waits, it is ErrNotInFlight. Durable on return in a FIFO queue; in a standard
// queue a crash may bring the message back early, as it may any lease.
func (s *Store) ChangeVisibilities(ctx context.Context, queue string, changes ...Visibility) []error {
	parts, errs := byShard(s, queue, changes, func(c *Visibility) Handle { return c.Handle })
	for shard, p := range parts {
		v := &visibilityWork{changes: p.items}
		p.answer(errs, s.shards[shard].run(ctx, v), &v.errs)
	}
	return errs
}

// ChangeVisibility is ChangeVisibilities of one message.
func (s *Store) ChangeVisibility(ctx context.Context, queue string, h Handle, d time.Duration) error {
	return s.ChangeVisibilities(ctx, queue, Visibility{h, d})[0]
}

// orphansWork takes over leases of earlier epochs.
type orphansWork struct {
	receiveWork
	visibility time.Duration
}

func (o *orphansWork) do(w *writer) (answer, error) {
	o.number = o.queue.current.Load().number()
	ln := w.line(o.number)
	if ln.orphanEnd {
		return whenSettled, nil
	}
	w.flush()
	key := func(pos uint64) []byte { return messageKey(nil, w.sh.prefix, tableLease, o.number, pos) }
	from := max(ln.orphans, ln.counts.floor)
	it := w.iter(key(from), prefixEnd(queueKey(nil, w.sh.prefix, tableLease, o.number)))
	defer it.Close()
	ok := it.First() || w.past(it, key, from, math.MaxUint64)
	for ; ok && len(o.got) < o.max; ok = w.step(it, ln, key, ln.orphans, math.MaxUint64) {
		pos := positionOf(it.Key())
		s, err := parseState(it.Value())
		must(err)
		ln.orphans = pos + 1
		if s.phase == phaseLeased && leaseEpoch(s.lease) < w.store.meta.Epoch {
			w.dropTimer(o.number, pos, s.due)
			w.leases++
			s.lease = w.store.meta.Epoch<<leaseCounterBits | w.leases
			s.leased, s.due = w.now, w.now+durationMillis(o.visibility)
			ln.fly(s.group, 1)
			w.putState(o.number, pos, &s)
			o.got = append(o.got, leased{pos: pos, state: s})
		}
	}
	ln.orphanEnd = !ok
	return whenDurable, nil
}

// Orphans leases to the caller, for visibility, up to max messages of a queue
// whose leases were taken before this Open, by a process that is gone. The
// caller settles each by Delete or Retry; leases of later receives are left alone.
func (s *Store) Orphans(ctx context.Context, queue string, limit int, visibility time.Duration) ([]Received, error) {
	q, err := s.lookup(queue)
	if err != nil {
		return nil, err
	}
	if limit < 1 || limit > MaxBatch {
		return nil, fmt.Errorf("%w: max must be 1 to %d messages, not %d", ErrInvalid, MaxBatch, limit)
	}
	if visibility <= 0 || visibility > MaxVisibility {
		return nil, fmt.Errorf("%w: visibility must be above 0 and at most %v, not %v", ErrInvalid, MaxVisibility, visibility)
	}
	var out []Received
	for _, sh := range s.shards {
		if len(out) == limit {
			break
		}
		o := &orphansWork{receiveWork{queue: q, max: limit - len(out)}, visibility}
		if err := sh.run(ctx, o); err != nil {
			return out, err
		}
		part, err := s.contents(sh, q, &o.receiveWork)
		if err != nil {
			return out, err
		}
		out = append(out, part...)
	}
	return out, nil
}
