package amazon

import (
	"errors"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/fanfare-gateway/fanfare/channels"
)

// codeForm is how codes of AWS look.
var codeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,99}$`)

// PlainCode is the provider's code, or "" if it is none: whatever an answer
// says does not get into logs.
func PlainCode(code string) string {
	if !codeForm.MatchString(code) {
		return ""
	}
	return code
}

// Refusal judges a delivery for which no call is made.
func (c *Client) Refusal(code string) *channels.Error {
	return c.book.Judge(channels.Answer{Provider: c.provider, Code: code})
}

// Unreadable judges an answer that says success and cannot be read. The SDK's
// own text may quote it.
func (c *Client) Unreadable() *channels.Error {
	return c.book.Transport(c.provider, errors.New("unreadable answer"), true)
}

// Answered is the service's answer in what the SDK returned; nil for none.
func Answered(err error) *awshttp.ResponseError {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.HTTPStatusCode() == 0 {
		return nil
	}
	return answer
}

// Failure judges what the SDK returned. The code is the query protocol's, if
// the service sends it along in a header, or else the JSON protocol's.
func (c *Client) Failure(err error, wire *channels.Wire) *channels.Error {
	answer := Answered(err)
	switch {
	case answer == nil:
		return c.book.Transport(c.provider, err, wire.Written())
	case answer.HTTPStatusCode()/100 == 2:
		return c.Unreadable()
	}
	a := channels.Answer{
		Provider: c.provider, Status: answer.HTTPStatusCode(),
		RetryAfter: channels.RetryAfter(answer.Response.Header, time.Now()),
	}
	var named smithy.APIError
	if errors.As(err, &named) {
		a.Code, a.Reason = PlainCode(named.ErrorCode()), named.ErrorMessage()
	}
	return c.book.Judge(a)
}

// Probed judges a probe. That the account may not make that call is no fault:
// AWS knows it then, and delivering needs other rights.
func (c *Client) Probed(err error, wire *channels.Wire) error {
	if err == nil {
		return nil
	}
	if failure := c.Failure(err, wire); !strings.HasPrefix(failure.Code, "AccessDenied") {
		return failure
	}
	return nil
}
