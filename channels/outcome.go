package channels

import (
	"context"
	"math/rand/v2"
	"time"
)

// judge counts an attempt's answer and decides what follows.
func (s *sending) judge(ctx context.Context, a *attempt, started time.Time) {
	now := time.Now()
	if s.options().Channel == s.o.Channel {
		a.o.Err = s.share.judge(now, a.o.Err, s.trial != nil)
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

func (s *sending) verdict(ctx context.Context, a *attempt) Verdict {
	policy := s.pool.desk.Policy(ctx, a.e)
	now := s.pool.store.Now()
	t := Attempt{ // the delivery's id tells its age: what it says may be older
		Try: a.d.Try, Age: now.Sub(a.e.ID.Time()), Now: now, Expires: a.d.Expires,
		Idempotent: s.o.Idempotent, Random: rand.Float64(),
	}
	switch err := a.o.Err; {
	case err == nil:
	case err.Unreachable && err.Kind == Temporary && t.Age < longestCutOff && s.pool.cutOff():
		s.pool.metrics.uplinkDown.Set(1)
		return unspent(policy.MaxAge, t, max(silence, err.Wait), "nothing can be reached")
	case s.trial != nil && err.Kind == AccountFault && err.Escalate != nil:
		return unspent(0, t, suspectRest, "account fault")
	}
	return policy.Judge(t, a.o.Err)
}

// unspent is the verdict for an attempt that costs no try. The publish's
// deadline and a bound on its age (0: none) still hold.
func unspent(maxAge time.Duration, t Attempt, wait time.Duration, why string) Verdict {
	t.Try = 1
	p := RetryPolicy{Phases: []Phase{{Tries: 1, From: wait, To: wait}}, MaxAge: maxAge}
	v := p.Judge(t, &Error{Kind: Temporary})
	if v.Action == Retry {
		v.Free, v.Reason = true, why
	}
	return v
}

// suspectRest is how long an entry rests that tested an account and got the
// answer whose frequency was the fault. Its own endpoint may be to blame, and
// others must have their turn at testing.
const suspectRest = time.Hour

// longestCutOff is how old a delivery may be for its attempts to cost nothing
// while nothing can be reached, a long weekend: where little is sent, a single
// endpoint that is gone looks the same.
const longestCutOff = 72 * time.Hour

// silence is how long no provider answered when the uplink counts as down.
const silence = 10 * time.Second

// heard notes that some provider answered.
func (p *Pool) heard(err *Error) {
	if err == nil || err.Status != 0 {
		p.answered.Store(int64(time.Since(p.began)) + 1)
		p.metrics.uplinkDown.Set(0)
	}
}

// cutOff tells whether no provider answered of late.
func (p *Pool) cutOff() bool {
	last := p.answered.Load()
	return last == 0 || time.Since(p.began)-time.Duration(last-1) >= silence
}
