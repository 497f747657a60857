package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxAnswer bounds how much of an answer is read; Google's are about 1 KB.
const maxAnswer = 64 << 10

// standIn is the status the SDK sees for anything but 200. It is none of the
// answers the SDK repeats a request for.
const standIn = 599

// exchange is one request and what truly came back. It travels to the
// transport in the request's context, past the SDK.
type exchange struct {
	token *oauth2.Token
	wire  *channels.Wire
	sent  bool // handed to the network once

	status int // 0: no answer
	header http.Header
	body   []byte
	err    error // the transport's
}

type exchangeKey struct{}

func newExchange(ctx context.Context, token *oauth2.Token) (context.Context, *exchange) {
	ctx, wire := channels.WatchRequest(ctx)
	x := &exchange{token: token, wire: wire}
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// do sends the request and keeps what comes back.
func (x *exchange) do(base http.RoundTripper, r *http.Request) {
	resp, err := base.RoundTrip(r)
	if err != nil {
		x.err = err
		return
	}
	defer resp.Body.Close()
	// An answer that breaks off is no answer.
	if x.body, x.err = io.ReadAll(resp.Body); x.err == nil {
		x.status, x.header = resp.StatusCode, resp.Header
	}
}

// courier is the SDK's transport. It adds the access token, sends a request
// once, and tells the SDK nothing that would make it try again.
type courier struct{ base http.RoundTripper }

// RoundTrip fills the exchange of the request's context.
func (c courier) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok || x.sent {
		if r.Body != nil {
			r.Body.Close()
		}
		if !ok {
			return nil, errors.New("fcm: request without an exchange")
		}
		return reply(r, standIn, nil), nil
	}
	x.sent = true
	authorized := r.Clone(r.Context())
	x.token.SetAuthHeader(authorized)
	x.do(c.base, authorized)
	if x.status != http.StatusOK {
		return reply(r, standIn, nil), nil
	}
	return reply(r, http.StatusOK, x.body), nil
}

func reply(r *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// The codes that code decides on; what they mean is in the error book.
const (
	codeInvalidArgument = "INVALID_ARGUMENT"
	codeUnregistered    = "UNREGISTERED"
	codeUnauthenticated = "UNAUTHENTICATED"
	codeUnreadable      = "unreadable_answer"
)

// failure is FCM's error body.
// https://firebase.google.com/docs/cloud-messaging/error-codes
type failure struct {
	Error struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Details []struct {
			Type            string `json:"@type"`
			ErrorCode       string `json:"errorCode"` // of an FcmError
			FieldViolations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"` // of a BadRequest
			Violations []struct {
				Subject     string `json:"subject"`
				Description string `json:"description"`
			} `json:"violations"` // of a QuotaFailure
		} `json:"details"`
	} `json:"error"`
}

const fcmErrorType = "type.googleapis.com/google.firebase.fcm.v1.FcmError"

// answer reads an answer that is not an acceptance. The code is FCM's own where
// it gave one, else Google's status. The reason holds, after the text, each
// field at fault as "field=message.token;" and each exceeded quota as
// "quota=…;", so that rows of the error book can match them.
func (x *exchange) answer() channels.Answer {
	a := channels.Answer{Provider: Provider, Status: x.status, RetryAfter: channels.RetryAfter(x.header, time.Now())}
	if x.status == http.StatusOK {
		a.Code = codeUnreadable
		return a
	}
	var f failure
	if json.Unmarshal(x.body, &f) != nil {
		return a // a page of some front end: the status says it all
	}
	a.Code = f.Error.Status
	var reason strings.Builder
	reason.WriteString(f.Error.Message)
	for _, d := range f.Error.Details {
		if d.Type == fcmErrorType && d.ErrorCode != "" && d.ErrorCode != "UNSPECIFIED_ERROR" {
			a.Code = d.ErrorCode
		}
		for _, v := range d.FieldViolations {
			reason.WriteString(" field=" + v.Field + ";")
		}
		for _, v := range d.Violations {
			reason.WriteString(" quota=" + v.Subject + " " + v.Description + ";")
		}
	}
	a.Code, a.Reason = cleanCode(a.Code), reason.String()
	return a
}

// tokenAnswer reads a refusal of the token endpoint (RFC 6749 section 5.2). Its
// codes get the prefix "oauth_" to tell them from FCM's.
func (x *exchange) tokenAnswer() channels.Answer {
	a := channels.Answer{Provider: Provider, Status: x.status, RetryAfter: channels.RetryAfter(x.header, time.Now())}
	if x.status/100 == 2 {
		a.Code = "oauth_" + codeUnreadable
		return a
	}
	var f struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(x.body, &f) // not JSON: a page of some front end
	a.Code, a.Reason = "oauth_"+cleanCode(f.Error), f.Description
	return a
}

var codeForm = regexp.MustCompile(`^[A-Za-z_]{1,50}$`)

// cleanCode keeps a code only if it looks like one: it is shown and counted.
func cleanCode(code string) string {
	if codeForm.MatchString(code) {
		return code
	}
	return ""
}
