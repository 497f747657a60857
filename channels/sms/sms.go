// Package sms delivers text messages through Twilio's Messages API, and reads
// what comes back: status callbacks and replies.
//
// Acceptance by Twilio is not delivery: Deliver ends as sent, and a status
// callback may prove more later (Status.Evidence). Twilio knows no idempotency
// key for messages, so an attempt whose answer was lost is uncertain.
package sms

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Provider is the channel's name in the error book.
const Provider = "twilio"

// DefaultBaseURL is Twilio's API.
const DefaultBaseURL = "https://api.twilio.com"

// maxAnswer bounds how much of an answer is read; Twilio's are about 1 KB.
const maxAnswer = 64 << 10

// Options configure New. Their text never shows the secrets.
type Options struct {
	// AccountSID is the account that sends, "AC" and 32 hexadecimal digits.
	AccountSID string
	// AuthToken is the account's secret; or give an API key.
	AuthToken string
	// APIKey ("SK…") and APISecret sign in instead of AuthToken. A standard key
	// will do; a restricted one must be allowed to create and to list messages.
	APIKey, APISecret string
	// From is the sender: a phone number in E.164, a short code or an
	// alphanumeric sender id. Needed unless there is a MessagingServiceSID.
	From string
	// MessagingServiceSID ("MG…") lets Twilio choose the sender of a pool; with
	// From as well, that sender of the pool is used.
	MessagingServiceSID string
	// BaseURL is the API's address; default DefaultBaseURL. Use it for a Twilio
	// region ("https://api.dublin.ie1.twilio.com") or the sandbox.
	BaseURL string
	// Book classifies failures; required.
	Book *channels.ErrorBook
	// RootCAs verify the API's certificate; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout of one attempt; default 30 s. It is long because an answer that
	// comes too late leaves the delivery uncertain. An earlier deadline of the
	// context counts.
	Timeout time.Duration
	// Segments is told the segments of each message Twilio took, and the
	// country (ISO code, as the group of CheckEndpoint); may be nil.
	Segments func(country string, n int)
}

// String names the account only.
func (o Options) String() string { return "twilio account " + o.AccountSID }

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Channel is a channels.Channel for one Twilio account.
type Channel struct {
	opts      Options
	base      *url.URL
	transport http.RoundTripper
}

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

var (
	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	keySID     = regexp.MustCompile(`^SK[0-9a-fA-F]{32}$`)
	// E.164, short code (3 to 8 digits) or alphanumeric sender id (up to 11
	// characters), https://www.twilio.com/docs/messaging/api/message-resource
	sender = regexp.MustCompile(`^(\+[1-9][0-9]{6,14}|[0-9]{3,8}|[0-9A-Za-z+_&-][0-9A-Za-z +_&-]{0,10})$`)
)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("sms: %w", err)
	}
	base, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("sms: BaseURL %w", err)
	}
	client := channels.NewHTTPClient(channels.HTTPOptions{
		TLS:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		MaxBody: maxAnswer,
	})
	// The transport below the client knows no redirects.
	return &Channel{opts: o, base: base, transport: client.Transport}, nil
}

func (o Options) check() error {
	switch {
	case o.Book == nil:
		return errors.New("Book is required")
	case !accountSID.MatchString(o.AccountSID):
		return errors.New(`AccountSID must be "AC" and 32 hexadecimal digits`)
	case o.APIKey == "" && o.AuthToken == "":
		return errors.New("AuthToken, or APIKey and APISecret, is required")
	case o.APIKey == "" && o.APISecret != "", o.APIKey != "" && o.APISecret == "":
		return errors.New("APIKey and APISecret go together")
	case o.APIKey != "" && !keySID.MatchString(o.APIKey):
		return errors.New(`APIKey must be "SK" and 32 hexadecimal digits`)
	case o.From == "" && o.MessagingServiceSID == "":
		return errors.New("From or MessagingServiceSID is required")
	case o.From != "" && !sender.MatchString(o.From):
		return errors.New("From must be a phone number like +15005550006, a short code or a sender id of at most 11 letters and digits")
	case o.MessagingServiceSID != "" && !serviceSID.MatchString(o.MessagingServiceSID):
		return errors.New(`MessagingServiceSID must be "MG" and 32 hexadecimal digits`)
	case o.Timeout < 0:
		return errors.New("Timeout must not be negative")
	}
	return nil
}

// parseBase reads an address that paths are appended to.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("must be like https://host or https://host/path")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must have no user, query or fragment")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// String names the account only.
func (c *Channel) String() string { return c.opts.String() }

// CloseIdleConnections closes the connections no attempt uses. Call it when the
// channel is given up.
func (c *Channel) CloseIdleConnections() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
