// Package amazon is what the channels to services of AWS share: the account
// that signs requests, how they are sent, and how failures are read. It knows
// the SDK's core only; each service's part is in its channel's folder.
package amazon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Account signs requests and says how they go out. Its text shows no secret.
type Account struct {
	// Region requests are signed for; required.
	Region string
	// AccessKeyID and SecretAccessKey are the account's credentials; required.
	AccessKeyID, SecretAccessKey string
	// SessionToken belongs to temporary credentials; "" for none.
	SessionToken string
	// RootCAs verify the service's certificate; nil means the system's.
	RootCAs *x509.CertPool
	// Control refuses addresses when they are dialled; nil allows all.
	Control func(network, address string, c syscall.RawConn) error
	// Book classifies failures; required.
	Book *channels.ErrorBook
}

// String names the account without its secrets.
func (a Account) String() string {
	return fmt.Sprintf("aws account (region %s, access key %s, secret <secret>)", a.Region, a.AccessKeyID)
}

// GoString is String.
func (a Account) GoString() string { return a.String() }

// LogValue is String.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// Client is an account's connections to one service.
type Client struct {
	provider string // in the error book
	book     *channels.ErrorBook
	http     *http.Client
	config   aws.Config
}

// Open makes the client of a provider of the error book; maxAnswer is how many
// bytes are read of an answer. It makes no call. The error names the field that
// is wrong.
func (a Account) Open(provider string, maxAnswer int64) (*Client, error) {
	switch {
	case a.Region == "":
		return nil, errors.New("Region is required")
	case a.AccessKeyID == "":
		return nil, errors.New("AccessKeyID is required")
	case a.SecretAccessKey == "":
		return nil, errors.New("SecretAccessKey is required")
	case a.Book == nil:
		return nil, errors.New("Book is required")
	}
	c := &Client{provider: provider, book: a.Book, http: channels.NewHTTPClient(channels.HTTPOptions{
		TLS:     &tls.Config{RootCAs: a.RootCAs, MinVersion: tls.VersionTLS12},
		Control: a.Control, MaxBody: maxAnswer,
	})}
	credentials := aws.Credentials{AccessKeyID: a.AccessKeyID, SecretAccessKey: a.SecretAccessKey, SessionToken: a.SessionToken}
	c.config = aws.Config{
		AppID: "fanfare", Region: a.Region, HTTPClient: sender{c.http},
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
	}
	return c, nil
}

// sender sends a copy of each request's body. The SDK closes its own when the
// answer begins; net/http, if it was still at it, would drop the connection and
// what is to come of the answer, and a message that was stored went out again.
type sender struct{ http *http.Client }

func (s sender) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("read the request to send: %w", err)
		}
		sent := *r
		sent.Body = io.NopCloser(bytes.NewReader(body))
		r = &sent
	}
	return s.http.Do(r)
}

// Config is what the SDK's clients are made from: it sends once and reads
// nothing of the environment.
func (c *Client) Config() aws.Config { return c.config }

// Close closes the connections no request is using.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}
