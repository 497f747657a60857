package awswire

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// Error is an AWS error.
type Error struct {
	// Code is the Query protocol's code, also sent as x-amzn-query-error:
	// "AWS.SimpleQueueService.NonExistentQueue".
	Code string
	// JSONCode is the shape's name in JSON ("QueueDoesNotExist"); default Code.
	// With a # it is the whole of it ("com.amazon.coral.service#…").
	JSONCode   string
	Status     int
	Message    string
	RetryAfter time.Duration // whole seconds; 0 for none

	bare bool // in XML nothing but the code, as AWS answers who asks a queue's URL for nothing
}

// Error is code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// fault tells whose fault it was.
func (e *Error) fault() string {
	if e.Status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

func (e *Error) json(s *Service) []byte {
	code := e.JSONCode
	if code == "" {
		code = e.Code
	}
	if !strings.Contains(code, "#") {
		code = s.ErrorType + code
	}
	text, _ := json.Marshal(struct { // strings: cannot fail
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{code, e.Message})
	return text
}

func (e *Error) xml(r *Request, s *Service) []byte {
	if e.bare {
		return []byte("<" + e.Code + "/>\n")
	}
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?><ErrorResponse xmlns="` + s.Namespace + `"><Error><Type>` + e.fault() + `</Type><Code>`)
	escape(&b, e.Code)
	b.WriteString(`</Code><Message>`)
	escape(&b, e.Message)
	b.WriteString(`</Message>`)
	if s.Detail {
		b.WriteString(`<Detail/>`)
	}
	b.WriteString(`</Error><RequestId>` + r.ID + `</RequestId></ErrorResponse>`)
	return b.Bytes()
}
