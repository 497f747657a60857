package channels

import (
	"context"
	"fmt"
	"time"
)

// fault is why an account is not used, by its provider's word. While it lasts
// the account is tested: by its channel's probe, if it has one, and when that
// finds nothing, by a single delivery. Only a delivery the provider took ends
// it: a probe cannot see every fault, such as an APNs key of the other
// environment. The account is locked for all that is done with it.
type fault struct {
	since  time.Time
	code   string
	reason string
	wait   time.Duration // between tests; doubles when a delivery meets the fault again
	next   time.Time     // of the next test
	open   bool          // half open: the next delivery is the test
	busy   bool          // a test is under way
}

// longestWait is the most that a fault's tests lie apart, unless the account
// wants them further apart from the beginning.
const longestWait = 15 * time.Minute

// again puts the next test off.
func (f *fault) again() {
	f.open, f.busy, f.next = false, false, time.Now().Add(f.wait)
}

// fail notes an account fault that an attempt met; one met with a channel that
// was replaced meanwhile does not count.
func (a *account) fail(s *sending, err *Error) {
	now := a.pool.store.Now()
	a.mu.Lock()
	if a.o.Channel != s.o.Channel {
		a.mu.Unlock()
		return
	}
	first := a.fault == nil
	switch {
	case first:
		a.fault = &fault{since: now, wait: a.o.ProbeEvery}
		a.fault.again()
	case a.fault == s.trial:
		a.fault.wait = max(a.fault.wait, min(2*a.fault.wait, longestWait))
		a.fault.again()
	}
	a.fault.code, a.fault.reason = err.Code, err.Error()
	wait := a.fault.wait
	a.metrics.show(a.state())
	a.mu.Unlock()
	a.notify()
	switch {
	case first:
		a.pool.log.Error("account fault: its deliveries wait, none is lost; check its credentials, payment and configuration, then replace or resume it",
			"account", a.name, "provider", s.o.Provider, "status", err.Status, "code", err.Code, "err", err, "next_test_in", wait)
		a.pool.changed(a.describe())
	case s.trial != nil:
		a.pool.log.Warn("account still at fault: the delivery that tested it was refused",
			"account", a.name, "status", err.Status, "code", err.Code, "next_test_in", wait)
	}
}

// standing is what an answer says of the account.
func (s *sending) standing(err *Error) {
	if s.trial != nil { // a test is one entry: no other call of this sending writes it
		s.tested = true
	}
	if err != nil && err.Kind == AccountFault {
		s.fail(s, err)
		return
	}
	if s.trial == nil {
		return
	}
	if err == nil {
		s.recovered(s.trial)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err.Kind {
	case Temporary, Throttled, Uncertain: // it says nothing of the account
		s.trial.again()
	default: // it came past the credentials, and was about the recipient: the next one decides
		s.trial.busy = false
	}
	s.notify()
}

// recovered ends a fault, unless another one took its place.
func (a *account) recovered(f *fault) {
	a.mu.Lock()
	current := a.fault == f
	if current {
		a.clear()
	}
	a.mu.Unlock()
	if current {
		a.share.forget() // with what led to the fault, the next one would be near
		a.pool.log.Info("account active", "account", a.name, "reason", "a delivery was accepted")
		a.pool.changed(a.describe())
	}
	a.notify()
}

// clear ends a fault. The account is locked.
func (a *account) clear() {
	a.fault, a.since = nil, a.pool.store.Now()
	a.groups.unhide()
	a.metrics.show(a.state())
}

// test begins the probe of a faulted account, or tells that one delivery may
// be tried instead. The account is locked.
func (w *worker) test(now time.Time) (n int, wait time.Duration) {
	f := w.fault
	d := f.next.Sub(now)
	switch {
	case f.busy:
		return 0, forever
	case f.open:
		return 1, forever
	case d > 0:
		return 0, d
	}
	p, ok := w.o.Channel.(Prober)
	if !ok {
		f.open = true
		return 1, forever
	}
	f.busy = true
	o := w.o
	w.use(o.Channel)
	w.attempts.Go(func() {
		defer w.release(o.Channel)
		w.probe(w.run.ctx, f, o, p)
	})
	return 0, forever
}

// probe tests a faulted account's credentials.
func (a *account) probe(ctx context.Context, f *fault, o *AccountOptions, p Prober) {
	ctx, cancel := context.WithTimeout(ctx, o.Limits.Timeout)
	defer cancel()
	err := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("probe panicked: %v", r)
			}
		}()
		return p.Probe(ctx)
	}()
	a.mu.Lock()
	if err == nil {
		f.busy, f.open = false, true
	} else {
		f.again()
	}
	a.mu.Unlock()
	a.notify()
	if err != nil {
		a.pool.log.Debug("account still at fault", "account", a.name, "err", err)
		return
	}
	a.pool.log.Info("account's credentials are accepted again; one delivery is tried", "account", a.name)
}
