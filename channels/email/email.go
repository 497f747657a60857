// Package email delivers mail through an SMTP submission relay. Its endpoints
// are single addresses; one delivery is one message to one recipient, sent over
// a pooled connection.
//
// A message counts as written once its final dot may have left: an answer lost
// after that is uncertain, anything before is temporary, because a relay
// forgets a message whose final dot it has not seen (RFC 5321 section 4.1.1.4).
package email

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
)

// provider is the relay's name in the error book.
const provider = "smtp"

// TLSMode is how a connection is protected.
type TLSMode string

// The modes. STARTTLS is demanded, never only tried.
const (
	StartTLS    TLSMode = "starttls" // plain greeting, then STARTTLS (port 587)
	ImplicitTLS TLSMode = "implicit" // TLS from the first byte (port 465)
	NoTLS       TLSMode = "none"     // for a relay on the same machine
)

// Options configure a Channel. Its text shows no secret.
type Options struct {
	// Host is the relay's name or address, and the name its certificate must have.
	Host string
	// Port is the relay's port; default 587, with ImplicitTLS 465, with NoTLS 25.
	Port int
	// TLS is StartTLS if empty.
	TLS TLSMode
	// RootCAs are the authorities trusted; nil for the system's.
	RootCAs *x509.CertPool
	// Username and Password log in by PLAIN or LOGIN, whichever the relay
	// offers; an empty Username sends without. They need TLS or a loopback host.
	Username string
	Password string
	// From is the sender: "Name <address>" or an address. It is also the
	// envelope sender, to which bounces go.
	From string
	// MaxConns bounds the connections, and so the deliveries at a time; default 4.
	MaxConns int
	// MessagesPerConn is after how many messages a connection is replaced;
	// default 100.
	MessagesPerConn int
	// IdleTimeout is how long an unused connection is kept; default 30 s.
	IdleTimeout time.Duration
	// DKIM signs messages; the zero value does not.
	DKIM DKIM
	// Book classifies the relay's answers. Required.
	Book *channels.ErrorBook
}

// DKIM is a signing key (RFC 6376).
type DKIM struct {
	// Domain is d=: the From domain or a parent of it, so that the signature
	// counts for DMARC (RFC 7489 section 3.1.1).
	Domain string
	// Selector is s=: the public key is published at Selector._domainkey.Domain.
	Selector string
	// Key is the private key in PEM: RSA (PKCS #1 or #8) or Ed25519 (PKCS #8).
	Key string
}

// String names the relay only.
func (o Options) String() string {
	return fmt.Sprintf("smtp relay %s (%s)", net.JoinHostPort(o.Host, fmt.Sprint(o.Port)), o.TLS)
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// String names domain and selector only.
func (d DKIM) String() string { return d.Selector + "._domainkey." + d.Domain }

// GoString is String.
func (d DKIM) GoString() string { return d.String() }

// Channel delivers mail through one account of one relay.
type Channel struct {
	from   *mail.Address
	domain string // of from
	signer *signer
	pool   *pool
	book   *channels.ErrorBook
}

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

// New makes a channel. It opens no connection.
func New(o Options) (*Channel, error) {
	from, domain, err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("email: %w", err)
	}
	s, err := newSigner(o.DKIM, domain)
	if err != nil {
		return nil, fmt.Errorf("email: DKIM.%w", err)
	}
	return &Channel{
		from: from, domain: domain, signer: s, book: o.Book,
		pool: newPool(dialer{o}, o.MaxConns, o.MessagesPerConn, o.IdleTimeout),
	}, nil
}

// Deliver sends one message. The receipt's ProviderID is the relay's queue id
// if its answer names one, else the Message-ID.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	m, err := c.compose(d)
	if err != nil {
		return channels.Receipt{}, c.judge(err)
	}
	reply, err := c.send(ctx, m)
	if err != nil {
		return channels.Receipt{}, c.judge(err)
	}
	id := queueID(reply)
	if id == "" {
		id = m.id
	}
	return channels.Receipt{ProviderID: id}, nil
}

func (c *Channel) send(ctx context.Context, m *message) (reply string, err error) {
	conn, err := c.pool.take(ctx)
	if err != nil {
		return "", err
	}
	reply, err = conn.send(ctx, m)
	c.pool.give(conn)
	return reply, err
}

// Probe connects, logs in and leaves.
func (c *Channel) Probe(ctx context.Context) error {
	conn, err := c.pool.dial(ctx)
	if err != nil {
		return c.judge(err)
	}
	conn.quit()
	return nil
}

// Close ends the idle connections. Deliveries under way are not disturbed, and
// their connections are not kept.
func (c *Channel) Close() error {
	c.pool.close()
	return nil
}

// complete checks the options, sets the defaults and reads From.
func (o *Options) complete() (from *mail.Address, domain string, err error) {
	if o.TLS == "" {
		o.TLS = StartTLS
	}
	port, ok := map[TLSMode]int{StartTLS: 587, ImplicitTLS: 465, NoTLS: 25}[o.TLS]
	switch {
	case o.Book == nil:
		return nil, "", errors.New("Book: missing")
	case o.Host == "":
		return nil, "", errors.New("Host: missing")
	case !ok:
		return nil, "", errors.New(`TLS: want "starttls", "implicit" or "none"`)
	case o.Port < 0 || o.Port > 65535:
		return nil, "", errors.New("Port: want 1 to 65535")
	case o.Username == "" && o.Password != "":
		return nil, "", errors.New("Username: missing, Password is set")
	case o.Username != "" && o.TLS == NoTLS && !loopback(o.Host):
		return nil, "", errors.New("TLS: a password is sent only with TLS, or to a loopback host")
	case o.MaxConns < 0 || o.MessagesPerConn < 0 || o.IdleTimeout < 0:
		return nil, "", errors.New("MaxConns, MessagesPerConn, IdleTimeout: must not be negative")
	}
	setDefault(&o.Port, port)
	setDefault(&o.MaxConns, 4)
	setDefault(&o.MessagesPerConn, 100)
	setDefault(&o.IdleTimeout, 30*time.Second)
	from, err = mail.ParseAddress(o.From)
	if err != nil {
		return nil, "", errors.New(`From: want "Name <address>" or an address`)
	}
	checked, domain, err := checkAddress(from.Address)
	if err != nil {
		return nil, "", fmt.Errorf("From: %w", err)
	}
	return &mail.Address{Name: from.Name, Address: checked}, domain, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
