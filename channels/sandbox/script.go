package sandbox

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Answer scripts what a fake does with a request for one recipient.
type Answer struct {
	// Status is the HTTP status or SMTP reply code; 0 accepts.
	Status int `json:"status,omitempty"`
	// Code is the provider's own code or reason: "Unregistered", "21610", "5.1.1".
	Code string `json:"code,omitempty"`
	// Message is the provider's text; default one that fits the code.
	Message string `json:"message,omitempty"`
	// RetryAfter goes out as a Retry-After header, in seconds.
	RetryAfter int `json:"retry_after,omitempty"`
	// Since is the time an endpoint went away (APNs 410 timestamp).
	Since time.Time `json:"since,omitzero"`
	// Delay is waited before answering, in milliseconds.
	Delay int `json:"delay_ms,omitempty"`
	// Hang never answers; the request ends when the client gives up.
	Hang bool `json:"hang,omitempty"`
	// Drop closes the connection without an answer: DropBefore the message was
	// accepted (it is not in the inbox), or DropAfter.
	Drop string `json:"drop,omitempty"`
	// Callbacks are the statuses reported back later, in order, each as
	// "status" or "status:code" (Twilio: "undelivered:30005"); nil means the
	// provider's normal course, an empty list none.
	Callbacks []string `json:"callbacks,omitempty"`
	// Times is how many requests this answer serves; 0 all further ones.
	Times int `json:"times,omitempty"`
}

// The values of Answer.Drop.
const (
	DropBefore = "before"
	DropAfter  = "after"
)

// script holds the answers waiting, by provider and recipient.
type script struct {
	mu      sync.Mutex
	answers map[[2]string][]Answer
}

// Script sets the answers for a recipient of a provider, in order; the
// recipient "*" is for all that have none of their own. After the last one the
// fake accepts again, unless the last has Times 0. Without answers it clears
// the script.
func (s *script) Script(provider, recipient string, answers ...Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answers == nil {
		s.answers = map[[2]string][]Answer{}
	}
	s.answers[[2]string{provider, recipient}] = append([]Answer(nil), answers...)
}

// next takes the answer for a request; the zero Answer accepts.
func (s *script) next(provider, recipient string) Answer {
	if a, ok := s.take(provider, recipient); ok {
		return a
	}
	a, _ := s.take(provider, "*")
	return a
}

// take takes the answer scripted for exactly this recipient.
func (s *script) take(provider, recipient string) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := [2]string{provider, recipient}
	list := s.answers[key]
	if len(list) == 0 {
		return Answer{}, false
	}
	a := list[0]
	if a.Times == 1 {
		s.answers[key] = list[1:]
	} else if a.Times > 1 {
		list[0].Times--
	}
	return a, true
}

// scripted tells whether a recipient was ever given answers of its own.
func (s *script) scripted(provider, recipient string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.answers[[2]string{provider, recipient}]
	return ok
}

// wait plays an answer's Delay and Hang. It returns early when ctx ends.
func (a Answer) wait(ctx context.Context) {
	if a.Hang {
		<-ctx.Done()
		return
	}
	if a.Delay > 0 {
		t := time.NewTimer(time.Duration(a.Delay) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// refuses tells whether the answer is anything but acceptance.
func (a Answer) refuses() bool { return a.Status >= 300 || (a.Status == 0 && a.Code != "") }

// abort closes the connection (HTTP/1) or resets the stream (HTTP/2) of the
// request being handled, without an answer.
func abort() { panic(http.ErrAbortHandler) }
