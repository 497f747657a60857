package awswire

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"
)

// answer writes a successful answer; an error is what is to be answered instead.
func (h *Handler) answer(w http.ResponseWriter, r *Request, s *Service, out any) error {
	o, planned := out.(output)
	if !planned && out != nil {
		o = output{out, shapeOf(reflect.TypeOf(out).Elem())}
	}
	w.Header().Set("X-Amzn-RequestId", r.ID)
	if r.Protocol == Query {
		w.Header().Set("Content-Type", "text/xml")
		write(w, encodeXML(r, s, o))
		return nil
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if o.value == nil {
		return nil
	}
	text, err := json.Marshal(o.value)
	if err != nil {
		return err
	}
	write(w, text)
	return nil
}

// write sends a body whose length is known, so that it needs no chunks.
func write(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client went away: nobody to tell
}

// fail writes an error and tells with which status.
func (h *Handler) fail(w http.ResponseWriter, r *Request, s *Service, err error) int {
	var e *Error
	if !errors.As(err, &e) {
		h.Logger.Error("AWS request failed", "service", s.Name, "action", r.Action, "request", r.ID, "error", err)
		e = &Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "The request could not be processed; try it again."}
	}
	w.Header().Set("X-Amzn-RequestId", r.ID)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
	}
	if r.Protocol == Query {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(e.Status)
		_, _ = w.Write(e.xml(r, s)) // as above
		return e.Status
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Query-Error", e.Code+";"+e.fault())
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.json(s)) // as above
	return e.Status
}
