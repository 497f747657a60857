package downstream

import (
	"errors"
	"regexp"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/fanfare-gateway/fanfare/channels"
)

// errUnreadable stands for an answer that says success and cannot be read. The
// SDK's own text may quote it.
var errUnreadable = errors.New("unreadable answer")

// codeForm is how codes of AWS look.
var codeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._-]{0,99}$`)

// plainCode is the provider's code, or "" if it is none: whatever an answer
// says does not get into logs.
func plainCode(code string) string {
	if !codeForm.MatchString(code) {
		return ""
	}
	return code
}

// refusal is a message that is not even tried.
func (c *Channel) refusal(code string) *channels.Error {
	return c.book.Judge(channels.Answer{Provider: Provider, Code: code})
}

// failure judges what the SDK returned. Its code is the query protocol's, which
// SQS sends along in a header, or else the JSON protocol's.
func (c *Channel) failure(err error, wire *channels.Wire) *channels.Error {
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.Response == nil || answer.HTTPStatusCode() == 0 {
		if wire.Written() && strings.Contains(err.Error(), "checksum") {
			return c.book.Judge(channels.Answer{Provider: Provider, Code: "checksum_mismatch"})
		}
		return c.book.Transport(Provider, err, wire.Written())
	}
	if answer.HTTPStatusCode()/100 == 2 {
		return c.book.Transport(Provider, errUnreadable, true)
	}
	a := channels.Answer{
		Provider: Provider, Status: answer.HTTPStatusCode(),
		RetryAfter: channels.RetryAfter(answer.Response.Header, time.Now()),
	}
	var named smithy.APIError
	if errors.As(err, &named) {
		a.Code, a.Reason = plainCode(named.ErrorCode()), named.ErrorMessage()
	}
	return c.book.Judge(a)
}
