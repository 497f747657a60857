package channels

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// account is an account of a pool with all that changes: its standing, its
// slots, its groups.
type account struct {
	pool    *Pool
	name    string
	changed chan struct{} // a slot, a group or the standing changed; one signal
	gone    chan struct{} // closed when it is removed
	share   *escalations

	mu       sync.Mutex
	o        *AccountOptions // replaced as a whole
	metrics  *accountMetrics
	limiter  *rate.Limiter // nil: no limit
	paused   bool
	why      string // of the pause
	fault    *fault
	since    time.Time
	inFlight int
	groups   groups
	removed  bool
}

// fault is why an account is not used.
type fault struct {
	code   string
	reason string
	next   time.Time // of the next probe or trial
	busy   bool      // one is under way
}

func newAccount(p *Pool, o AccountOptions) *account {
	a := &account{
		pool: p, name: o.Name, changed: make(chan struct{}, 1), gone: make(chan struct{}),
		share: newEscalations(), o: &o, metrics: p.metrics.account(&o), since: p.store.Now(),
		groups: groups{all: make(map[string]*group)},
	}
	a.limit(o.Limits)
	a.metrics.show(Active)
	return a
}

// limit sets the bucket. What is in it, or owed, is kept.
func (a *account) limit(l Limits) {
	switch {
	case l.Rate == 0:
		a.limiter = nil
	case a.limiter == nil:
		a.limiter = rate.NewLimiter(rate.Limit(l.Rate), l.Burst)
	default:
		a.limiter.SetLimit(rate.Limit(l.Rate))
		a.limiter.SetBurst(l.Burst)
	}
}

func (a *account) options() *AccountOptions {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.o
}

// notify lets the worker look again.
func (a *account) notify() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

func (a *account) replace(o AccountOptions) {
	a.mu.Lock()
	if a.o.Protocol != o.Protocol || a.o.Provider != o.Provider {
		a.metrics.remove()
		a.metrics = a.pool.metrics.account(&o)
	}
	a.o = &o
	a.limit(o.Limits)
	a.metrics.show(a.state())
	a.mu.Unlock()
	a.share.forget()
	a.resume("replaced", false)
}

func (a *account) remove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = true
	a.metrics.remove()
	close(a.gone)
}

func (a *account) pause(reason string) {
	a.pool.log.Info("account paused", "account", a.name, "reason", reason)
	a.mu.Lock()
	first := !a.paused
	if first {
		a.since = a.pool.store.Now()
	}
	a.paused, a.why = true, reason
	a.metrics.show(a.state())
	a.mu.Unlock()
	if first {
		a.pool.changed(a.describe())
	}
}

// resume ends a fault, and a pause if unpause is set.
func (a *account) resume(how string, unpause bool) {
	if a.clear(unpause) {
		a.pool.log.Info("account active", "account", a.name, "reason", how)
		a.pool.changed(a.describe())
	}
	a.notify() // if only since its limits changed
}

// clear tells whether it made the account active. Nothing that may block, as a
// log, is done with the account locked: the shards' writers ask it.
func (a *account) clear(unpause bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.state()
	a.fault = nil
	if unpause {
		a.paused, a.why = false, ""
	}
	a.groups.unhide()
	a.metrics.show(a.state())
	if a.state() == was || a.paused {
		return false
	}
	a.since = a.pool.store.Now()
	return true
}

// fail notes an account fault seen with the given options; one seen with
// options replaced meanwhile does not count.
func (a *account) fail(o *AccountOptions, err *Error) {
	now := a.pool.store.Now()
	a.mu.Lock()
	if a.o != o {
		a.mu.Unlock()
		return
	}
	first := a.fault == nil
	if first {
		a.since = now
	}
	a.fault = &fault{code: err.Code, reason: err.Error(), next: time.Now().Add(o.ProbeEvery)}
	a.metrics.show(a.state())
	a.mu.Unlock()
	a.notify()
	if first {
		a.pool.log.Error("account fault: its deliveries wait, none is lost; check its credentials, payment and configuration, then replace or resume it",
			"account", a.name, "provider", o.Provider, "status", err.Status, "code", err.Code, "err", err, "probe_every", o.ProbeEvery)
		a.pool.changed(a.describe())
	}
}

// state is the account's state; the account is locked.
func (a *account) state() string {
	switch {
	case a.paused:
		return Paused
	case a.fault != nil:
		return Faulted
	}
	return Active
}

// working tells whether attempts may begin.
func (a *account) working() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state() == Active && !a.removed
}

func (a *account) describe() AccountState {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AccountState{
		Name: a.name, Protocol: a.o.Protocol, Provider: a.o.Provider, State: a.state(), Since: a.since,
		InFlight: a.inFlight, Idempotent: a.o.Idempotent,
	}
	switch s.State {
	case Paused:
		s.Reason = a.why
	case Faulted:
		s.Reason, s.Code = a.fault.reason, a.fault.code
	}
	return s
}

// probe tests a faulted account's credentials.
func (a *account) probe(ctx context.Context, o *AccountOptions, p Prober) {
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
	a.tested(o, err == nil)
	if err != nil {
		a.pool.log.Debug("account still at fault", "account", a.name, "err", err)
	}
}

// tested ends a probe or trial made with the given options.
func (a *account) tested(o *AccountOptions, good bool) {
	a.mu.Lock()
	current := a.o == o && a.fault != nil
	if current {
		a.fault.busy, a.fault.next = false, time.Now().Add(o.ProbeEvery)
	}
	a.mu.Unlock()
	if current && good {
		a.resume("the account answers again", false)
		return
	}
	a.notify()
}
