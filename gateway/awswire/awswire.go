// Package awswire speaks the wire protocols of AWS: JSON 1.0 and Query with XML
// answers, their error shapes, and Signature Version 4. It knows no action:
// services hand it theirs, as Go functions on plain structs.
//
// A struct's fields are named for the wire by their json tag, in both protocols
// and directions. A list or map also has a query tag, which says how the Query
// protocol and XML spell it:
//
//	query:"AttributeName"               flat list: AttributeName.1, <AttributeName>…
//	query:"Tags.member"                 list: Tags.member.1, <Tags><member>…
//	query:"Attribute,Name,Value"        flat map: Attribute.1.Name, .Value
//	query:"Attributes.entry,key,value"  map: Attributes.entry.1.key, .value
//
// Numbers and booleans that may be missing are pointers; []byte is base64.
package awswire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Protocol is how a request came, and how its answer goes.
type Protocol uint8

// The protocols.
const (
	JSON  Protocol = iota // AWS JSON 1.0: X-Amz-Target and a JSON body
	Query                 // a form, answered in XML
)

// Service is a set of actions behind one name.
type Service struct {
	Name      string // as in a credential scope: "sqs"
	Target    string // what X-Amz-Target begins with: "AmazonSQS"; "" for a service without JSON
	Version   string // of the Query protocol: "2012-11-05"
	Namespace string // of its XML
	ErrorType string // what __type begins with: "com.amazonaws.sqs#"
	Actions   map[string]Action
}

// Action runs one action: it decodes the request's input and gives the output,
// a struct or nil. An error that is not an *Error is answered as InternalFailure
// and logged.
type Action func(ctx context.Context, r *Request) (any, error)

// Do makes an Action of a function on an input and an output struct; a nil
// output is an answer without content.
func Do[In, Out any](f func(ctx context.Context, r *Request, in *In) (*Out, error)) Action {
	return func(ctx context.Context, r *Request) (any, error) {
		in := new(In)
		if err := r.decode(in); err != nil {
			return nil, err
		}
		out, err := f(ctx, r, in)
		if err != nil || out == nil {
			return nil, err
		}
		return out, nil
	}
}

// Request is one call of an action.
type Request struct {
	Identity
	Action   string
	Protocol Protocol
	// Base is the address the caller used, without a path: queue URLs and links
	// in answers begin with it.
	Base string
	// Path is the URL's path: the Query protocol may be spoken to a queue's URL.
	Path string
	// ID is the request's id, also in the answer.
	ID string

	body []byte     // JSON
	form url.Values // Query
}

// Options configure New.
type Options struct {
	Services []Service
	// Verifier finds out who a request is from; see Verify.
	Verifier Verifier
	// MaxBody is the most bytes of a request's body; default 2 MiB.
	MaxBody int64
	Logger  *slog.Logger
}

// Handler serves the actions of services.
type Handler struct{ Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.MaxBody == 0 {
		o.MaxBody = 2 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{o}
}

// Is tells whether a request is in one of the protocols.
func Is(r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "" {
		return true
	}
	if r.Method == http.MethodGet {
		return r.URL.Query().Has("Action")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && (kind == "application/x-www-form-urlencoded" || r.URL.Query().Has("Action"))
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := &Request{Protocol: Query, Base: base(r), Path: r.URL.Path, ID: requestID()}
	target := r.Header.Get("X-Amz-Target")
	if target != "" {
		req.Protocol = JSON
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.MaxBody))
	if err != nil {
		h.fail(w, req, h.fallback(req), &Error{Code: "RequestEntityTooLarge", Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("The request body must be at most %d bytes.", h.MaxBody)})
		return
	}
	if err := req.read(r, body); err != nil {
		h.fail(w, req, h.fallback(req), err)
		return
	}
	who, problem := h.Verifier.Verify(r, body)
	req.Identity = who
	service, action, found := h.find(req, target)
	switch {
	case problem != nil:
		h.fail(w, req, service, problem)
		return
	case found != nil:
		h.fail(w, req, service, found)
		return
	}
	out, err := action(r.Context(), req)
	if err != nil {
		h.fail(w, req, service, err)
		return
	}
	h.answer(w, req, service, out)
}

// read takes the body apart.
func (r *Request) read(hr *http.Request, body []byte) error {
	if r.Protocol == JSON {
		r.body = body
		return nil
	}
	r.form = hr.URL.Query()
	if hr.Method == http.MethodPost {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return &Error{Code: "MalformedQueryString", Status: http.StatusBadRequest, Message: "The body is not a form."}
		}
		for name, values := range form {
			r.form[name] = values
		}
	}
	r.Action = r.form.Get("Action")
	return nil
}

func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// fallback is the service an error is answered in that came before the service
// was known.
func (h *Handler) fallback(*Request) *Service { return &h.Services[0] }

// find looks the action up: JSON names its service, a form names it by its
// version, or is signed for it, or has an action no other service has.
func (h *Handler) find(r *Request, target string) (*Service, Action, error) {
	if r.Protocol == JSON {
		prefix, action, _ := strings.Cut(target, ".")
		r.Action = action
		for i := range h.Services {
			if s := &h.Services[i]; s.Target != "" && s.Target == prefix {
				return h.actionOf(s, r)
			}
		}
		return h.fallback(r), nil, unknownAction(target)
	}
	for _, fits := range []func(*Service) bool{
		func(s *Service) bool { return r.form.Get("Version") == s.Version },
		func(s *Service) bool { return r.Service == s.Name },
		func(s *Service) bool { return s.Actions[r.Action] != nil },
	} {
		for i := range h.Services {
			if fits(&h.Services[i]) {
				return h.actionOf(&h.Services[i], r)
			}
		}
	}
	return h.fallback(r), nil, unknownAction(r.Action)
}

func (h *Handler) actionOf(s *Service, r *Request) (*Service, Action, error) {
	if a := s.Actions[r.Action]; a != nil {
		return s, a, nil
	}
	return s, nil, unknownAction(r.Action)
}

func unknownAction(name string) *Error {
	if name == "" {
		return &Error{Code: "MissingAction", Status: http.StatusBadRequest, Message: "The request names no action."}
	}
	return &Error{Code: "InvalidAction", JSONCode: "UnknownOperationException", Status: http.StatusBadRequest, Message: "The action " + name + " is not valid for this endpoint."}
}

// answer writes a successful answer.
func (h *Handler) answer(w http.ResponseWriter, r *Request, s *Service, out any) {
	w.Header().Set("X-Amzn-RequestId", r.ID)
	if r.Protocol == Query {
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write(encodeXML(r, s, out)) // the client went away: nobody to tell
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if out == nil {
		return
	}
	text, err := json.Marshal(out)
	if err != nil {
		h.fail(w, r, s, err)
		return
	}
	_, _ = w.Write(text) // the client went away: nobody to tell
}

// fail writes an error.
func (h *Handler) fail(w http.ResponseWriter, r *Request, s *Service, err error) {
	var e *Error
	if !errors.As(err, &e) {
		h.Logger.Error("AWS request failed", "service", s.Name, "action", r.Action, "request", r.ID, "error", err)
		e = &Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "The request could not be processed; try it again."}
	}
	w.Header().Set("X-Amzn-RequestId", r.ID)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(e.RetryAfter/time.Second)))
	}
	if r.Protocol == Query {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(e.Status)
		_, _ = w.Write(e.xml(r, s)) // as above
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Query-Error", e.Code+";"+e.fault())
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.json(s)) // as above
}
