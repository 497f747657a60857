package queue

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// movePage is the most messages one batch moves, moveBytes about the most
	// bytes: others wait for the writer meanwhile.
	movePage  = 200
	moveBytes = 1 << 20
	// moveLook is the most messages one step looks at.
	moveLook = 2000
	// moveTurns is how many batches a second a move with a rate is spread over.
	moveTurns = 10
	// moveFullPause is how long a move waits for disk space before it looks again.
	moveFullPause = time.Second
)

// moves are the moves that run.
type moves struct {
	starting sync.Mutex // held while one is made, so that there is one a source
	closed   bool       // under starting
	wg       sync.WaitGroup
	mu       sync.Mutex
	all      map[uint64]*moving // by the source's identity
}

// close waits for the moves to stop; they do when the inboxes are closed.
func (ms *moves) close() {
	ms.starting.Lock()
	ms.closed = true
	ms.starting.Unlock()
	ms.wg.Wait()
}

func (ms *moves) running(identity uint64) bool {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return ms.all[identity] != nil
}

func (ms *moves) find(id ID) *moving {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for _, mv := range ms.all {
		if mv.record.ID == id {
			return mv
		}
	}
	return nil
}

// start runs a move on a goroutine of its own.
func (ms *moves) start(s *Store, r *moveRecord) {
	own := *r
	mv := &moving{store: s, record: &own, done: make(chan struct{})}
	mv.ctx, mv.cancel = context.WithCancel(context.Background())
	ms.mu.Lock()
	defer ms.mu.Unlock()
	if ms.all == nil {
		ms.all = make(map[uint64]*moving)
	}
	ms.all[r.Identity] = mv
	ms.wg.Go(func() {
		defer mv.cancel()
		mv.run()
		ms.mu.Lock()
		delete(ms.all, r.Identity)
		ms.mu.Unlock()
		close(mv.done)
	})
}

// resumeMoves goes on with the moves that ran when the store was closed, and
// drops those whose source is gone.
func (s *Store) resumeMoves(records []*moveRecord) {
	for _, r := range records {
		switch {
		case s.identityGone(r.Identity):
			s.moves.wg.Go(func() { s.logMove(r, s.dropMove(r)) })
		case r.Phase == MoveRunning:
			s.moves.start(s, r)
		}
	}
}

func (s *Store) identityGone(identity uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.identities[identity] == nil
}

// logMove tells what went wrong beside the store itself.
func (s *Store) logMove(r *moveRecord, err error) {
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrStoreFailed) {
		s.log.Error("move cannot be kept", "queue", r.Source, "move", r.ID, "err", err)
	}
}

// moving is a move that runs. Record and err belong to its goroutine until done
// is closed.
type moving struct {
	store  *Store
	record *moveRecord
	ctx    context.Context //nolint:containedctx // ends the goroutine, not a call
	cancel context.CancelFunc
	next   time.Time // of the next batch, by the rate
	done   chan struct{}
	err    error // it stopped, but did not end
}

// run moves until nothing is left or it must end, and notes how it ended.
func (mv *moving) run() {
	r, s := mv.record, mv.store
	err := mv.shards()
	var failed *moveError
	switch {
	case mv.ctx.Err() != nil:
		r.Phase = MoveCancelled
	case errors.As(err, &failed):
		r.Phase, r.Reason = MoveFailed, failed.reason
	case err != nil:
		mv.err = err
		s.logMove(r, err)
		return
	default:
		r.Phase = MoveCompleted
	}
	r.Ended = s.clock.now()
	if mv.err = mv.end(); mv.err != nil {
		r.Phase = MoveRunning
		s.logMove(r, mv.err)
	}
}

// end saves how a move ended, and drops the oldest of its source beyond those kept.
func (mv *moving) end() error {
	s := mv.store
	if s.identityGone(mv.record.Identity) {
		return s.dropMove(mv.record)
	}
	if err := s.saveMove(mv.record); err != nil {
		return err
	}
	records, err := s.moveRecords(mv.record.Identity)
	if err != nil {
		return err
	}
	for _, old := range records[:max(0, len(records)-MovesKept)] {
		if err := s.dropMove(old); err != nil {
			return err
		}
	}
	return nil
}

// dropMovesOf ends and drops the moves of a queue that was deleted. A crash on
// the way leaves them to the next Open.
func (s *Store) dropMovesOf(identity uint64) error {
	s.moves.mu.Lock()
	mv := s.moves.all[identity]
	s.moves.mu.Unlock()
	if mv != nil {
		mv.cancel()
		<-mv.done
	}
	records, err := s.moveRecords(identity)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := s.dropMove(r); err != nil {
			return err
		}
	}
	return nil
}

// moveError is why a move cannot go on.
type moveError struct{ reason string }

func (e *moveError) Error() string { return e.reason }

// shards moves one shard's messages after the other's.
func (mv *moving) shards() error {
	for _, sh := range mv.store.shards {
		v, err := mv.store.readGate(sh, progressKey(sh.prefix, mv.record.ID))
		if err != nil {
			return err
		}
		p, err := parseProgress(v)
		if err != nil {
			return err
		}
		for done := false; !done; {
			if err := mv.pause(); err != nil {
				return err
			}
			w := &moveWork{record: mv.record, progress: p, limit: mv.page()}
			if err := sh.run(context.Background(), w); err != nil {
				return err
			}
			if err := mv.store.applied(mv.ctx, sh, w.forwarded); err != nil {
				return err
			}
			mv.spend(w.progress.moved - p.moved)
			if w.failed != nil {
				return w.failed
			}
			p, done = w.progress, w.done
		}
	}
	return nil
}

// page is how many messages the next batch moves.
func (mv *moving) page() int {
	if mv.record.Rate == 0 {
		return movePage
	}
	return min(max(mv.record.Rate/moveTurns, 1), movePage)
}

// spend puts the next batch off for as long as n messages may take.
func (mv *moving) spend(n int64) {
	if mv.record.Rate == 0 {
		return
	}
	if now := time.Now(); mv.next.Before(now) {
		mv.next = now
	}
	mv.next = mv.next.Add(time.Duration(n) * time.Second / time.Duration(mv.record.Rate))
}

// pause waits for the rate and for disk space.
func (mv *moving) pause() error {
	wait := time.Until(mv.next)
	for {
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-mv.ctx.Done():
			case <-mv.store.closing:
			case <-mv.store.failed:
			}
			timer.Stop()
		}
		select {
		case <-mv.ctx.Done():
			return mv.ctx.Err()
		case <-mv.store.closing:
			return ErrClosed
		case <-mv.store.failed:
			return mv.store.failure()
		default:
		}
		if !mv.store.DiskFull() {
			return nil
		}
		wait = moveFullPause
	}
}
