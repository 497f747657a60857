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
// Numbers and booleans that may be missing are pointers; []byte is base64. The
// fields of an embedded struct stand among the others.
package awswire

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
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
	Detail    bool   // an empty Detail stands in its errors' XML: in those of SQS, not of SNS
	Actions   map[string]Action
	// Public names actions that anybody may call without a signature: links.
	// They look themselves who may do what.
	Public []string
}

func (s *Service) open(r *Request) bool {
	return r.AccessKey == "" && slices.Contains(s.Public, r.Action)
}

// Action runs one action: it decodes the request's input and gives the output,
// a pointer to a struct or nil. An error that is not an *Error is answered as
// InternalFailure and logged.
type Action func(ctx context.Context, r *Request) (any, error)

// Do makes an Action of a function on an input and an output struct; a nil
// output is an answer without content.
func Do[In, Out any](f func(ctx context.Context, r *Request, in *In) (*Out, error)) Action {
	input, answer := shapeOf(reflect.TypeFor[In]()), shapeOf(reflect.TypeFor[Out]())
	return func(ctx context.Context, r *Request) (any, error) {
		in := new(In)
		if err := r.decode(in, input); err != nil {
			return nil, err
		}
		out, err := f(ctx, r, in)
		if err != nil || out == nil {
			return nil, err
		}
		return output{out, answer}, nil
	}
}

// output is an answer with the shape of its struct.
type output struct {
	value any
	shape *shape
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
	// Trace is the request's X-Ray trace header, or "".
	// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
	Trace string

	target string // JSON: what names the service
	body   []byte // in buffer
	buffer *bytes.Buffer
	form   form // Query
}

// Options configure New.
type Options struct {
	Services []Service
	// Verifier finds out who a request is from; see Verify.
	Verifier Verifier
	// MaxBody is the most bytes of a request's body; default 4 MiB, for a form
	// takes up to three bytes for one.
	MaxBody int64
	// BodyTimeout is how long a body may take to come in whole; default 30 s.
	BodyTimeout time.Duration
	// Answered is told what calls were answered with; nil: nobody is.
	Answered func(service, action string, status int)
	Logger   *slog.Logger
}

// Handler serves the actions of services.
type Handler struct{ Options }

// New makes a Handler.
func New(o Options) *Handler {
	if o.MaxBody == 0 {
		o.MaxBody = 4 << 20
	}
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{o}
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := newRequest(hr)
	defer r.free()
	s, out, err := h.serve(w, hr, r)
	status := http.StatusOK
	if err == nil {
		err = h.answer(w, r, s, out)
	}
	if err != nil {
		status = h.fail(w, r, s, err)
	}
	if h.Answered != nil {
		h.Answered(s.Name, r.Action, status)
	}
}

// Refuse answers a request with an error, without running or reading it.
func (h *Handler) Refuse(w http.ResponseWriter, hr *http.Request, err *Error) {
	r := newRequest(hr)
	s, _, _ := h.find(r)
	h.fail(w, r, s, err)
}

// serve runs a request's action. It says in which service's manner to answer.
func (h *Handler) serve(w http.ResponseWriter, hr *http.Request, r *Request) (*Service, any, error) {
	var signed error
	err := r.read(w, hr, &h.Options)
	r.Identity, signed = h.Verifier.Verify(hr, r.body)
	s, action, unknown := h.find(r)
	if err == nil && !s.open(r) {
		err = signed
	}
	if err == nil {
		err = unknown
	}
	if err == nil && !s.open(r) {
		err = h.Verifier.scoped(r.Identity, s)
	}
	if err != nil {
		return s, nil, err
	}
	out, err := action(hr.Context(), r)
	return s, out, err
}

// find looks the action up: JSON names its service, a form names it by its
// version, or is signed for it, or has an action no other service has. Of an
// unknown service it gives the likeliest, to answer like it.
func (h *Handler) find(r *Request) (*Service, Action, error) {
	fits := []func(*Service) bool{
		func(s *Service) bool { return r.form.first("Version") == s.Version },
		func(s *Service) bool { return r.Service == s.Name },
		func(s *Service) bool { return s.Actions[r.Action] != nil },
	}
	if r.Protocol == JSON {
		fits = []func(*Service) bool{func(s *Service) bool { return s.Target != "" && r.target == s.Target }}
	}
	for _, fit := range fits {
		for i := range h.Services {
			if s := &h.Services[i]; fit(s) {
				if a := s.Actions[r.Action]; a != nil {
					return s, a, nil
				}
				return s, nil, unknownAction(r)
			}
		}
	}
	for i := range h.Services {
		if s := &h.Services[i]; s.Name == r.Service {
			return s, nil, unknownAction(r)
		}
	}
	if len(h.Services) == 0 {
		return &Service{}, nil, unknownAction(r)
	}
	return &h.Services[0], nil, unknownAction(r)
}

func unknownAction(r *Request) *Error {
	e := &Error{Code: "InvalidAction", JSONCode: coral + "UnknownOperationException", Status: http.StatusBadRequest}
	switch {
	case r.Action != "":
		e.Message = "The action " + r.Action + " is not valid for this endpoint."
	case r.AtQueue():
		e.Code, e.Status, e.bare = "UnknownOperationException", http.StatusNotFound, true
	default:
		e.Code, e.Message = "MissingAction", "The request names no action."
	}
	return e
}
