package apns

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// links holds the connection in use. Apple wants few and long-lived ones and
// takes quick opening and closing for an attack, so all attempts share one, and
// wait for it while it is opened. net/http's own pool opens one for each.
type links struct {
	transport *http.Transport // opens connections
	address   string

	mu  sync.Mutex
	now *link
}

// link is one connection to APNs.
type link struct {
	opened chan struct{} // closed when conn or err is set
	conn   *http.ClientConn
	err    error

	users   int  // attempts under way
	dropped bool // no further attempts; closed after the last
}

// newTransport speaks HTTP/2 only. Attempts wait for one of the connection's
// streams: APNs allows only one until it has seen a good token, and fewer after
// many refusals. A connection that died silently is found by a ping.
func newTransport(settings *tls.Config) *http.Transport {
	settings.MinVersion = tls.VersionTLS12
	settings.VerifyConnection = func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != "h2" {
			return errors.New("server does not speak HTTP/2")
		}
		return nil
	}
	var h2 http.Protocols
	h2.SetHTTP2(true)
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        settings,
		TLSHandshakeTimeout:    10 * time.Second,
		Protocols:              &h2,
		IdleConnTimeout:        time.Hour,
		MaxResponseHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{
			StrictMaxConcurrentRequests: true,
			SendPingTimeout:             15 * time.Second,
			PingTimeout:                 15 * time.Second,
		},
	}
}

// take is the link for an attempt, opened if there is none; release gives it
// back. It blocks until the link is open or ctx ends. fresh tells that it was
// opened for this attempt or while it waited.
func (s *links) take(ctx context.Context) (l *link, fresh bool, err error) {
	s.mu.Lock()
	if s.now == nil || s.now.broken() {
		s.dropLocked()
		s.now = &link{opened: make(chan struct{})}
		go s.open(s.now)
	}
	l = s.now
	l.users++
	s.mu.Unlock()
	select {
	case <-l.opened:
	default:
		fresh = true
		select {
		case <-l.opened:
		case <-ctx.Done():
			s.release(l)
			return nil, false, ctx.Err()
		}
	}
	if l.err != nil {
		s.release(l)
		return nil, false, l.err
	}
	return l, fresh, nil
}

// open dials. It does not depend on the attempt that asked first: others wait
// for the link too.
func (s *links) open(l *link) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	l.conn, l.err = s.transport.NewClientConn(ctx, "https", s.address)
	close(l.opened)
	s.mu.Lock()
	defer s.mu.Unlock()
	l.closeUnused()
}

func (s *links) release(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
	l.closeUnused()
}

// drop makes further attempts use a new connection, unless that was done
// already since l was taken; nil stands for any.
func (s *links) drop(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == nil || l == s.now {
		s.dropLocked()
	}
}

func (s *links) dropLocked() {
	if old := s.now; old != nil {
		s.now, old.dropped = nil, true
		old.closeUnused()
	}
}

// broken tells that opening failed or the connection is lost.
func (l *link) broken() bool {
	select {
	case <-l.opened:
		return l.err != nil || l.conn.Err() != nil
	default:
		return false
	}
}

// closeUnused closes a link nobody uses or will use.
func (l *link) closeUnused() {
	select {
	case <-l.opened:
		if l.dropped && l.users == 0 && l.conn != nil {
			_ = l.conn.Close() // what it could tell was told to its last user
		}
	default: // open does it
	}
}
