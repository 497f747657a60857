package channels

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// sending is the way of entries that go together: admitted, intended, delivered
// and recorded. They are one, or some of one shard for a BatchDeliverer.
type sending struct {
	*account
	worker *worker
	o      *AccountOptions // as they were when the entries were leased
	trial  bool            // it tests a faulted account
	tested bool            // the trial said something
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
		w.attempts.Go(func() { s.send(part) })
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
	defer s.free(entries)
	ctx := s.pool.hard
	var ready []*attempt
	for _, e := range entries {
		if a := s.admit(ctx, e); a != nil {
			ready = append(ready, a)
		}
	}
	if ready = s.intend(ctx, ready); len(ready) == 0 {
		return
	}
	s.deliver(ctx, ready)
	s.record(ready)
}

// free gives back the slots.
func (s *sending) free(entries []Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight -= len(entries)
	for _, e := range entries {
		s.groups.end(e.Group)
	}
	if s.trial && !s.tested && s.o == s.account.o && s.fault != nil {
		s.fault.busy = false // nothing was sent: the next entry is the trial
	}
	s.notify()
}

// may tells whether an attempt may still begin.
func (s *sending) may() bool {
	return s.worker.going() && (s.trial || s.working())
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
		s.record([]*attempt{a})
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
	b := new(queue.Batch)
	b.Retry(e.Handle, at, true)
	if _, err := s.pool.store.Commit(context.Background(), e.Handle.Shard(), b); err != nil && !s.pool.ended(err) {
		s.pool.log.Warn("entry cannot be given back; its lease will end", "account", s.name, "id", e.ID, "err", err)
	}
}

// intend notes that the attempts begin, in one batch. If that fails, each goes
// on for itself. It returns those that may be made.
func (s *sending) intend(ctx context.Context, as []*attempt) []*attempt {
	if len(as) == 0 || s.note(as) == nil {
		return as
	}
	var ready []*attempt
	for _, a := range as {
		if a = s.intendAgain(ctx, a); a != nil {
			ready = append(ready, a)
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

// deliver makes the attempts and decides what follows.
func (s *sending) deliver(ctx context.Context, as []*attempt) {
	limit := s.o.Limits.Timeout
	for _, a := range as {
		if !a.d.Expires.IsZero() {
			limit = min(limit, a.d.Expires.Sub(s.pool.store.Now()))
		}
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	started := time.Now()
	results := s.call(within, as)
	took := time.Since(started)
	for i, a := range as {
		a.o.Try, a.o.Took, a.o.Receipt = a.d.Try, took, results[i].Receipt
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

// judge counts an attempt's answer and decides what follows.
func (s *sending) judge(ctx context.Context, a *attempt, started time.Time) {
	now := time.Now()
	if s.options() == s.o {
		a.o.Err = s.share.judge(now, a.o.Err)
	}
	err := a.o.Err
	s.pool.heard(err)
	s.mu.Lock()
	s.groups.answered(a.e.Group, started, now, err, s.lapse)
	meter := s.metrics
	s.mu.Unlock()
	meter.attempt(err, a.o.Took)
	s.standing(err)
	if err == nil && a.o.Receipt.Units > 1 {
		s.charge(a.o.Receipt.Units - 1)
	}
	a.o.Verdict = s.verdict(ctx, a)
	if a.o.Verdict.Action == Retry && err.RetryAfter > 0 {
		meter.retryAfter.Inc()
	}
}

// lapse is called when a group's breaker lets one through.
func (a *account) lapse() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.groups.unhide()
	a.notify()
}

// standing is what an answer says of the account.
func (s *sending) standing(err *Error) {
	if err != nil && err.Kind == AccountFault {
		s.fail(s.o, err)
		s.tested = true
		return
	}
	if s.trial {
		s.tested = true
		s.account.tested(s.o, err == nil || err.Kind != Temporary && err.Kind != Uncertain)
	}
}

func (s *sending) verdict(ctx context.Context, a *attempt) Verdict {
	policy := s.pool.desk.Policy(ctx, a.e)
	now := s.pool.store.Now()
	t := Attempt{
		Try: a.d.Try, Age: now.Sub(a.d.PublishedAt), Now: now, Expires: a.d.Expires,
		Idempotent: s.o.Idempotent, Random: rand.Float64(),
	}
	if err := a.o.Err; err != nil && err.Unreachable && err.Kind == Temporary && s.pool.cutOff() {
		return uplinkDown(policy, t, err)
	}
	return policy.Judge(t, a.o.Err)
}

// uplinkDown is the verdict when nothing can be reached: the attempt is not
// spent. The publish's deadline and the policy's bound on age still hold.
func uplinkDown(p RetryPolicy, t Attempt, err *Error) Verdict {
	t.Try = 1
	wait := RetryPolicy{Phases: []Phase{{Tries: 1, From: silence, To: silence}}, MaxAge: p.MaxAge}
	v := wait.Judge(t, &Error{Kind: Temporary, Wait: err.Wait})
	if v.Action == Retry {
		v.Free, v.Reason = true, "nothing can be reached"
	}
	return v
}

// silence is how long no provider answered when the uplink counts as down.
const silence = 10 * time.Second

// heard notes that some provider answered.
func (p *Pool) heard(err *Error) {
	if err == nil || err.Status != 0 {
		p.answered.Store(int64(time.Since(p.began)) + 1)
	}
}

// cutOff tells whether no provider answered of late.
func (p *Pool) cutOff() bool {
	last := p.answered.Load()
	return last == 0 || time.Since(p.began)-time.Duration(last-1) >= silence
}

// record commits the outcomes, in one batch if nothing is in the way.
func (s *sending) record(as []*attempt) {
	if len(as) > 1 {
		err := s.commit(as)
		if err == nil || s.pool.ended(err) {
			return
		}
	}
	for _, a := range as {
		s.recordOne(a)
	}
}

func (s *sending) recordOne(a *attempt) {
	var err error
	for range recordTries {
		if err = s.commit([]*attempt{a}); !errors.Is(err, queue.ErrConflict) {
			break
		}
	}
	if err == nil || s.pool.ended(err) {
		return
	}
	log := s.pool.log.With("account", s.name, "id", a.e.ID, "err", err)
	if errors.Is(err, queue.ErrStaleHandle) {
		log.Warn("outcome came after the lease had ended")
		s.pool.late(context.WithoutCancel(s.pool.hard), a.e, a.o)
		return
	}
	log.Error("outcome cannot be recorded; the lease will end")
}

func (s *sending) commit(as []*attempt) error {
	b := new(queue.Batch)
	for _, a := range as {
		if err := s.pool.desk.Record(b, a.e, a.o); err != nil {
			return err
		}
	}
	if b.Len() > 0 {
		if _, err := s.pool.store.Commit(context.Background(), as[0].e.Handle.Shard(), b); err != nil {
			return err
		}
	}
	for _, a := range as {
		if a.o.Verdict.final() {
			s.pool.settled(a.e.ID)
		}
	}
	return nil
}

// final tells whether nothing follows of itself.
func (v Verdict) final() bool {
	switch v.Action {
	case Done, DeadLetter, Expire, Suppress, Cancel:
		return true
	case Send, Retry, Hold, Pause, Unsure, Drop:
	}
	return false
}
