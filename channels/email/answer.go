package email

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/textproto"
	"regexp"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
)

// The stages of a delivery, as the error book's rows may name them: the reason
// an answer is judged by is "[stage] text".
const (
	stageConnect = "connect" // greeting, EHLO, STARTTLS, AUTH
	stageMail    = "mail"
	stageRcpt    = "rcpt"
	stageData    = "data"
	stageFinal   = "final" // the final dot
)

// Codes of the error book for failures without an SMTP reply.
const (
	codeBadAddress = "bad_address"
	codeBadMessage = "bad_message"
	codeNoUTF8     = "no_smtputf8"
	codeNoTLS      = "no_starttls"
	codeNoAuth     = "no_auth"
	codeTLS        = "tls"
)

// failure is what went wrong and where.
type failure struct {
	stage   string
	written bool   // the final dot may have been sent
	code    string // of the error book, when there was no reply
	err     error
}

// Error is for debugging only: a reply's text may name the recipient. judge
// makes the error that is shown.
func (f *failure) Error() string { return fmt.Sprintf("%s: %v", f.stage, f.err) }

// Unwrap is the cause.
func (f *failure) Unwrap() error { return f.err }

// connectCode names a connection's failure that is the account's own; "" for
// any other.
func connectCode(err error) string {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError // the relay does not speak TLS here
	var alert tls.AlertError         // no version or cipher in common
	switch {
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &alert):
		return codeTLS
	case errors.Is(err, errNoAuth):
		return codeNoAuth
	case strings.Contains(err.Error(), "does not support STARTTLS"): // go-mail has no value for it
		return codeNoTLS
	}
	return ""
}

// judge classifies a failure. The network comes first, as go-mail's own guess
// takes a refused connection for permanent.
func (c *Channel) judge(err error) *channels.Error {
	var f *failure
	if !errors.As(err, &f) {
		return c.book.Transport(provider, err, false)
	}
	var reply *textproto.Error
	switch {
	case errors.As(f.err, &reply):
		return c.book.Judge(channels.Answer{
			Provider: provider, Status: reply.Code, Code: enhancedStatus(reply),
			Reason: "[" + f.stage + "] " + reply.Msg, Err: refused[f.stage],
		})
	case f.code != "":
		return c.book.Judge(channels.Answer{Provider: provider, Code: f.code, Err: f.err})
	}
	return c.book.Transport(provider, f.err, f.written)
}

// refused is all that is shown of a reply: its text may hold the recipient.
var refused = map[string]error{
	stageConnect: errors.New("relay refused the connection or the login"),
	stageMail:    errors.New("relay refused the sender"),
	stageRcpt:    errors.New("relay refused the recipient"),
	stageData:    errors.New("relay refused to take the message"),
	stageFinal:   errors.New("relay refused the message"),
}

// A reply's text begins with its enhanced status (RFC 2034 section 4), as does a
// report's Status field (RFC 3464 section 2.3.4), which may go on with a comment.
var enhancedPattern = regexp.MustCompile(`^[245]\.\d{1,3}\.\d{1,3}\b`)

func enhancedStatus(reply *textproto.Error) string {
	return enhancedPattern.FindString(reply.Msg)
}

// What relays say to the final dot: Postfix "Ok: queued as 4F…", Exim "OK
// id=1abc-…", SES "Ok 0102…".
var queuedPattern = regexp.MustCompile(`(?i)\bqueued as ([\w.-]+)|\bid=([\w.-]+)|^(?:2\.\d\.\d )?ok ([\w-]{20,})$`)

// queueID finds the relay's own id in its reply; "" if there is none.
func queueID(reply string) string {
	found := queuedPattern.FindStringSubmatch(reply)
	if found == nil {
		return ""
	}
	return strings.Join(found[1:], "") // one of them matched
}
