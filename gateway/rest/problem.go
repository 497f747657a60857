package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Problem is an error as RFC 9457 has it (https://www.rfc-editor.org/rfc/rfc9457).
type Problem struct {
	Type      string         `json:"type" format:"uri" doc:"stable for a code"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Code      string         `json:"code" example:"invalid"`
	RequestID string         `json:"request_id,omitempty" doc:"the log has the request under it"`
	Errors    []ProblemField `json:"errors,omitempty"`

	retryAfter int // seconds; 0: not said
}

// ProblemField names one field that is wrong and what would be right.
type ProblemField struct {
	Field  string `json:"field" example:"to.endpoint"`
	Reason string `json:"reason"`
}

var (
	_ huma.StatusError       = (*Problem)(nil)
	_ huma.HeadersError      = (*Problem)(nil)
	_ huma.ContentTypeFilter = (*Problem)(nil)
)

// Error is the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	if p.retryAfter == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(p.retryAfter)}}
}

// ContentType is huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func newProblem(ctx context.Context, status int, code, detail string) *Problem {
	return &Problem{
		Type: "https://fanfare-gateway.github.io/problems/" + code, Title: http.StatusText(status), Status: status,
		Detail: detail, Code: code, RequestID: requestID(ctx),
	}
}

const internalDetail = "The request failed; the log has it under the request id."

// problem is the answer for an error of the rooms below.
func (a *api) problem(ctx context.Context, err error) *Problem {
	var field *topics.FieldError
	var own *Problem
	unavailable := func(code, detail string, retry int) *Problem {
		p := newProblem(ctx, http.StatusServiceUnavailable, code, detail)
		p.retryAfter = retry
		return p
	}
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &field):
		p := newProblem(ctx, http.StatusUnprocessableEntity, "invalid", field.Error())
		p.Errors = []ProblemField{{Field: field.Field, Reason: field.Reason}}
		return p
	case errors.Is(err, topics.ErrIdempotencyMismatch):
		p := newProblem(ctx, http.StatusUnprocessableEntity, "idempotency_mismatch", "This Idempotency-Key was used with another payload; use a new key.")
		p.Errors = []ProblemField{{Field: "Idempotency-Key", Reason: "was used with another payload"}}
		return p
	case errors.Is(err, queue.ErrNotFound): // in the engine's words, as the two below
		return newProblem(ctx, http.StatusNotFound, "not_found", "There is nothing of this name or id.")
	case errors.Is(err, topics.ErrNotFound), errors.Is(err, channels.ErrNoAccount):
		return newProblem(ctx, http.StatusNotFound, "not_found", err.Error())
	case errors.Is(err, topics.ErrState):
		return newProblem(ctx, http.StatusConflict, "state", err.Error())
	case errors.Is(err, topics.ErrConflict):
		return newProblem(ctx, http.StatusConflict, "conflict", err.Error())
	case errors.Is(err, queue.ErrConflict):
		return newProblem(ctx, http.StatusConflict, "conflict", "It was changed at the same moment; send the request again.")
	case errors.Is(err, queue.ErrInvalid):
		a.Logger.Warn("request refused by the store", "request", requestID(ctx), "error", err)
		return newProblem(ctx, http.StatusUnprocessableEntity, "invalid", "The request is larger than the store takes at once, or a name in it is longer; the log has it under the request id.")
	case errors.Is(err, queue.ErrDiskFull):
		return unavailable("disk_full", "The disk is nearly full; nothing was accepted. Who runs the gateway can free space, or lower what must stay free (store.min_free, store.max_used).", 30)
	case errors.Is(err, queue.ErrStoreFailed), errors.Is(err, queue.ErrClosed):
		return unavailable("store_failed", "The store takes no writes any more; nothing was acknowledged.", 30)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("ended", "The request ended before it was answered; send it again.", 1)
	}
	a.Logger.Error("request failed", "request", requestID(ctx), "error", err)
	return newProblem(ctx, http.StatusInternalServerError, "internal", internalDetail)
}

// unreadBody is what huma says of a body it could not read to the end.
const unreadBody = "cannot read request body"

// foundBad makes a Problem of what huma found in a request before the handler
// saw it. The values huma quotes are left out: they may be anybody's.
func (a *api) foundBad(c huma.Context, _ string, v any) (any, error) {
	found, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if found.Detail == unreadBody {
		_, w := humago.Unwrap(c)
		w.(*begun).instead = http.StatusBadRequest // huma would say 500, as if it were our fault
		return newProblem(c.Context(), http.StatusBadRequest, "malformed", "The body broke off, or is not chunked as it says."), nil
	}
	code, detail := "request", found.Detail
	switch found.Status {
	case http.StatusBadRequest:
		code, detail = "malformed", "The body must be one JSON object."
	case http.StatusRequestTimeout:
		code, detail = "timeout", "The body must be sent within "+a.BodyTimeout.String()+"."
	case http.StatusRequestEntityTooLarge:
		code, detail = "too_large", "The body must be at most "+strconv.Itoa(a.MaxMessage)+" bytes."
	case http.StatusUnsupportedMediaType:
		code, detail = "content_type", "The body must be sent as application/json."
	case http.StatusUnprocessableEntity:
		code = "invalid"
	case http.StatusInternalServerError:
		a.Logger.Error("request failed", "request", requestID(c.Context()), "error", found.Detail)
		code, detail = "internal", internalDetail
	}
	p := newProblem(c.Context(), found.Status, code, detail)
	if found.Status >= http.StatusInternalServerError {
		return p, nil
	}
	for _, e := range found.Errors {
		p.Errors = append(p.Errors, ProblemField{Field: fieldName(e), Reason: e.Message})
	}
	if (code == "invalid" || code == "malformed") && len(p.Errors) > 0 {
		p.Detail = p.Errors[0].Field + ": " + p.Errors[0].Reason
	}
	return p, nil
}

// fieldName is a place as huma names it ("body.to.endpoint", "query.limit")
// without where it was sent. A property that must be there is in the message.
func fieldName(e *huma.ErrorDetail) string {
	place := e.Location
	if _, rest, ok := strings.Cut(place, "."); ok {
		place = rest
	}
	name, ok := strings.CutPrefix(e.Message, "expected required property ")
	if !ok {
		return place
	}
	name, _, _ = strings.Cut(name, " ")
	if place == "body" {
		return name
	}
	return place + "." + name
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", problemType)
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

func writeProblem(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	newProblem(r.Context(), status, code, detail).write(w)
}
