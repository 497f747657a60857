package queue

import (
	"context"
	"fmt"
	"time"
)

// takeWork leases messages that are named by their positions.
type takeWork struct {
	receiveWork
	positions  []uint64
	visibility time.Duration
}

func (t *takeWork) do(w *writer) (answer, error) {
	def := t.queue.current.Load()
	t.number = def.number()
	if w.store.queue(def.Name) != t.queue {
		return 0, fmt.Errorf("queue %q: %w", def.Name, ErrNotFound)
	}
	ln := w.line(t.number)
	due := w.now + leaseMillis(t.visibility)
	for _, pos := range t.positions {
		s, ok, err := w.stateOf(t.number, pos)
		if err == nil && !ok {
			s, ok, err = w.neverLeased(Handle{queue: t.number, shard: w.sh.number, seq: pos})
		}
		if err != nil {
			return 0, err
		}
		if !ok || s.phase == phaseLeased {
			continue
		}
		w.leave(ln, pos, s)
		e := readyEntry{pos: pos, lease: s.lease, receives: s.receives, first: s.first}
		t.got = append(t.got, leased{pos: pos, state: w.lease(ln, s.group, e, due)})
	}
	return whenApplied, nil
}

// Take leases to the caller, for visibility, messages of a standard queue that
// Messages showed in a shard, at most MaxBatch: whether visible yet or not, and
// before those that came first. What is gone or leased meanwhile is left out.
// The leases are not durable: a crash makes them visible again.
func (s *Store) Take(ctx context.Context, queue string, shard int, positions []uint64, visibility time.Duration) ([]Received, error) {
	q, err := s.lookup(queue)
	if err != nil {
		return nil, err
	}
	sh, err := s.shard(shard)
	switch {
	case err != nil || shard == Registry:
		return nil, fmt.Errorf("%w: shard %d of %d", ErrInvalid, shard, len(s.shards))
	case len(positions) > MaxBatch:
		return nil, fmt.Errorf("%w: at most %d messages are taken at once, not %d", ErrInvalid, MaxBatch, len(positions))
	case visibility <= 0 || visibility > MaxVisibility:
		return nil, fmt.Errorf("%w: visibility must be above 0 and at most %v, not %v", ErrInvalid, MaxVisibility, visibility)
	case q.current.Load().Settings.FIFO:
		return nil, fmt.Errorf("%w: a FIFO queue gives its messages in their order only", ErrInvalid)
	}
	t := &takeWork{receiveWork{queue: q, max: len(positions)}, positions, visibility}
	if err := sh.run(ctx, t); err != nil {
		return nil, err
	}
	return s.contents(sh, q, &t.receiveWork)
}
