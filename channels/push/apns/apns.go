// Package apns delivers push notifications through Apple's push service: one
// notification to one device token a request, over one long-lived HTTP/2
// connection a channel.
//
// Acceptance by APNs is not delivery: it keeps a notification for a device
// that is off, and may drop it for a newer one. So Deliver ends as sent.
// Every notification carries a collapse id, so that a repeat replaces what it
// repeats instead of being shown twice.
package apns

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/sideshow/apns2"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Provider is the channel's name in the error book, metrics and scripts.
const Provider = "apns"

// Apple's two environments. A device token is good in one of them only: the
// one its app was signed for (TestFlight and the App Store: production).
const (
	Production  = apns2.HostProduction
	Development = apns2.HostDevelopment // Apple also calls it the sandbox
)

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

// Options configure New. They need either Key, KeyID and TeamID, or
// Certificate. Their text never shows the secrets.
type Options struct {
	// Topic is the app's bundle id, for some push types with their suffix
	// ("com.example.app.voip"): the push type follows from it.
	Topic string

	// Key is the signing key as Apple gives it out, the content of the .p8
	// file. Secret.
	Key []byte
	// KeyID and TeamID, ten characters each, name the key and its owner.
	KeyID, TeamID string
	// Tokens is shared by all channels that may use the same key, as Apple
	// wants a key's token renewed seldom; nil for the channel's own.
	Tokens *Tokens

	// Certificate is a provider certificate in PEM, used instead of a key; it
	// may hold the private key too. Secret.
	Certificate []byte
	// CertificateKey is its private key in PEM, unless Certificate holds it.
	CertificateKey []byte

	// Host is the service's URL; default Production.
	Host string
	// RootCAs verify the service's certificate; nil for the system's.
	RootCAs *x509.CertPool
	// Book classifies the answers. Required.
	Book *channels.ErrorBook
	// Timeout of one attempt; default 60 s. An earlier deadline of the context
	// counts.
	Timeout time.Duration
}

// String names the app only.
func (o Options) String() string { return "apns app " + o.Topic }

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Channel sends to the devices of one app.
type Channel struct {
	topic   string
	kind    apns2.EPushType // by the topic; alert may turn into background
	book    *channels.ErrorBook
	token   *providerToken // nil: the certificate signs in
	client  *apns2.Client
	links   *links
	timeout time.Duration
}

// topicForm is what can stand in a bundle id.
var topicForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,254}$`)

// New checks the options and makes a Channel. It makes no call; Probe does.
func New(o Options) (*Channel, error) {
	if o.Book == nil {
		return nil, errors.New("apns: Book is required")
	}
	if !topicForm.MatchString(o.Topic) {
		return nil, errors.New("apns: Topic: want the app's bundle id, such as com.example.app")
	}
	if o.Host == "" {
		o.Host = Production
	}
	host, err := url.Parse(o.Host)
	if err != nil || host.Scheme != "https" || host.Hostname() == "" || strings.Trim(host.Path, "/") != "" {
		return nil, errors.New("apns: Host: want an https URL without a path, such as " + Production)
	}
	if o.Timeout < 0 {
		return nil, errors.New("apns: Timeout: must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = 60 * time.Second
	}
	token, cert, err := signIn(o)
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{RootCAs: o.RootCAs, Certificates: cert}
	c := &Channel{
		topic: o.Topic, kind: pushType(o.Topic), book: o.Book, token: token, timeout: o.Timeout,
		links: &links{transport: newTransport(settings), address: address(host)},
	}
	c.client = &apns2.Client{Host: "https://" + host.Host, HTTPClient: &http.Client{
		Transport:     courier{c.links},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return c, nil
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// signIn reads the credentials: a token or a certificate, never both.
func signIn(o Options) (*providerToken, []tls.Certificate, error) {
	switch {
	case len(o.Key) > 0 && len(o.Certificate) > 0:
		return nil, nil, errors.New("apns: Key and Certificate: want one of them, not both")
	case len(o.Key) > 0:
		if o.Tokens == nil {
			o.Tokens = NewTokens()
		}
		token, err := o.Tokens.of(o.Key, o.KeyID, o.TeamID)
		return token, nil, err
	case len(o.Certificate) > 0:
		if len(o.CertificateKey) == 0 {
			o.CertificateKey = o.Certificate
		}
		cert, err := tls.X509KeyPair(o.Certificate, o.CertificateKey)
		if err != nil {
			return nil, nil, fmt.Errorf("apns: Certificate, CertificateKey: %w", err)
		}
		return nil, []tls.Certificate{cert}, nil
	}
	return nil, nil, errors.New("apns: Key or Certificate is required")
}

// tokenForm: Apple gives out 32 bytes today and promises no length.
var tokenForm = regexp.MustCompile(`^([0-9a-f]{2}){32,100}$`)

// CheckEndpoint takes a device token in hexadecimal. Its normal form is lower
// case; its group is the app.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	address := strings.ToLower(endpoint)
	if !tokenForm.MatchString(address) {
		return channels.Endpoint{}, fmt.Errorf("not a device token: want 64 to 200 hexadecimal digits, an even number, got %d characters", len(endpoint))
	}
	return channels.Endpoint{Address: address, Group: c.topic}, nil
}

// Close ends the connection to APNs once the attempts under way are through.
// The channel can still be used and then opens a new one.
func (c *Channel) Close() error {
	c.links.drop(nil)
	return nil
}

// Deliver sends one notification. A payload that cannot go is refused without
// a call.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	n, code := c.notification(d)
	if code != "" {
		return channels.Receipt{}, c.book.Judge(channels.Answer{Provider: Provider, Code: code})
	}
	return c.push(ctx, n)
}
