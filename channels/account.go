package channels

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrNoAccount tells that the pool has no account of that name. The error returned names it.
var ErrNoAccount = errors.New("no such account")

// AccountOptions describe an account: a provider's credentials (in its
// Channel), limits and traits.
type AccountOptions struct {
	Name     string // unique: "twilio/main"
	Protocol string // "sms", "apns", "webhook" …
	Provider string // as in the error book
	// Channel is this account's own and comparable, such as a pointer: another
	// one means that credentials changed, the same one that at most limits did.
	Channel Channel
	// Idempotent tells that a repeated delivery harms nobody: an uncertain
	// attempt is made again, and intents need not be durable before the call.
	Idempotent bool
	Limits     Limits
	// ProbeEvery is the time between tests of a faulted account; default 30 s.
	// It doubles, up to 15 minutes, with each delivery that meets the fault again
	// after the probe found none, or without a probe.
	ProbeEvery time.Duration
}

// Limits bound what the workers do with an account. The zero value of each
// field means its default.
type Limits struct {
	Rate        float64       // attempts (SMS: segments) per second; default unlimited
	Burst       int           // most at once after a rest; default one second's worth
	Concurrency int           // attempts at a time; default 16
	PerGroup    int           // attempts at a time to one group; default half of Concurrency
	Timeout     time.Duration // of one attempt; default 30 s
}

// AccountState says how an account stands.
type AccountState struct {
	Name       string    `json:"name"`
	Protocol   string    `json:"protocol"`
	Provider   string    `json:"provider"`
	State      string    `json:"state"` // Active, Paused, Faulted or Missing
	Since      time.Time `json:"since,omitzero"`
	By         string    `json:"by,omitempty"`        // whose word it is that it waits: ByOperator, ByProvider
	Reason     string    `json:"reason,omitempty"`    // why paused or faulted
	Code       string    `json:"code,omitempty"`      // faulted: the provider's code
	Advice     string    `json:"advice,omitempty"`    // what to do
	NextProbe  time.Time `json:"next_probe,omitzero"` // faulted: when it is tested again; zero while it is
	InFlight   int       `json:"in_flight"`
	Waiting    int64     `json:"waiting,omitempty"` // missing: the deliveries that wait for it
	Idempotent bool      `json:"idempotent"`
}

// The states of an account.
const (
	Active  = "active"
	Paused  = "paused"  // by an operator, until resumed
	Faulted = "faulted" // credentials, payment, configuration; until a delivery is accepted
	Missing = "missing" // not put, or removed, while deliveries wait for it
)

// Who says that an account must wait.
const (
	ByOperator = "operator"
	ByProvider = "provider"
)

// withDefaults checks the options and fills in what was left out.
func (o AccountOptions) withDefaults() (AccountOptions, error) {
	l := &o.Limits
	switch {
	case o.Name == "":
		return o, errors.New("account: name must not be empty")
	case o.Channel == nil:
		return o, fmt.Errorf("account %q: channel must not be nil", o.Name)
	case o.Protocol == "":
		return o, fmt.Errorf("account %q: protocol must not be empty", o.Name)
	case !(l.Rate >= 0) || math.IsInf(l.Rate, 0):
		return o, fmt.Errorf("account %q: limits.rate must not be negative, not %v", o.Name, l.Rate)
	case l.Burst < 0, l.Concurrency < 0, l.PerGroup < 0, l.Timeout < 0, o.ProbeEvery < 0:
		return o, fmt.Errorf("account %q: limits and probe interval must not be negative", o.Name)
	}
	if l.Burst == 0 {
		l.Burst = max(1, int(math.Ceil(min(l.Rate, math.MaxInt32))))
	}
	if l.Concurrency == 0 {
		l.Concurrency = 16
	}
	if l.PerGroup == 0 {
		l.PerGroup = max(1, l.Concurrency/2)
	}
	if l.Timeout == 0 {
		l.Timeout = 30 * time.Second
	}
	if o.ProbeEvery == 0 {
		o.ProbeEvery = 30 * time.Second
	}
	return o, nil
}
