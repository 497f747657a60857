package channels

import (
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
	limiter  *rate.Limiter   // nil: no limit
	users    map[Channel]int // of the channels not closed yet: what works with them
	pause    *pause          // nil: not paused
	fault    *fault          // nil: not at fault
	since    time.Time       // active since
	inFlight int
	groups   groups
	ended    bool
}

func newAccount(p *Pool, o AccountOptions, held *pause) *account {
	a := &account{
		pool: p, name: o.Name, changed: make(chan struct{}, 1), gone: make(chan struct{}),
		share: newEscalations(), o: &o, metrics: p.metrics.account(&o), since: p.store.Now(),
		users: map[Channel]int{o.Channel: 0}, pause: held, groups: groups{all: make(map[string]*group)},
	}
	a.limit(o.Limits)
	a.metrics.show(a.state())
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

// replace takes over other options. With another channel a fault is tested at
// once, and what was counted of the old one is forgotten. It returns the old
// channel if that is to be closed now.
func (a *account) replace(o AccountOptions) (spare Channel) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.o.Protocol != o.Protocol || a.o.Provider != o.Provider {
		a.metrics.remove()
		a.metrics = a.pool.metrics.account(&o)
	}
	old := a.o.Channel
	a.o = &o
	if old != o.Channel {
		a.users[o.Channel] += 0
		spare = a.spare(old)
		a.share.forget()
		if f := a.fault; f != nil { // a new one: tests under way are the old channel's
			a.fault = &fault{since: f.since, code: f.code, reason: f.reason, wait: o.ProbeEvery}
		}
	}
	a.limit(o.Limits)
	a.groups.unhide()
	a.metrics.show(a.state())
	a.notify()
	return spare
}

func (a *account) remove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.metrics.remove()
	close(a.gone)
}

// state is the account's state; the account is locked.
func (a *account) state() string {
	switch {
	case a.pause != nil:
		return Paused
	case a.fault != nil:
		return Faulted
	}
	return Active
}

// working tells whether attempts may begin: those that test a fault only while
// it lasts, all others only without one.
func (a *account) working(trial *fault) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.ended && a.pause == nil && a.fault == trial
}

func (a *account) describe() AccountState {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := AccountState{
		Name: a.name, Protocol: a.o.Protocol, Provider: a.o.Provider, State: a.state(), Since: a.since,
		InFlight: a.inFlight, Idempotent: a.o.Idempotent,
	}
	switch f := a.fault; {
	case a.pause != nil:
		s.By, s.Since, s.Reason = ByOperator, a.pause.Since, a.pause.Reason
		s.Advice = "Resume it when it may go on. Its deliveries wait, none is lost."
	case f != nil:
		s.By, s.Since, s.Reason, s.Code = ByProvider, f.since, f.reason, f.code
		s.Advice = "Correct its credentials, payment or configuration; a reload or resume tries it at once. Its deliveries wait, none is lost."
		if f.open {
			s.Advice = "Nothing, if it was corrected: the provider finds no fault with its credentials, and the next delivery decides."
		} else if !f.busy {
			s.NextProbe = f.next
		}
	}
	return s
}
