package channels

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// HTTPOptions configure NewHTTPClient.
type HTTPOptions struct {
	// TLS settings; nil for the defaults.
	TLS *tls.Config
	// Control is called with the resolved address before every dial; an error
	// refuses it (the SSRF guard). nil allows all.
	Control func(network, address string, c syscall.RawConn) error
	// MaxBody is how many bytes of an answer's body can be read; the rest is
	// cut off. 0 no bound.
	MaxBody int64
}

// NewHTTPClient is the client all HTTP channels use: it follows no redirect,
// asks no proxy, and sends a request once. Deadlines come from the request's
// context.
func NewHTTPClient(o HTTPOptions) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: o.Control}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: once{maxBody: o.MaxBody, RoundTripper: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     o.TLS,
			TLSHandshakeTimeout: 10 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        256,
			MaxIdleConnsPerHost: 16,
			IdleConnTimeout:     60 * time.Second,
			// The default is 10 MiB, which a hostile endpoint could fill.
			MaxResponseHeaderBytes: 64 << 10,
		}},
	}
}

// once keeps net/http from sending a request a second time: without GetBody it
// has no body to send again. It also bounds what is read of an answer.
type once struct {
	http.RoundTripper
	maxBody int64
}

func (o once) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		r = r.Clone(r.Context())
		r.GetBody = nil
	}
	resp, err := o.RoundTripper.RoundTrip(r)
	if err == nil && o.maxBody > 0 {
		resp.Body = cut{io.LimitReader(resp.Body, o.maxBody), resp.Body}
	}
	return resp, err
}

// cut reads the beginning of a body.
type cut struct {
	io.Reader
	io.Closer
}

// CloseIdleConnections closes the connections nobody uses.
func (o once) CloseIdleConnections() {
	if c, ok := o.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Wire tells how far an HTTP request got.
type Wire struct{ written atomic.Bool }

// WatchRequest returns a context for one request and the Wire that watches it.
func WatchRequest(ctx context.Context) (context.Context, *Wire) {
	w := &Wire{}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		// HTTP/2 calls it before the first byte goes out, so that an attempt
		// given up at that very moment is not taken for unsent.
		WroteHeaderField: func(string, []string) { w.written.Store(true) },
		WroteHeaders:     func() { w.written.Store(true) },
	}), w
}

// Written tells whether any of the request may have reached the provider.
func (w *Wire) Written() bool { return w.written.Load() }

// maxRetryAfter bounds what a server can ask for, so that a mistaken or hostile
// one cannot park deliveries for years.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads a Retry-After header (RFC 9110 section 10.2.3: seconds or a
// date) as a duration from now, at most a day; 0 if there is none or it is
// unreadable.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	if s, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(0, s), int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return min(max(0, t.Sub(now)), maxRetryAfter)
	}
	return 0
}
