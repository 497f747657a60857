package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// maxMail is the largest message the relay takes, Postfix's default
// message_size_limit (https://www.postfix.org/postconf.5.html#message_size_limit).
const maxMail = 10240000

// The steps before a recipient is known are scripted under these names instead
// of an address; the script for "*" does not touch them.
const (
	smtpConnect = "CONNECT" // the greeting
	smtpAuth    = "AUTH"
	smtpMail    = "MAIL"
)

// SMTP is a submission relay: STARTTLS and AUTH (PLAIN, LOGIN) are required,
// one listener is plain with STARTTLS, the other has TLS from the start.
//
// A scripted refusal (Status is the reply code, Code the enhanced status) is
// the answer to RCPT, or to the final dot when Message starts with "data:".
// The recipients "CONNECT", "AUTH" and "MAIL" script the answers to the
// greeting, to AUTH and to MAIL. 421 closes the connection. DropBefore closes
// it at RCPT; DropAfter, Hang and Delay come after the final dot.
type SMTP struct {
	Addr     string // host:port, STARTTLS
	TLSAddr  string // host:port, implicit TLS
	CAPEM    []byte // the certificate authority to trust, PEM
	Username string
	Password string

	core   *core
	server *smtp.Server
	tracks []*trackedListener
	served sync.WaitGroup
	events relayEvents
}

func startSMTP(c *core) (*SMTP, error) {
	cert, caPEM, err := c.kept.certificate("smtp", "Sandbox mail relay")
	if err != nil {
		return nil, err
	}
	password, err := keep(c.kept, "smtp.password", func() (string, error) { return "relay-" + newQueueID(), nil })
	if err != nil {
		return nil, err
	}
	plain, err := c.kept.listen("smtp")
	if err != nil {
		return nil, err
	}
	implicit, err := c.kept.listen("smtps")
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	f := &SMTP{
		Addr: plain.Addr().String(), TLSAddr: implicit.Addr().String(), CAPEM: caPEM,
		Username: "relay-user", Password: password, core: c,
	}
	f.events.start(c)
	f.server = smtp.NewServer(smtp.BackendFunc(f.session))
	f.server.Domain = "relay.sandbox"
	f.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	f.server.MaxMessageBytes = maxMail
	f.server.MaxRecipients = 100
	f.server.EnableSMTPUTF8 = true
	f.server.ErrorLog = log.New(io.Discard, "", 0) // dropped connections are what it is for
	f.serve(&trackedListener{Listener: plain, greet: f.refuseGreeting}, nil)
	f.serve(&trackedListener{Listener: implicit}, f.server.TLSConfig)
	return f, nil
}

func (f *SMTP) serve(l *trackedListener, config *tls.Config) {
	f.tracks = append(f.tracks, l)
	var outer net.Listener = l
	if config != nil {
		outer = tls.NewListener(l, config)
	}
	f.served.Go(func() { _ = f.server.Serve(outer) }) // ends when the listener is closed
}

// Roots is a pool that holds the relay's certificate authority.
func (f *SMTP) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(f.CAPEM)
	return pool
}

// CloseConnections closes the connections open now, as a relay does that
// restarts; the listeners go on.
func (f *SMTP) CloseConnections() {
	for _, l := range f.tracks {
		l.closeConns()
	}
}

// Connections is how many connections are open.
func (f *SMTP) Connections() int {
	n := 0
	for _, l := range f.tracks {
		n += l.open()
	}
	return n
}

// Close ends the listeners, connections and reports.
func (f *SMTP) Close() error {
	f.core.cancel()
	var errs []error
	for _, l := range f.tracks {
		errs = append(errs, l.Close())
	}
	f.served.Wait()
	f.CloseConnections()
	// Waits for the connections' goroutines; its error is only that the
	// listeners are closed already.
	_ = f.server.Shutdown(context.Background())
	f.events.close()
	return errors.Join(errs...)
}

// refuseGreeting plays a scripted refusal of the connection.
func (f *SMTP) refuseGreeting(conn net.Conn) bool {
	a, _ := f.core.take(ProviderSMTP, smtpConnect)
	if !a.refuses() {
		return false
	}
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, replyLine(a, smtpConnect))
	return true
}

// newQueueID is an id as a relay gives to what it queued.
func newQueueID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails since Go 1.24
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
