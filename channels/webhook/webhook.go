// Package webhook delivers to HTTP endpoints of anybody, signed by Standard
// Webhooks 1.0.0 (https://www.standardwebhooks.com). One attempt is one POST:
// redirects are failures and never followed, and what the receiver writes back
// is read with a bound and not repeated anywhere.
package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Provider is the channel's name in the error book.
const Provider = "webhook"

// drainTime and maxDrain (bytes) bound what is read of an answer's body to keep
// the connection: the outcome is known from the status already.
const (
	drainTime = time.Second
	maxDrain  = 64 << 10
)

// Options configure New.
type Options struct {
	// Book classifies failures; required.
	Book *channels.ErrorBook
	// Guard refuses addresses, as literals when an endpoint is checked and as
	// resolved when it is dialled. The zero Guard allows the public internet.
	Guard channels.Guard
	// RootCAs verify the receivers' certificates; nil means the system's.
	RootCAs *x509.CertPool
	// Timeout of one attempt; default 15 s, at the lower end of what the
	// specification recommends. An earlier deadline of the context counts.
	Timeout time.Duration
}

// Channel is a channels.Channel for webhooks.
type Channel struct {
	opts      Options
	transport http.RoundTripper
}

var _ channels.Channel = (*Channel)(nil)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	if o.Book == nil {
		return nil, errors.New("webhook: Book is required")
	}
	if o.Timeout < 0 {
		return nil, errors.New("webhook: Timeout must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	client := channels.NewHTTPClient(channels.HTTPOptions{
		TLS:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		Control: o.Guard.Control,
	})
	// The client's own redirect logic reads Location headers and puts a bad one
	// into its error; the transport below it knows no redirects.
	return &Channel{opts: o, transport: client.Transport}, nil
}

// Deliver posts the delivery once. A 2xx status means delivered; the body
// that comes with it is ignored. A failure is an *Error.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	ctx, wire := channels.WatchRequest(ctx)
	req, err := c.request(ctx, &d)
	if err != nil {
		return channels.Receipt{}, c.refused(err)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return channels.Receipt{}, c.opts.Book.Transport(Provider, cause(err), wire.Written())
	}
	c.drain(resp, cancel)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return channels.Receipt{}, c.opts.Book.Judge(channels.Answer{
			Provider: Provider, Status: resp.StatusCode, RetryAfter: channels.RetryAfter(resp.Header, time.Now()),
		})
	}
	return channels.Receipt{Delivered: true}, nil
}

// Close closes the connections no attempt uses.
func (c *Channel) Close() error {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
	return nil
}

// drain reads a short body to its end, so that the connection can be used again.
func (c *Channel) drain(resp *http.Response, cancel context.CancelFunc) {
	stop := time.AfterFunc(drainTime, cancel)
	defer stop.Stop()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_, _ = io.CopyN(io.Discard, resp.Body, maxDrain+1) // the status decides
	}
	_ = resp.Body.Close()
}

// refusal is a delivery the channel does not even try.
type refusal struct {
	code string
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(code, format string, args ...any) error {
	return &refusal{code, fmt.Errorf(format, args...)}
}

func (c *Channel) refused(err error) error {
	a := channels.Answer{Provider: Provider, Err: err}
	var r *refusal
	if errors.As(err, &r) {
		a.Code, a.Err = r.code, r.err
	}
	return c.opts.Book.Judge(a)
}
