package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxControl is the longest body of the control API.
const maxControl = 16 << 20

// startControl serves the control API.
func (s *Server) startControl() error {
	s.URL = "http://" + s.control.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /inbox", s.getInbox)
	mux.HandleFunc("DELETE /inbox", func(w http.ResponseWriter, _ *http.Request) {
		s.clear()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /script", s.postScript)
	mux.HandleFunc("GET /scripts", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.scripts()) })
	mux.HandleFunc("DELETE /scripts", func(w http.ResponseWriter, _ *http.Request) {
		s.unscript()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /expect", s.postExpect)
	mux.HandleFunc("POST /reply", s.postReply)
	s.Control = thisMachine(http.NewCrossOriginProtection().Handler(mux))
	s.closers = append(s.closers, serveHTTP(s.control, s.Control))
	return nil
}

// thisMachine refuses requests for another name than the loopback's: a web page
// whose name was made to resolve to it (DNS rebinding).
func thisMachine(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			name = r.Host
		}
		addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
		if !strings.EqualFold(name, "localhost") && (err != nil || !addr.IsLoopback()) {
			refuseControl(w, http.StatusForbidden, errors.New("the Host header must be a loopback name, such as localhost"))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// usage describes the control API; URL stands for its address.
const usage = `Fanfare sandbox: every provider, simulated on this machine. In a browser this
address shows what arrived.

What arrived, oldest first, as a JSON array or a line each (NDJSON). All
parameters may be left out; accepted=false lists what was refused or dropped
instead, accepted=any both; since is the seq of the last item seen, limit is
1000 by default.
  curl 'URL/inbox?provider=twilio&recipient=%2B15005550101'
  curl 'URL/inbox?delivery=dlv_0190...'
  curl -H 'Accept: application/x-ndjson' 'URL/inbox?accepted=any&since=120&limit=50'
Forget it:
  curl -X DELETE URL/inbox

Providers: twilio, apns, fcm, fcm_token, smtp, webhook, sqs, lambda.

Script the answers for a recipient ("*": all that have none of their own), in
order; an array of such objects sets many at once. An answer has status, code
(the provider's own), message, retry_after (seconds), since (APNs 410),
delay_ms, hang, drop ("before" or "after" the message is taken), callbacks (what
is reported later, "status" or "status:code") and times (how many requests it
serves, 0: all further ones).
  curl URL/script -d '{"provider": "twilio", "recipient": "+15005550101", "answers": [{"code": "21610"}]}'
  curl URL/script -d '{"provider": "apns", "recipient": "*", "answers": [{"status": 503, "retry_after": 2, "times": 3}]}'
  curl URL/script -d '{"provider": "smtp", "recipient": "ada@mail.example", "answers": [{"callbacks": ["bounced:5.1.1"]}]}'
  curl URL/script -d '{"provider": "webhook", "recipient": "WEBHOOK/orders", "answers": [{"drop": "after", "times": 1}, {"status": 410}]}'
  curl URL/script -d '{"provider": "lambda", "recipient": "orders", "answers": [{"status": 200, "code": "Unhandled"}]}'
  curl URL/scripts
  curl -X DELETE URL/scripts

A webhook receiver that verifies signatures (Standard Webhooks), answers 401 to
others and marks the good ones "verified" in the inbox; "" ends it:
  curl URL/expect -d '{"path": "/orders", "secret": "whsec_..."}'

An SMS from a person to the account's number, signed as Twilio signs:
  curl URL/reply -d '{"from": "+15005550101", "body": "STOP"}'

Receivers of webhooks: any path below WEBHOOK or TLS
Remote queues: SQS/123456789012/NAME, which is there once it has a script, also
an empty one ("answers": [{}])
Functions: any name; "Unhandled" with status 200 is one that ran and failed
`

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.showInbox(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = strings.NewReplacer("URL", s.URL, "WEBHOOK", s.Webhook.URL, "TLS", s.Webhook.TLSURL, "SQS", s.SQS.URL).WriteString(w, usage)
}

func (s *Server) postExpect(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Path   string `json:"path"`
		Secret string `json:"secret"`
	}
	if !readControl(w, r, &in) {
		return
	}
	_, _, ok := readSecret(in.Secret)
	switch {
	case !strings.HasPrefix(in.Path, "/"):
		refuseControl(w, http.StatusBadRequest, errors.New(`path: want that of a receiver, such as "/orders"`))
	case !ok && in.Secret != "":
		refuseControl(w, http.StatusBadRequest, errors.New(`secret: want "whsec_" or "whpk_" and Base64, or "" for none`))
	default:
		s.Webhook.Expect(in.Path, in.Secret)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *Server) postReply(w http.ResponseWriter, r *http.Request) {
	var in struct {
		From string `json:"from"`
		To   string `json:"to"`
		Body string `json:"body"`
	}
	if !readControl(w, r, &in) {
		return
	}
	switch {
	case !twilioNumber.MatchString(in.From):
		refuseControl(w, http.StatusBadRequest, errors.New("from: want a number such as +15005550101"))
	case in.To != "" && in.To != s.Twilio.From:
		refuseControl(w, http.StatusBadRequest, fmt.Errorf("to: the account's only number is %s", s.Twilio.From))
	case in.Body == "":
		refuseControl(w, http.StatusBadRequest, errors.New("body: want the message, such as STOP"))
	default:
		if err := s.Twilio.Reply(r.Context(), "", in.From, in.Body); err != nil {
			refuseControl(w, http.StatusBadGateway, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// readControl reads a JSON body; false if it answered that it cannot.
func readControl(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("want one JSON value")
	}
	if err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			err = fmt.Errorf("%s: want %s, not %s", kind.Field, kind.Type, kind.Value)
		}
		refuseControl(w, http.StatusBadRequest, err)
	}
	return err == nil
}

func refuseControl(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": strings.TrimPrefix(err.Error(), "json: ")})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client went away: nobody to tell
}
