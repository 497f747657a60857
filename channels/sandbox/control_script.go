package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// providers are the names of scripts and the inbox.
var providers = []string{
	ProviderTwilio, ProviderAPNs, ProviderFCM, ProviderFCMToken, ProviderSMTP, ProviderWebhook, ProviderSQS, ProviderLambda,
}

// callbackStates are what each provider reports of a message later.
var callbackStates = map[string][]string{
	ProviderTwilio: {"queued", "sending", "sent", "delivered", "undelivered", "failed", "read", "canceled"},
	ProviderSMTP:   {"delivered", "bounced", "complained"},
}

// scriptList is one script or several, as JSON an object or an array of them.
type scriptList []scriptOf

// UnmarshalJSON is json.Unmarshaler.
func (s *scriptList) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if bytes.HasPrefix(text, []byte("[")) {
		return dec.Decode((*[]scriptOf)(s))
	}
	*s = make(scriptList, 1)
	return dec.Decode(&(*s)[0])
}

func (s *Server) postScript(w http.ResponseWriter, r *http.Request) {
	var in scriptList
	if !readControl(w, r, &in) {
		return
	}
	for i, one := range in {
		if err := one.check(); err != nil {
			if len(in) > 1 {
				err = fmt.Errorf("[%d].%w", i, err)
			}
			refuseControl(w, http.StatusBadRequest, err)
			return
		}
	}
	s.set(in...)
	w.WriteHeader(http.StatusNoContent)
}

// check says what is wrong, the field first.
func (s scriptOf) check() error {
	switch {
	case !slices.Contains(providers, s.Provider):
		return errProvider("provider", s.Provider)
	case s.Recipient == "":
		return errors.New(`recipient: want whom the answers are for, "*" for all`)
	}
	for i, a := range s.Answers {
		if err := a.check(s.Provider); err != nil {
			return fmt.Errorf("answers[%d].%w", i, err)
		}
	}
	return nil
}

func errProvider(field, got string) error {
	return fmt.Errorf("%s: want %s, not %q", field, strings.Join(providers, ", "), got)
}

func (a Answer) check(provider string) error {
	switch {
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return fmt.Errorf("status: want 200 to 599, or 0 for the one that goes with the code, not %d", a.Status)
	case strings.ContainsAny(a.Code, "\r\n"):
		return errors.New("code: want one line")
	case provider == ProviderSMTP && a.Code != "" && !smtpCode.MatchString(a.Code):
		return fmt.Errorf("code: want an enhanced status such as 5.1.1, not %q", a.Code)
	case strings.ContainsAny(a.Message, "\r\n"):
		return errors.New("message: want one line")
	case a.RetryAfter < 0:
		return fmt.Errorf("retry_after: want seconds, not %d", a.RetryAfter)
	case a.Delay < 0:
		return fmt.Errorf("delay_ms: want milliseconds, not %d", a.Delay)
	case a.Times < 0:
		return fmt.Errorf("times: want the number of requests, 0 for all further ones, not %d", a.Times)
	case a.Drop != "" && a.Drop != DropBefore && a.Drop != DropAfter:
		return fmt.Errorf("drop: want %q or %q, not %q", DropBefore, DropAfter, a.Drop)
	case a.Hang && (a.Drop != "" || a.Status != 0 || a.Code != ""):
		return errors.New("hang: there is no answer to go with it; leave out status, code and drop")
	}
	states := callbackStates[provider]
	for i, text := range a.Callbacks {
		if state, _, _ := strings.Cut(text, ":"); !slices.Contains(states, state) {
			if states == nil {
				return fmt.Errorf("callbacks: %s reports nothing later", provider)
			}
			return fmt.Errorf("callbacks[%d]: want %s, with or without \":code\", not %q", i, strings.Join(states, ", "), text)
		}
	}
	return nil
}
