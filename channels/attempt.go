package channels

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// sending is the way of entries that go together: admitted, intended, delivered
// and recorded. They are one, or some of one shard for a BatchDeliverer; from the
// call on, those of each endpoint go their own way.
type sending struct {
	*account
	worker *worker
	o      *AccountOptions // as they were when the entries were leased
	trial  *fault          // the fault it tests; nil: none
	tested bool            // the test was made
}

// attempt is one entry on its way.
type attempt struct {
	e Entry
	d Delivery
	o Outcome
}

const (
	batchMost   = 10          // entries handed to a BatchDeliverer at a time
	recordTries = 10          // for an outcome whose batch meets a conflict
	conflictGap = time.Second // until an entry is looked at again that nobody could begin
)

// start begins the attempts of leased entries; it does not wait for them.
func (w *worker) start(entries []Entry, r room) {
	most := 1
	if _, ok := r.o.Channel.(BatchDeliverer); ok {
		most = batchMost
	}
	open := make(map[int][]Entry)
	send := func(part []Entry) {
		s := &sending{account: w.account, worker: w, o: r.o, trial: r.trial}
		w.mu.Lock()
		w.use(r.o.Channel)
		w.mu.Unlock()
		w.attempts.Go(func() {
			defer s.release(r.o.Channel)
			s.send(part)
		})
	}
	for _, e := range entries {
		shard := e.Handle.Shard()
		if open[shard] = append(open[shard], e); len(open[shard]) == most {
			send(open[shard])
			delete(open, shard)
		}
	}
	for _, part := range open {
		send(part)
	}
}

func (s *sending) send(entries []Entry) {
	ctx := s.pool.hard
	var ready []*attempt
	for _, e := range entries {
		if a := s.admit(ctx, e); a != nil {
			ready = append(ready, a)
		} else {
			s.free(&attempt{e: e})
		}
	}
	var calls sync.WaitGroup
	for c, as := range s.part(s.intend(ctx, ready)) {
		calls.Go(func() {
			defer s.free(as...)
			s.deliver(ctx, c.limit, as)
			s.pool.record(as)
		})
	}
	calls.Wait()
}

// call is what attempts share that are made in one.
type call struct {
	endpoint string
	limit    time.Duration
}

// part divides attempts into calls. A slow endpoint or a near deadline ends a call
// for all in it; so those to another endpoint are in another one, even if of the
// same group, and so are those that have more time.
func (s *sending) part(as []*attempt) map[call][]*attempt {
	now := s.pool.store.Now()
	calls := make(map[call][]*attempt)
	for _, a := range as {
		c := call{endpoint: a.d.Endpoint, limit: s.o.Limits.Timeout}
		if a.d.Timeout > 0 {
			c.limit = min(c.limit, a.d.Timeout)
		}
		if !a.d.Expires.IsZero() {
			c.limit = min(c.limit, a.d.Expires.Sub(now))
		}
		calls[c] = append(calls[c], a)
	}
	return calls
}

// free gives back the slots.
func (s *sending) free(as ...*attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight -= len(as)
	for _, a := range as {
		s.groups.end(a.e.Group)
	}
	if s.trial != nil && !s.tested {
		s.trial.busy = false // nothing was sent: the next entry is the test
	}
	s.notify()
}

// may tells whether an attempt may still begin.
func (s *sending) may() bool {
	return s.worker.going() && s.working(s.trial)
}

// admit asks the desk. It returns nil if the delivery does not go; then that is
// recorded, or the entry was given back.
func (s *sending) admit(ctx context.Context, e Entry) *attempt {
	if !s.may() {
		s.giveBack(e, time.Time{})
		return nil
	}
	d, v := s.pool.desk.Admit(ctx, e)
	a := &attempt{e: e, d: d, o: Outcome{Verdict: v}}
	if v.Action != Send {
		s.charge(-1)
		s.pool.record([]*attempt{a})
		return nil
	}
	if !s.may() {
		s.giveBack(e, time.Time{})
		return nil
	}
	return a
}

// giveBack ends the lease as if it had never been.
func (s *sending) giveBack(e Entry, at time.Time) {
	s.charge(-1)
	s.pool.givenBack.Add(1)
	b := new(queue.Batch)
	b.Retry(e.Handle, at, true)
	if _, err := s.pool.store.Commit(context.Background(), e.Handle.Shard(), b); err != nil && !s.pool.ended(err) {
		s.pool.log.Warn("entry cannot be given back; its lease will end", "account", s.name, "id", e.ID, "err", err)
	}
}

// intend notes that the attempts begin, in one batch. If that fails, each goes
// on for itself. It returns those that may be made, and frees the others' slots.
func (s *sending) intend(ctx context.Context, as []*attempt) []*attempt {
	if len(as) == 0 || s.note(as) == nil {
		return as
	}
	var ready []*attempt
	for _, a := range as {
		if again := s.intendAgain(ctx, a); again != nil {
			ready = append(ready, again)
		} else {
			s.free(a)
		}
	}
	return ready
}

// note commits the ledger's notes.
func (s *sending) note(as []*attempt) error {
	b := new(queue.Batch)
	if s.o.Idempotent {
		b.Unsynced()
	}
	for _, a := range as {
		if err := s.pool.desk.Intend(b, a.e, a.d); err != nil {
			return err
		}
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := s.pool.store.Commit(context.Background(), as[0].e.Handle.Shard(), b)
	return err
}

// intendAgain has an attempt admitted anew whose delivery moved on meanwhile.
func (s *sending) intendAgain(ctx context.Context, a *attempt) *attempt {
	if a = s.admit(ctx, a.e); a == nil {
		return nil
	}
	err := s.note([]*attempt{a})
	switch {
	case err == nil:
		return a
	case s.pool.ended(err):
	case errors.Is(err, queue.ErrStaleHandle): // another has it
		s.charge(-1)
	default:
		if !errors.Is(err, queue.ErrConflict) {
			s.pool.log.Error("attempt cannot be noted", "account", s.name, "id", a.e.ID, "err", err)
		}
		s.giveBack(a.e, s.pool.store.Now().Add(conflictGap))
	}
	return nil
}

// deliver makes the attempts of one call and decides what follows.
func (s *sending) deliver(ctx context.Context, limit time.Duration, as []*attempt) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	started := time.Now()
	results := s.call(within, as)
	took := time.Since(started)
	for i, a := range as {
		a.o.Try, a.o.Endpoint, a.o.Took, a.o.Receipt = a.d.Try, a.d.Endpoint, took, results[i].Receipt
		a.o.Err = s.classify(results[i].Err)
		s.judge(ctx, a, started)
	}
}

// call calls the channel; there is a result for each attempt.
func (s *sending) call(ctx context.Context, as []*attempt) (results []Result) {
	defer func() {
		if p := recover(); p != nil {
			s.pool.log.Error("channel panicked", "account", s.name, "panic", p, "stack", string(debug.Stack()))
			results = nil
		}
		for len(results) < len(as) {
			results = append(results, Result{Err: &Error{
				Kind: Uncertain, Provider: s.o.Provider, Code: "panic", Err: errors.New("the channel gave no result")}})
		}
	}()
	batch, ok := s.o.Channel.(BatchDeliverer)
	if !ok || len(as) == 1 {
		for _, a := range as {
			receipt, err := s.o.Channel.Deliver(ctx, a.d)
			results = append(results, Result{receipt, err})
		}
		return results
	}
	ds := make([]Delivery, len(as))
	for i, a := range as {
		ds[i] = a.d
	}
	return batch.DeliverBatch(ctx, ds)
}

// classify makes what a channel returned an *Error. The text of another kind of
// error may hold anything and is left out.
func (s *sending) classify(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Provider: s.o.Provider, Code: "unclassified", Unknown: true, Err: fmt.Errorf("error of type %T", err)}
}
