package channels

import (
	"context"
	"math/rand/v2"
	"time"
)

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
	if a.o.Verdict.Action == Retry {
		meter.retry(err)
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
