package channels

import (
	"math"
	"time"
)

// Action is what becomes of a delivery after an attempt, or instead of one.
type Action uint8

// The actions.
const (
	Send       Action = iota // admitted: make the attempt
	Done                     // sent or delivered
	Retry                    // queue again at Verdict.At
	DeadLetter               // failed for good
	Expire                   // its deadline passed
	Suppress                 // the recipient must not get it
	Cancel                   // its publish was cancelled or its subscription deleted
	Hold                     // its publish is paused, or the store was restored
	Pause                    // the account is at fault: given back, the account pauses
	Unsure                   // it may have been sent
	Drop                     // the entry is stale: the ledger has moved on
)

// Verdict is an action with its time and reason.
type Verdict struct {
	Action Action
	At     time.Time // Retry: when
	Free   bool      // the attempt is not counted
	Reason string    // for the ledger: a short fixed text, no recipient
}

// Backoff is how the waits of a phase grow.
type Backoff string

// The backoff functions of SNS delivery policies: the first wait of a phase is
// From, the last one To, and the later a function's name below, the longer it
// stays near From (https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#creating-delivery-policy).
// Jitter is Fanfare's own: the waits double, and each is drawn between half of
// it and the whole.
const (
	Linear      Backoff = "linear"
	Arithmetic  Backoff = "arithmetic"
	Geometric   Backoff = "geometric"
	Exponential Backoff = "exponential"
	Jitter      Backoff = "jitter"
)

// Phase is a run of retries: Tries of them, the waits growing from From to To.
type Phase struct {
	Tries   int           `json:"tries"`
	From    time.Duration `json:"from"`
	To      time.Duration `json:"to"`
	Backoff Backoff       `json:"backoff,omitempty"`
}

// RetryPolicy says how often and when a delivery is tried again.
type RetryPolicy struct {
	// Phases follow each other; the first attempt is not part of them. When
	// they are used up, the delivery is dead-lettered.
	Phases []Phase `json:"phases"`
	// MaxAge dead-letters a delivery older than this at a failure; 0 no bound.
	MaxAge time.Duration `json:"max_age,omitempty"`
	// FinalClientErrors makes a 4xx answer final at once, as SNS does for HTTP.
	FinalClientErrors bool `json:"final_client_errors,omitempty"`
}

// Attempt is what Judge has to know of an attempt besides its error.
type Attempt struct {
	Try        int           // 1 is the first
	Age        time.Duration // since the publish
	Now        time.Time
	Expires    time.Time // zero: none
	Idempotent bool      // a repeat harms nobody: Uncertain counts as Temporary
	Random     float64   // 0 … 1, for the jitter
}

// Tries is the most attempts the policy allows.
func (p RetryPolicy) Tries() int {
	n := 1
	for _, ph := range p.Phases {
		n += ph.Tries
	}
	return n
}

// Final tells whether an error is a client error that ends the delivery by this
// policy, and says nothing of the endpoint.
func (p RetryPolicy) Final(err *Error) bool {
	return p.FinalClientErrors && err.Status >= 400 && err.Status < 500
}

// Total is the sum of all waits, before any jitter.
func (p RetryPolicy) Total() time.Duration {
	var sum time.Duration
	for _, ph := range p.Phases {
		for n := range ph.Tries {
			sum += ph.wait(n, 0)
		}
	}
	return sum
}

// Judge decides what follows an attempt. It is a pure function: Retry-After
// and the error book's wait are floors, the deadline is a ceiling, the
// policy's backoff lies between.
func (p RetryPolicy) Judge(a Attempt, err *Error) Verdict {
	if err == nil {
		return Verdict{Action: Done}
	}
	kind := err.Kind
	if kind == Uncertain && a.Idempotent {
		kind = Temporary
	}
	switch kind {
	case AccountFault:
		return Verdict{Action: Pause, At: a.Now, Free: true, Reason: "account fault"}
	case Uncertain:
		return Verdict{Action: Unsure, Reason: "no answer"}
	case Rejected, EndpointGone, RecipientBlocked:
		return Verdict{Action: DeadLetter, Reason: kind.String()}
	case Temporary, Throttled:
	}
	if p.Final(err) {
		return Verdict{Action: DeadLetter, Reason: "client error is final by policy"}
	}
	if err.MaxTries > 0 && a.Try >= err.MaxTries {
		return Verdict{Action: DeadLetter, Reason: "tried as often as the error book allows"}
	}
	if p.MaxAge > 0 && a.Age >= p.MaxAge {
		return Verdict{Action: DeadLetter, Reason: "older than the retry policy allows"}
	}
	wait, ok := p.wait(a.Try, a.Random)
	if !ok {
		return Verdict{Action: DeadLetter, Reason: "retry policy used up"}
	}
	at := a.Now.Add(max(wait, err.RetryAfter, err.Wait))
	if !a.Expires.IsZero() && !at.Before(a.Expires) {
		return Verdict{Action: Expire, Reason: "deadline passes before the next attempt"}
	}
	return Verdict{Action: Retry, At: at, Reason: kind.String()}
}

// wait is the time to wait after the given try, false when there is no further one.
func (p RetryPolicy) wait(try int, random float64) (time.Duration, bool) {
	n := try - 1
	for _, ph := range p.Phases {
		if n < ph.Tries {
			return ph.wait(n, random), true
		}
		n -= ph.Tries
	}
	return 0, false
}

// wait is the n-th wait (from 0) of the phase.
func (ph Phase) wait(n int, random float64) time.Duration {
	from, to := float64(ph.From), float64(ph.To)
	if to <= from || ph.Tries < 2 {
		return ph.From
	}
	share := float64(n) / float64(ph.Tries-1)
	var d float64
	switch ph.Backoff {
	case Arithmetic:
		d = from + (to-from)*share*(share+1)/2
	case Geometric:
		d = from + (to-from)*share*share
	case Exponential:
		from = math.Max(from, float64(time.Millisecond)) // nothing grows from 0
		d = from * math.Pow(to/from, share)
	case Jitter:
		d = math.Min(to, math.Max(from, float64(time.Millisecond))*math.Pow(2, float64(n)))
	default: // Linear
		d = from + (to-from)*share
	}
	if ph.Backoff == Jitter {
		d -= d / 2 * random
	}
	return time.Duration(math.Round(d))
}
