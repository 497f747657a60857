package webhook_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/webhook"
)

// raw serves connections by hand: the function gets each request's reader
// after its head was read, and the connection is closed when it returns.
func raw(t *testing.T, serve func(conn net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a test that fails must not hang here
			serve(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return "http://" + l.Addr().String() + "/"
}

// answer reads one request and writes text and, if it is over, the end, then
// waits for the client to go; the error says that it did not.
func answer(conn net.Conn, text string, over bool) error {
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_, _ = io.WriteString(conn, text)
	if over {
		_ = conn.(*net.TCPConn).CloseWrite()
	}
	if _, err = io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

func TestGuardAtDial(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb.Webhook.CAPEM, func(o *webhook.Options) { o.Guard = channels.Guard{} })
	for i, base := range []string{sb.Webhook.URL, sb.Webhook.TLSURL} {
		for j, e := range []string{base + "/", strings.Replace(base, "127.0.0.1", "localhost", 1) + "/"} {
			got := failed(t, ch, channeltest.Delivery(e, 2*i+j+1))
			require.Equal(t, channels.Rejected.String(), got.Kind.String())
			require.Equal(t, "blocked_address", got.Code)
			require.NotContains(t, got.Error(), "127.0.0.1")
		}
	}
	require.Empty(t, sb.Requests("", ""))
}

// What is not HTTP must not be quoted: a webhook could be pointed at it to read it.
func TestNothingIsReflected(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"banner":         "220 " + echo + " ESMTP\r\n",
		"status line":    "HTTP/1.1 " + echo + "\r\n\r\n",
		"status":         "HTTP/1.1 2" + echo + " OK\r\n\r\n",
		"header":         "HTTP/1.1 200 OK\r\n" + echo + "\r\n\r\n",
		"length":         "HTTP/1.1 200 OK\r\nContent-Length: " + echo + "\r\n\r\n",
		"encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + echo + "\r\n\r\n",
		"header bomb":    "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(echo, 1<<20/len(echo)) + "\r\n\r\n",
		"half an answer": "HTTP/1.1 200 OK\r\nX: " + echo,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch := open(t, nil)
			got := failed(t, ch, channeltest.Delivery(raw(t, func(conn net.Conn) {
				_ = answer(conn, text, true)
			}), 1))
			require.Equal(t, "no_answer", got.Code)
			require.Equal(t, channels.Uncertain.String(), got.Kind.String())
			require.NotContains(t, got.Error(), echo)
		})
	}
	ch := open(t, nil)
	for status, head := range map[int]string{
		302: "302 Found\r\nLocation: http://" + echo + "%zz/\r\nContent-Length: 0",
		301: "301 " + echo + "\r\nContent-Length: 0",
		101: "101 Switching Protocols\r\nUpgrade: " + echo + "\r\nConnection: Upgrade",
		500: "500 Oops\r\nContent-Length: 1000\r\n\r\n" + echo,
	} {
		got := failed(t, ch, channeltest.Delivery(raw(t, func(conn net.Conn) {
			_ = answer(conn, "HTTP/1.1 "+head+"\r\n\r\n", true)
		}), 1))
		require.Equal(t, status, got.Status)
		require.Equal(t, channels.Temporary.String(), got.Kind.String())
		require.False(t, got.Unknown)
		require.NotContains(t, got.Error(), echo)
	}
}

// The status decides; a body that never ends costs neither time nor memory.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	sent := make(chan int64, 1)
	endless := raw(t, func(conn net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		n, _ := io.Copy(conn, zeros{})
		sent <- n
	})
	ch := open(t, nil)
	receipt, err := ch.Deliver(t.Context(), channeltest.Delivery(endless, 1))
	require.NoError(t, err)
	require.True(t, receipt.Delivered)
	require.Less(t, <-sent, int64(64<<20), "the connection was closed")

	left := make(chan error, 1)
	silent := raw(t, func(conn net.Conn) { left <- answer(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", false) })
	ch = open(t, nil, func(o *webhook.Options) { o.Timeout = time.Hour })
	receipt, err = ch.Deliver(t.Context(), channeltest.Delivery(silent, 2))
	require.NoError(t, err)
	require.True(t, receipt.Delivered)
	require.NoError(t, <-left, "it is not waited for")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	sb := start(t)
	got := failed(t, open(t, nil), channeltest.Delivery(sb.Webhook.TLSURL+"/", 1))
	require.Equal(t, "connect", got.Code)
	require.Equal(t, channels.Temporary.String(), got.Kind.String())
	require.ErrorContains(t, got, "unknown authority")

	trusting := open(t, sb.Webhook.CAPEM)
	other := strings.Replace(sb.Webhook.TLSURL, "127.0.0.1", "127.0.0.2", 1)
	l, err := net.Listen("tcp", strings.TrimPrefix(other, "https://"))
	if err == nil { // the address is there on Linux only
		relay(t, l, strings.TrimPrefix(sb.Webhook.TLSURL, "https://"))
		got = failed(t, trusting, channeltest.Delivery(other+"/", 2))
		require.Equal(t, "connect", got.Code)
		require.ErrorContains(t, got, "certificate is for another host")
		require.NotContains(t, got.Error(), "127.0.0")
	}
	plain := strings.Replace(sb.Webhook.URL, "http://", "https://", 1)
	got = failed(t, trusting, channeltest.Delivery(plain+"/", 3))
	require.Equal(t, "connect", got.Code)
	require.Empty(t, sb.Requests("", ""))
}

// relay passes one connection on.
func relay(t *testing.T, l net.Listener, to string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer out.Close()
		go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		_, _ = io.Copy(in, out)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
}

func TestUnreached(t *testing.T) {
	t.Parallel()
	closed, _ := channeltest.Closed(t)
	got := failed(t, open(t, nil), channeltest.Delivery("http://"+closed+"/", 1))
	require.Equal(t, "connect", got.Code)
	require.Equal(t, channels.Temporary.String(), got.Kind.String())
	require.False(t, got.Unreachable)
	require.ErrorContains(t, got, "refused")
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for i, base := range []string{sb.Webhook.URL, sb.Webhook.TLSURL} {
		d := channeltest.Delivery(base+"/", i+1)
		sb.Script(sandbox.ProviderWebhook, d.Endpoint, sandbox.Answer{Delay: 600_000})
		var got *channels.Error
		for timeout := 200 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
			ch := open(t, sb.Webhook.CAPEM, func(o *webhook.Options) { o.Timeout = timeout })
			if got = failed(t, ch, d); got.Code != "connect" {
				break
			} // it was too short for this machine to connect
		}
		require.Equal(t, "no_answer", got.Code)
		require.ErrorContains(t, got, "deadline exceeded")
		_, err := sb.Await(t.Context(), sandbox.ProviderWebhook, d.Endpoint, 1)
		require.NoError(t, err, "the request did arrive")
	}
}

// net/http sends a POST without a body again by itself if its headers name an
// idempotency key and a connection used before breaks.
func TestEmptyBodyIsSentOnce(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if n := seen.Add(1); n > 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	ch := open(t, nil)
	for n := 1; n <= 2; n++ {
		d := channeltest.Delivery(srv.URL+"/", n)
		d.Content.Payload = []byte{}
		d.Content.Headers = map[string]string{"Idempotency-Key": "k", "X-Idempotency-Key": "k"}
		_, err := ch.Deliver(t.Context(), d)
		require.Equal(t, n == 1, err == nil)
	}
	require.EqualValues(t, 2, seen.Load())
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, strings.Repeat("x", 10_000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	ch := open(t, nil)
	for n := range 5 {
		_, err := ch.Deliver(t.Context(), channeltest.Delivery(srv.URL+"/", n+1))
		require.NoError(t, err)
	}
	require.EqualValues(t, 1, opened.Load())
}
