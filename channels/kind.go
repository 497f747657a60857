package channels

import (
	"fmt"
	"time"
)

// Kind classifies a failed attempt by what can be done about it.
type Kind uint8

// The kinds. Temporary is the zero value, so whatever nobody classified is
// tried again.
const (
	Temporary        Kind = iota // try again later
	Throttled                    // try again, not before RetryAfter
	Rejected                     // this message can never go
	EndpointGone                 // the endpoint is dead: disable it
	RecipientBlocked             // the recipient refuses: suppress
	AccountFault                 // credentials, payment, configuration: pause the account
	Uncertain                    // it may have been sent
	kinds
)

var kindNames = [kinds]string{"temporary", "throttled", "rejected", "endpoint_gone", "recipient_blocked", "account_fault", "uncertain"}

// Kinds are all kinds.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the kind's name as in the error book, the API and metrics.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText is String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a kind's name.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q: want one of %v", text, kindNames)
}

// UnmarshalYAML reads a kind's name. Without it goccy/go-yaml would format the
// whole document anew for each kind in it, to call UnmarshalText.
func (k *Kind) UnmarshalYAML(read func(any) error) error {
	var name string
	if err := read(&name); err != nil {
		return err
	}
	return k.UnmarshalText([]byte(name))
}

// Error is a failed attempt, classified by the error book. Its text holds no
// secret, no recipient and no body.
type Error struct {
	Kind     Kind
	Provider string
	Status   int    // HTTP status or SMTP reply code; 0 when none came
	Code     string // the provider's code or reason; "connect", "no_answer" for the transport
	// RetryAfter is the provider's own wish; a floor for the next attempt.
	RetryAfter time.Duration
	// Since is when the endpoint went away by the provider's word (EndpointGone):
	// a registration newer than that is kept.
	Since time.Time
	// MaxTries bounds the attempts for this answer (0: the policy's own bound),
	// Wait is the error book's floor for the next attempt.
	MaxTries int
	Wait     time.Duration
	// Escalate turns this answer into another kind when it is frequent.
	Escalate *Escalation
	// Alone: the answer is about this endpoint only. The server behind it answers
	// well, so that others of its group are not held up.
	Alone bool
	// Unreachable: nothing could be reached (no route, no name server). When
	// that holds for all, the uplink is down and attempts are not spent.
	Unreachable bool
	// Unknown: the error book has no row for this answer.
	Unknown bool
	// Err is the cause, for logs; its text is already free of secrets.
	Err error
}

// Escalation says when an answer is taken for another kind: when more than Share
// of the attempts of the last Window (and at least Least attempts) got this
// answer, it counts as Kind.
type Escalation struct {
	Share  float64       `yaml:"share"`
	Window time.Duration `yaml:"window"`
	Least  int           `yaml:"least"`
	Kind   Kind          `yaml:"kind"`
}

// Error says provider, status, code and kind.
func (e *Error) Error() string {
	text := e.Provider + ": " + e.Kind.String()
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d", e.Status)
		if e.Code != "" {
			text += ", " + e.Code
		}
		text += ")"
	} else if e.Code != "" {
		text += " (" + e.Code + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }
