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
	errs := make([]error, len(handles))
	parts := make(map[int][]int)
	q, err := s.lookup(queue)
	for i, h := range handles {
		if errs[i] = err; err == nil {
			errs[i] = s.checkHandle(q, h)
		}
		if errs[i] == nil {
			parts[h.shard] = append(parts[h.shard], i)
		}
	}
	for shard, index := range parts {
		d := &deleteWork{handles: make([]Handle, 0, len(index))}
		for _, i := range index {
			d.handles = append(d.handles, handles[i])
		}
		err := s.shards[shard].run(ctx, d)
		for n, i := range index {
			if errs[i] = err; err == nil {
				errs[i] = d.errs[n]
			}
		}
	}
	return errs
}

// visibilityWork moves the end of a lease.
type visibilityWork struct {
	handle Handle
	d      time.Duration
}

func (v *visibilityWork) do(w *writer) (answer, error) {
	h := v.handle
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
	when := durableIf(def.Settings.FIFO || def.Settings.DurableLeases)
	ln := w.line(h.queue)
	if s.phase == phaseReady {
		if v.d > 0 {
			w.hide(ln, h, s, w.now+durationMillis(v.d))
		}
		return when, nil
	}
	due := w.now + durationMillis(v.d)
	if due > s.leased+durationMillis(MaxVisibility) {
		return 0, fmt.Errorf("%w: the lease would last longer than %v", ErrInvalid, MaxVisibility)
	}
	if v.d == 0 {
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

// ChangeVisibility makes a leased message's lease end d from now; 0 ends it at
// once. d is 0 … MaxVisibility counted from the receive. In a standard queue it
// takes, as in SQS, any handle of a message: after the lease ended the message is
// hidden again, and a lease of somebody else ends then too. In a FIFO queue, and
// for a message that is gone or waits, it is ErrNotInFlight.
func (s *Store) ChangeVisibility(ctx context.Context, queue string, h Handle, d time.Duration) error {
	q, err := s.lookup(queue)
	if err != nil {
		return err
	}
	if err := s.checkHandle(q, h); err != nil {
		return err
	}
	if d < 0 || d > MaxVisibility {
		return fmt.Errorf("%w: visibility must be 0 to %v, not %v", ErrInvalid, MaxVisibility, d)
	}
	return s.shards[h.shard].run(ctx, &visibilityWork{handle: h, d: d})
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
