package email

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// How long the relay may take, if the context leaves that much (RFC 5321
// section 4.5.3.2; connecting is given less than its 5 minutes, because
// nothing is lost by trying later).
const (
	timeConnect = 30 * time.Second
	timeCommand = 5 * time.Minute
	timeFinal   = 10 * time.Minute
	timeQuit    = 2 * time.Second
)

// dialer opens connections to the relay.
type dialer struct{ Options }

// conn is a connection logged in to the relay. It is used by one delivery at a
// time.
type conn struct {
	raw    net.Conn // below TLS: closing it ends whatever waits on it
	client *smtp.Client
	opened time.Time
	sent   int
	broken bool
	idle   *time.Timer // set while in the pool
}

// dial connects, secures the connection and logs in.
func (d dialer) dial(ctx context.Context) (*conn, error) {
	c := &conn{opened: time.Now()}
	var stop func() bool
	open := func(dialCtx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(dialCtx, network, address)
		if err != nil {
			return nil, err
		}
		c.raw = raw
		// go-mail's greeting and login know no context.
		stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
		if d.TLS == ImplicitTLS {
			return tls.Client(raw, d.tlsConfig()), nil
		}
		return raw, nil
	}
	client, err := d.client(open)
	if err == nil {
		c.client, err = client.DialToSMTPClientWithContext(ctx)
	}
	if stop != nil && !stop() {
		err = context.Cause(ctx) // what else went wrong is its consequence
	}
	if err != nil {
		c.close() // go-mail leaves it open
		return nil, &failure{stage: stageConnect, code: connectCode(err), err: err}
	}
	return c, nil
}

// client is go-mail's side of one connection.
func (d dialer) client(open gomail.DialContextFunc) (*gomail.Client, error) {
	policy := gomail.NoTLS
	if d.TLS == StartTLS {
		policy = gomail.TLSMandatory
	}
	opts := []gomail.Option{
		gomail.WithPort(d.Port), gomail.WithTimeout(timeConnect), gomail.WithDialContextFunc(open),
		gomail.WithTLSPolicy(policy), gomail.WithTLSConfig(d.tlsConfig()),
	}
	if d.Username != "" {
		opts = append(opts, gomail.WithSMTPAuthCustom(&login{host: d.Host, user: d.Username, pass: d.Password}))
	}
	return gomail.NewClient(d.Host, opts...)
}

func (d dialer) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: d.Host, RootCAs: d.RootCAs, MinVersion: tls.VersionTLS12}
}

// errNoAuth: the relay offers no way to log in that we know.
var errNoAuth = errors.New("relay offers neither AUTH PLAIN nor LOGIN")

// login picks the mechanism the relay offers.
type login struct {
	smtp.Auth
	host, user, pass string
}

// Start begins the exchange.
func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	switch {
	case slices.Contains(server.Auth, "PLAIN"):
		l.Auth = smtp.PlainAuth("", l.user, l.pass, l.host, loopback(l.host))
	case slices.Contains(server.Auth, "LOGIN"):
		l.Auth = smtp.LoginAuth(l.user, l.pass, l.host, loopback(l.host))
	default:
		return "", nil, errNoAuth
	}
	return l.Auth.Start(server)
}

// alive asks the relay whether the connection still stands, and forgets what
// was begun on it.
func (c *conn) alive(ctx context.Context) bool {
	defer c.watch(ctx)()
	c.deadline(timeConnect)
	if err := c.client.Reset(); err != nil {
		c.broken = true
	}
	return !c.broken
}

// send makes one mail transaction and returns the reply to the final dot.
func (c *conn) send(ctx context.Context, m *message) (reply string, err error) {
	defer c.watch(ctx)()
	c.deadline(timeCommand)
	c.sent++
	if err := c.envelope(m); err != nil {
		return "", c.failed(ctx, err)
	}
	w, err := c.client.Data()
	if err != nil {
		return "", c.failed(ctx, &failure{stage: stageData, err: err})
	}
	if _, err := w.Write(m.data); err != nil || ctx.Err() != nil {
		// Without the final dot the relay forgets the message. Nothing more may
		// be written: any command would write the dot first.
		c.broken = true
		return "", c.failed(ctx, &failure{stage: stageData, err: err})
	}
	c.deadline(timeFinal)
	if err := w.Close(); err != nil && !taken(err) {
		return "", c.failed(ctx, &failure{stage: stageFinal, written: true, err: err})
	}
	if d, ok := w.(*smtp.DataCloser); ok {
		reply = d.ServerResponse()
	}
	return reply, nil
}

// taken tells whether a reply go-mail did not expect is acceptance all the same
// (RFC 5321 section 4.3.2: the first digit decides).
func taken(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code/100 == 2
}

// envelope names sender and recipient.
func (c *conn) envelope(m *message) error {
	international := !ascii(m.to) || !ascii(m.from)
	if ok, _ := c.client.Extension("SMTPUTF8"); international && !ok {
		return &failure{code: codeNoUTF8, err: errors.New("relay takes no address with other than ASCII characters")}
	}
	// Marking a message that does not need it would make relays refuse it that
	// could pass it on (RFC 6531 section 3.4).
	c.client.SkipSMTPUTF8(!international)
	if err := c.client.Mail(path(m.from)); err != nil {
		return &failure{stage: stageMail, err: err}
	}
	if err := c.client.Rcpt(path(m.to)); err != nil {
		return &failure{stage: stageRcpt, err: err}
	}
	return nil
}

// path is an address as in MAIL and RCPT.
func path(address string) string { return (&mail.Address{Address: address}).String() }

// failed notes what an error means for the connection. When ctx ended, that is
// the cause of a broken connection.
func (c *conn) failed(ctx context.Context, err error) error {
	var f *failure
	if !errors.As(err, &f) || f.code != "" {
		return err
	}
	var reply *textproto.Error
	answered := errors.As(f.err, &reply)
	if !answered || reply.Code == 421 { // RFC 5321 section 3.8: the relay closes
		c.broken = true
	}
	if !answered && ctx.Err() != nil {
		f.err = context.Cause(ctx)
	}
	return f
}

// watch closes the connection when ctx ends before the returned function is
// called.
func (c *conn) watch(ctx context.Context) (done func()) {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	return func() {
		if !stop() {
			c.broken = true
		}
	}
}

func (c *conn) deadline(d time.Duration) { _ = c.raw.SetDeadline(time.Now().Add(d)) }

// quit says goodbye, if that is quickly done, and closes.
func (c *conn) quit() {
	if !c.broken {
		c.deadline(timeQuit)
		_ = c.client.Quit() // the relay may have gone already
	}
	c.close()
}

func (c *conn) close() {
	c.broken = true
	if c.raw != nil {
		_ = c.raw.Close()
	}
}
