package rest

import (
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// routed answers what no route takes with a problem, where http.ServeMux
// answers in plain text.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refusal := &answer{header: http.Header{}}
		h.ServeHTTP(refusal, r)
		if refusal.status == http.StatusMethodNotAllowed {
			allow := refusal.header.Get("Allow")
			w.Header().Set("Allow", allow)
			writeProblem(w, r, http.StatusMethodNotAllowed, "method", "This path takes "+allow+".")
			return
		}
		writeProblem(w, r, http.StatusNotFound, "no_route", "There is nothing at this path; see /openapi.json.")
	})
}

// answer keeps what a handler says besides its body.
type answer struct {
	header http.Header
	status int
}

// Header is http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader is http.ResponseWriter.
func (a *answer) WriteHeader(status int) { a.status = status }

// Write is http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }

// recovered answers a panic with a problem and logs it. An answer that has
// begun is broken off, so that nobody takes it for whole.
func (a *api) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &begun{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			a.Logger.Error("request panicked", "route", r.Pattern, "request", requestID(r.Context()), "panic", v, "stack", string(debug.Stack()))
			if t.wrote {
				panic(http.ErrAbortHandler)
			}
			writeProblem(w, r, http.StatusInternalServerError, "internal", internalDetail)
		}()
		if r.ContentLength != 0 {
			r.Body = &awaited{r.Body, http.NewResponseController(w)}
		}
		next.ServeHTTP(t, r)
	})
}

// awaited is a body with a deadline. Once it is read the deadline is over: it
// would end a request that waits for a message as if its client had gone.
type awaited struct {
	io.ReadCloser
	conn *http.ResponseController
}

// Read is io.Reader.
func (b *awaited) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // a reader gives it as it is
		_ = b.conn.SetReadDeadline(time.Time{}) // a writer that knows no deadlines has none
	}
	return n, err
}

// begun knows whether an answer has begun.
type begun struct {
	http.ResponseWriter
	wrote   bool
	instead int // the status to answer with, if not 0
}

// WriteHeader is http.ResponseWriter.
func (b *begun) WriteHeader(status int) {
	b.wrote = true
	if b.instead != 0 {
		status = b.instead
	}
	b.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter.
func (b *begun) Write(p []byte) (int, error) {
	b.wrote = true
	return b.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (b *begun) Unwrap() http.ResponseWriter { return b.ResponseWriter }
