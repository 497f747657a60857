package sandbox

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
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
	Callbacks []string `json:"callbacks,omitzero"`
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
	file    *kept
	mu      sync.Mutex
	answers map[[2]string][]Answer
}

// scriptOf is one recipient's script, as the control API speaks of it.
type scriptOf struct {
	Provider  string   `json:"provider"`
	Recipient string   `json:"recipient"`
	Answers   []Answer `json:"answers"`
}

// restore takes up the scripts of an earlier run.
func (s *script) restore(k *kept) error {
	s.file, s.answers = k, map[[2]string][]Answer{}
	var all []scriptOf
	if _, err := k.get("scripts", &all); err != nil {
		return err
	}
	for _, one := range all {
		s.answers[[2]string{one.Provider, one.Recipient}] = one.Answers
	}
	return nil
}

// Script sets the answers for a recipient of a provider, in order; the
// recipient "*" is for all that have none of their own. After the last one the
// fake accepts again, unless the last has Times 0. Without answers it clears
// the script. With Options.Dir it holds over restarts.
func (s *script) Script(provider, recipient string, answers ...Answer) {
	s.set(scriptOf{provider, recipient, answers})
}

func (s *script) set(all ...scriptOf) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range all {
		s.answers[[2]string{one.Provider, one.Recipient}] = append([]Answer{}, one.Answers...)
	}
	s.save()
}

// scripts lists all that are set, also those used up.
func (s *script) scripts() []scriptOf {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

func (s *script) list() []scriptOf {
	all := make([]scriptOf, 0, len(s.answers))
	for key, answers := range s.answers {
		all = append(all, scriptOf{key[0], key[1], slices.Clone(answers)})
	}
	slices.SortFunc(all, func(a, b scriptOf) int {
		return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Recipient, b.Recipient))
	})
	return all
}

func (s *script) save() {
	if s.file.path != "" {
		s.file.mustPut("scripts", s.list())
	}
}

// unscript clears all scripts.
func (s *script) unscript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.answers)
	s.save()
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
	if a.Times == 0 {
		return a, true
	}
	if a.Times == 1 {
		s.answers[key] = list[1:]
	} else {
		list[0].Times--
	}
	s.save()
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
