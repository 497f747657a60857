package channels

import (
	_ "embed"
	"errors"
	"fmt"
	"net"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
)

//go:embed errorbook.yaml
var defaultBook []byte

// ErrorBook says what a provider's answer means. It is a list of rows; the
// first row that fits an answer classifies it, operators' rows before the
// embedded ones. An answer without a row is Temporary and Unknown.
type ErrorBook struct {
	rows []row
}

// row is one line of the error book. An empty field fits anything.
type row struct {
	// Provider the row is about; "*" for all.
	Provider string `yaml:"provider"`
	// Status is an HTTP status or SMTP reply code: "410", "5xx".
	Status string `yaml:"status"`
	// Code is the provider's code or reason; * and ? match as in path.Match.
	Code string `yaml:"code"`
	// Reason is found in the provider's text, upper and lower case alike.
	Reason string `yaml:"reason"`

	Kind     Kind          `yaml:"kind"`
	MaxTries int           `yaml:"max_tries"`
	Wait     time.Duration `yaml:"wait"`
	Escalate *Escalation   `yaml:"escalate"`
	Alone    bool          `yaml:"alone"`
	// Source is where the provider says so.
	Source string `yaml:"source"`
}

// Answer is what came back from a provider, as its channel understood it.
type Answer struct {
	Provider   string
	Status     int
	Code       string
	Reason     string // the provider's text: matched, never shown
	RetryAfter time.Duration
	Since      time.Time
	Err        error // cause, its text free of secrets, recipients and bodies
}

// NewErrorBook reads the embedded book, with the operator's rows (YAML of the
// same form, may be nil) before it. A bad row is an error with its line.
func NewErrorBook(overrides []byte) (*ErrorBook, error) {
	var own, base []row
	if err := yaml.UnmarshalWithOptions(overrides, &own, yaml.Strict()); err != nil && len(overrides) > 0 {
		return nil, fmt.Errorf("error book: %w", err)
	}
	if err := yaml.UnmarshalWithOptions(defaultBook, &base, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("embedded error book: %w", err)
	}
	return &ErrorBook{rows: append(own, base...)}, nil
}

// Judge classifies an answer.
func (b *ErrorBook) Judge(a Answer) *Error {
	e := &Error{Provider: a.Provider, Status: a.Status, Code: a.Code, RetryAfter: a.RetryAfter, Since: a.Since, Err: a.Err}
	for i := range b.rows {
		r := &b.rows[i]
		if r.fits(a) {
			e.Kind, e.MaxTries, e.Wait, e.Escalate, e.Alone = r.Kind, r.MaxTries, r.Wait, r.Escalate, r.Alone
			return e
		}
	}
	e.Unknown = true
	return e
}

// Transport classifies an attempt that got no answer. Written tells whether
// any of the request may have left: then it is "no_answer" and Uncertain, else
// "connect" and Temporary, or "blocked_address" when the guard refused the dial.
func (b *ErrorBook) Transport(provider string, err error, written bool) *Error {
	code := "connect"
	switch {
	case errors.Is(err, ErrBlockedAddress):
		code = "blocked_address"
	case written:
		code = "no_answer"
	}
	e := b.Judge(Answer{Provider: provider, Code: code, Err: transportCause(err)})
	e.Unreachable = !written && unreachable(err)
	return e
}

func (r *row) fits(a Answer) bool {
	if r.Provider != "*" && r.Provider != a.Provider {
		return false
	}
	if !fitsStatus(r.Status, a.Status) {
		return false
	}
	if r.Code != "" {
		if ok, err := path.Match(r.Code, a.Code); !ok || err != nil {
			return false
		}
	}
	return r.Reason == "" || strings.Contains(strings.ToLower(a.Reason), strings.ToLower(r.Reason))
}

func fitsStatus(want string, got int) bool {
	if want == "" {
		return true
	}
	text := strconv.Itoa(got)
	if strings.HasSuffix(want, "xx") {
		return len(text) == 3 && text[0] == want[0]
	}
	return want == text
}

// transportCause keeps what helps of a network error and drops addresses and
// URLs, which may hold recipients or secrets.
func transportCause(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return errors.New("name lookup failed")
	case errors.As(err, &op):
		return fmt.Errorf("%s: %w", op.Op, innermost(op.Err))
	}
	return innermost(err)
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// unreachable tells whether the way is at fault, not the host at its end.
func unreachable(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	var op *net.OpError
	if errors.Is(err, syscall.EHOSTUNREACH) && errors.As(err, &op) {
		if to, ok := op.Addr.(*net.TCPAddr); ok && to.IP.IsPrivate() {
			return false // a neighbour that is switched off
		}
	}
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETDOWN)
}
