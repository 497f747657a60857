package apns_test

import (
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/apns"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestRevokedKeyPausesTheAccountAndAProbeResumesIt(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	require.NoError(t, ch.Probe(t.Context()))
	sb.APNs.Revoke()
	_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1))
	require.Equal(t, channels.AccountFault, failure(t, err).Kind)
	require.Equal(t, "InvalidProviderToken", failure(t, ch.Probe(t.Context())).Code)
	sb.APNs.Restore()
	before := len(sb.Requests("apns", ""))
	require.NoError(t, ch.Probe(t.Context()))
	require.Len(t, sb.Requests("apns", ""), before+1, "one request")
	for _, it := range sb.Requests("apns", strings.Repeat("0", 64)) {
		require.False(t, it.Accepted)
		require.Equal(t, "1", it.Fields["apns-expiration"])
	}

	o := options(t, sb)
	o.Topic = "com.example.other"
	require.Equal(t, "TopicDisallowed", failure(t, open(t, o).Probe(t.Context())).Code)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, ch.Probe(gone), "not knowing is not health")
}

func TestExpiredTokenIsRenewedForTheNextAttempt(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery(device(1), 1)
	expired := sandbox.Answer{Code: "ExpiredProviderToken", Times: 1}
	sb.Script("apns", d.Endpoint, expired)
	_, err := ch.Deliver(t.Context(), d)
	require.Equal(t, channels.Temporary, failure(t, err).Kind)
	require.Len(t, sb.Requests("apns", d.Endpoint), 1, "no retry inside")
	_, err = ch.Deliver(t.Context(), d)
	require.NoError(t, err)

	sb.Script("apns", d.Endpoint, expired)
	_, err = ch.Deliver(t.Context(), d)
	require.Equal(t, channels.AccountFault, failure(t, err).Kind, "a renewed token did not help: a clock is wrong")
	_, err = ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	seen := sb.Requests("apns", d.Endpoint)
	require.NotEqual(t, seen[0].Fields["token"], seen[1].Fields["token"])
	require.Equal(t, seen[1].Fields["token"], seen[3].Fields["token"], "renewed at most once in 20 minutes")
}

func TestChannelsShareTheTokenOfAKey(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.Tokens = apns.NewTokens()
	voip := o
	voip.Topic += ".voip"
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery(device(1), 1))
	require.NoError(t, err)
	_, err = open(t, voip).Deliver(t.Context(), channeltest.Delivery(device(1), 2))
	require.NoError(t, err)
	seen := sb.Inbox("apns", device(1))
	require.Equal(t, seen[0].Fields["token"], seen[1].Fields["token"])
}

func TestTimeoutOfAnAttempt(t *testing.T) {
	t.Parallel()
	sb := start(t)
	sb.Script("apns", device(1), sandbox.Answer{Hang: true})
	o := options(t, sb)
	var got *channels.Error
	for o.Timeout = 100 * time.Millisecond; o.Timeout < time.Minute; o.Timeout *= 2 {
		_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery(device(1), 1))
		if got = failure(t, err); got.Code != "connect" {
			break
		} // it was too short for this machine to connect
	}
	require.Equal(t, channels.Uncertain, got.Kind)
}

// against opens a channel to a server of the test's own.
func against(t *testing.T, srv *httptest.Server, host string) *apns.Channel {
	t.Helper()
	o := options(t, start(t))
	o.Host, o.RootCAs = host, x509.NewCertPool()
	o.RootCAs.AddCert(srv.Certificate())
	return open(t, o)
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	var status int
	var body string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "TOKEN", strings.TrimPrefix(r.URL.Path, "/3/device/")))
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ch := against(t, srv, srv.URL)
	for _, c := range []struct {
		status  int
		body    string
		kind    channels.Kind
		code    string
		unknown bool
	}{
		{502, "<html>Bad Gateway</html>", channels.Temporary, "", false},
		{503, strings.Repeat(" ", 1<<20) + `{"reason":"Shutdown"}`, channels.Temporary, "", false},
		{410, `{"reason":"Unregistered","timestamp":"yesterday"}`, channels.EndpointGone, "", false},
		{410, `{"reason":"Unregistered"}`, channels.EndpointGone, "Unregistered", false},
		{400, `{"reason":"NewReason"}`, channels.Temporary, "NewReason", true},
		{400, `{"reason":"no such device TOKEN"}`, channels.Temporary, "", true},
		{403, `{"reason":"BadEnvironmentKeyInToken"}`, channels.AccountFault, "BadEnvironmentKeyInToken", false},
		{307, ``, channels.Temporary, "", true},
	} {
		status, body = c.status, c.body
		d := channeltest.Delivery(device(7), 7)
		_, err := ch.Deliver(t.Context(), d)
		e := failure(t, err)
		require.Equal(t, c.kind.String(), e.Kind.String(), "%d %.60s", c.status, c.body)
		require.Equal(t, c.status, e.Status)
		require.Equal(t, c.code, e.Code)
		require.Equal(t, c.unknown, e.Unknown)
		require.NotContains(t, err.Error(), d.Endpoint)
	}
	status, body = 200, "<html>"
	_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(7), 7))
	require.NoError(t, err, "the status counts")
}

func TestServerWithoutHTTP2(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(srv.Close)
	_, err := against(t, srv, srv.URL).Deliver(t.Context(), channeltest.Delivery(device(1), 1))
	require.Equal(t, "connect", failure(t, err).Code)
	require.Zero(t, requests.Load())
}
