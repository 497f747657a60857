package awswire

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const formType = "application/x-www-form-urlencoded"

// Is tells whether a request is in one of the protocols. A form sent to another
// API is as well: ask only for paths that are not its own.
func Is(r *http.Request) bool {
	if r.Header.Get("X-Amz-Target") != "" {
		return true
	}
	switch r.Method {
	case http.MethodGet:
		return r.URL.Query().Has("Action") || atQueue(r.URL.Path)
	case http.MethodPost:
		return mediaType(r) == formType || r.URL.Query().Has("Action")
	}
	return false
}

// atQueue tells whether a path is a queue's: /ACCOUNT/NAME.
func atQueue(path string) bool {
	account, name, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return IsAccount(account) && name != ""
}

// AtQueue tells whether the request went to a queue's own URL.
func (r *Request) AtQueue() bool { return atQueue(r.Path) }

func mediaType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}

// newRequest is a request as far as it can be told without its body.
func newRequest(hr *http.Request) *Request {
	r := &Request{Protocol: Query, Base: base(hr), Path: hr.URL.Path, ID: NewID(), Trace: hr.Header.Get("X-Amzn-Trace-Id")}
	if target := hr.Header.Get("X-Amz-Target"); target != "" {
		r.Protocol = JSON
		r.target, r.Action, _ = strings.Cut(target, ".")
	}
	return r
}

// read takes the request apart.
func (r *Request) read(w http.ResponseWriter, hr *http.Request, o *Options) error {
	r.buffer = bodies.Get().(*bytes.Buffer)
	if err := readBody(r.buffer, w, hr, o.MaxBody, o.BodyTimeout); err != nil {
		return err
	}
	r.body = r.buffer.Bytes()
	if r.Protocol == JSON {
		return r.checkJSON(hr)
	}
	values, err := url.ParseQuery(hr.URL.RawQuery)
	if err != nil {
		return malformedQuery("The query string is not made of name=value pairs.")
	}
	if len(r.body) > 0 {
		if mediaType(hr) != formType {
			return malformedQuery("The body must be a form: Content-Type " + formType + ".")
		}
		body, err := url.ParseQuery(string(r.body))
		if err != nil {
			return malformedQuery("The body is not made of name=value pairs.")
		}
		for name, list := range body {
			values[name] = list
		}
	}
	r.form = newForm(values)
	r.Action = r.form.first("Action")
	return r.form.check()
}

// checkJSON refuses what is no call in JSON by its head.
func (r *Request) checkJSON(hr *http.Request) error {
	if hr.Method != http.MethodPost {
		return &Error{Code: "InvalidAction", JSONCode: coral + "UnknownOperationException", Status: http.StatusMethodNotAllowed, Message: "The method must be POST."}
	}
	switch mediaType(hr) {
	case "application/x-amz-json-1.0", "application/x-amz-json-1.1", "application/json", "":
	default:
		return &Error{
			Code: "InvalidAction", JSONCode: coral + "UnknownOperationException", Status: http.StatusBadRequest,
			Message: "The Content-Type must be application/x-amz-json-1.0.",
		}
	}
	return nil
}

// bodies are for bodies to come: nothing that is decoded from one shares its bytes.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// largestKept is the most bytes of a buffer that is used again.
const largestKept = 64 << 10

// free gives the request's body back.
func (r *Request) free() {
	if r.buffer == nil || r.buffer.Cap() > largestKept {
		return
	}
	r.buffer.Reset()
	bodies.Put(r.buffer)
	r.buffer, r.body = nil, nil
}

func tooLarge(most int64) *Error {
	return &Error{
		Code: "RequestEntityTooLarge", JSONCode: coral + "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge,
		Message: fmt.Sprintf("The request body must be at most %d bytes.", most),
	}
}

// readBody reads a body that comes in whole within a time.
func readBody(body *bytes.Buffer, w http.ResponseWriter, r *http.Request, most int64, within time.Duration) error {
	if r.ContentLength > most {
		w.Header().Set("Connection", "close") // the rest is not read
		return tooLarge(most)
	}
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead) // ReadFrom wants that much room left at the end
	}
	conn := http.NewResponseController(w)
	if r.ContentLength != 0 {
		_ = conn.SetReadDeadline(time.Now().Add(within)) // a writer that knows no deadlines is no connection
	}
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, most))
	var bounded *http.MaxBytesError
	switch {
	case err == nil:
		_ = conn.SetReadDeadline(time.Time{}) // or it would end a call that waits for a message
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return &Error{
			Code: "RequestTimeout", JSONCode: coral + "RequestTimeoutException", Status: http.StatusRequestTimeout,
			Message: fmt.Sprintf("The request body must be sent within %v.", within),
		}
	case errors.As(err, &bounded):
		return tooLarge(most)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("the body ends early")
	default:
		return malformed("the body cannot be read")
	}
}

func base(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// NewID is a random UUID, such as requests and messages are known by.
func NewID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	text := make([]byte, 0, 36)
	for i, end := range []int{4, 6, 8, 10, 16} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, b[[]int{0, 4, 6, 8, 10}[i]:end])
	}
	return string(text)
}
