package apns_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/apns"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// relay stands between channel and sandbox, counts connections and cuts them.
type relay struct {
	net.Listener
	count atomic.Int32
	mu    sync.Mutex
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &relay{Listener: l}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); r.cut(); wg.Wait() })
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			r.count.Add(1)
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.conns = append(r.conns, in, out)
			r.mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	return r
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}

func throughRelay(t *testing.T) (*sandbox.Server, *relay, *apns.Channel) {
	t.Helper()
	sb := start(t)
	r := newRelay(t, sb.APNs.Addr)
	o := options(t, sb)
	o.Host = "https://" + r.Addr().String()
	return sb, r, open(t, o)
}

func TestManyAttemptsOneConnection(t *testing.T) {
	t.Parallel()
	_, r, ch := throughRelay(t)
	var wg sync.WaitGroup
	errs := make([]error, 300)
	for i := range errs {
		wg.Go(func() { _, errs[i] = ch.Deliver(t.Context(), channeltest.Delivery(device(i+1), i+1)) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, r.count.Load())
}

// APNs allows one stream until it has seen a good token; the others wait.
func TestAttemptsWaitForAStream(t *testing.T) {
	t.Parallel()
	var connections, most, now atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), now.Add(1)))
		now.Add(-1)
	}))
	srv.EnableHTTP2 = true
	srv.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1}
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ch := against(t, srv, srv.URL)
	_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1)) // the limit is known with the first answer
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() { _, errs[i] = ch.Deliver(t.Context(), channeltest.Delivery(device(i+1), i+1)) })
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, connections.Load())
	require.EqualValues(t, 1, most.Load())
}

func TestNewConnectionWhereTheAnswerAsksForOne(t *testing.T) {
	t.Parallel()
	sb, r, ch := throughRelay(t)
	d := channeltest.Delivery(device(1), 1)
	for i, code := range []string{"TooManyProviderTokenUpdates", "IdleTimeout", "Shutdown"} {
		sb.Script("apns", d.Endpoint, sandbox.Answer{Code: code, Times: 1})
		_, err := ch.Deliver(t.Context(), d)
		require.Equal(t, code, failure(t, err).Code)
		_, err = ch.Deliver(t.Context(), d)
		require.NoError(t, err)
		require.EqualValues(t, i+2, r.count.Load())
	}
	for _, it := range sb.Requests("apns", d.Endpoint) {
		require.Equal(t, sb.Requests("apns", "")[0].Fields["token"], it.Fields["token"], "the token is kept")
	}
	sb.Script("apns", d.Endpoint, sandbox.Answer{Code: "TooManyRequests", Times: 1})
	_, err := ch.Deliver(t.Context(), d)
	require.Error(t, err)
	_, err = ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	require.EqualValues(t, 4, r.count.Load(), "and not otherwise")
}

func TestLostConnection(t *testing.T) {
	t.Parallel()
	sb, r, ch := throughRelay(t)
	d := channeltest.Delivery(device(1), 1)
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)

	hung := channeltest.Delivery(device(2), 2)
	sb.Script("apns", hung.Endpoint, sandbox.Answer{Hang: true, Times: 1})
	written, done := make(chan struct{}), make(chan error)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
	})
	go func() {
		_, err := ch.Deliver(ctx, hung)
		done <- err
	}()
	<-written
	require.EqualValues(t, 1, r.count.Load())
	r.cut()
	require.Equal(t, channels.Uncertain, failure(t, <-done).Kind)
	_, err = ch.Deliver(t.Context(), d)
	require.NoError(t, err, "on a new connection")

	o := options(t, sb)
	closed, _ := channeltest.Closed(t)
	o.Host = "https://" + closed
	_, err = open(t, o).Deliver(t.Context(), d)
	require.Equal(t, "connect", failure(t, err).Code)
	require.Equal(t, channels.Temporary, failure(t, err).Kind)
}

// When the server says by HTTP/2's means that it has not processed a request,
// the attempt is not uncertain; and nobody but the gateway repeats it.
func TestUnprocessed(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		// RFC 9113 section 6.8: GOAWAY, last stream 0, NO_ERROR
		"GOAWAY": "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		// section 6.4: RST_STREAM of stream 1, REFUSED_STREAM
		"REFUSED_STREAM": "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x07",
		// INTERNAL_ERROR says nothing of the kind
		"INTERNAL_ERROR": "\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x02",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			host, requests := rawServer(t, answer)
			ch := against(t, host.srv, host.url)
			_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1))
			want := channels.Temporary
			if name == "INTERNAL_ERROR" {
				want = channels.Uncertain
			}
			require.Equal(t, want.String(), failure(t, err).Kind.String(), "%v", err)
			require.EqualValues(t, 1, requests.Load(), "exactly one request")
		})
	}
}

type rawHost struct {
	srv *httptest.Server
	url string
}

// rawServer answers the HEADERS of each request with frames written by hand.
func rawServer(t *testing.T, answer string) (rawHost, *atomic.Int32) {
	t.Helper()
	srv := httptest.NewTLSServer(nil) // for its certificate
	t.Cleanup(srv.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: srv.TLS.Certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	requests := new(atomic.Int32)
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			wg.Go(func() { serveFrames(c, answer, requests) })
		}
	})
	return rawHost{srv, fmt.Sprint("https://", l.Addr())}, requests
}

func serveFrames(c net.Conn, answer string, requests *atomic.Int32) {
	const headers = 1
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	_, _ = c.Write(make([]byte, 3)) // SETTINGS, empty
	_, _ = c.Write([]byte{4, 0, 0, 0, 0, 0})
	for {
		var head [9]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		length := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, length); err != nil {
			return
		}
		if head[3] == headers {
			requests.Add(1)
			_, _ = io.WriteString(c, answer)
		}
	}
}
