package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/queue"
)

// running is a gateway whose end a test decides.
type running struct {
	*gateway.Gateway
	drain, hard context.CancelFunc
	ended       chan error
}

// start runs a gateway with the changed configuration, by default on a small
// disk that is never full.
func start(t testing.TB, o gateway.Options, change func(*config.Config)) *running {
	t.Helper()
	o.Config = configOf(t.TempDir())
	o.Config.Listen, o.Config.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	o.Config.Store.MinFree, o.Config.Store.MaxUsed = 0, 1
	if change != nil {
		change(&o.Config)
	}
	g, err := gateway.New(t.Context(), o)
	require.NoError(t, err)
	r := &running{Gateway: g, ended: make(chan error, 1)}
	ctx, drain := context.WithCancel(context.Background())
	hard, cut := context.WithCancel(context.Background())
	r.drain, r.hard = drain, cut
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.ended <- g.Run(ctx, hard)
	}()
	t.Cleanup(func() { drain(); cut(); <-done })
	return r
}

// ask makes a request of the admin listener.
func (r *running) ask(t testing.TB, path string, headers ...string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.AdminURL()+path, nil)
	require.NoError(t, err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	res, text := wiretest.Send(t, req)
	return res.StatusCode, text
}

// hang starts a gateway with an attempt under way that never ends by itself.
func hang(t *testing.T, o gateway.Options) *running {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	sb.Script(sandbox.ProviderWebhook, "*", sandbox.Answer{Hang: true})
	o.Sandbox = sb
	r := start(t, o, nil)
	status, p := call(t, "POST", r.URL()+"/v1/publish", fmt.Sprintf(`{"to": {"protocol": "http", "endpoint": %q}, "message": "x"}`, sb.Webhook.URL+"/hook"))
	require.Equal(t, http.StatusAccepted, status, p)
	require.Eventually(t, func() bool {
		_, st := call(t, "GET", r.URL()+"/v1/publishes/"+p["id"].(string), "")
		return st["ledger"].(map[string]any)["sending"] == 1.0
	}, 10*time.Second, 5*time.Millisecond)
	return r
}

// unready waits until the gateway tells that it is not ready, and why.
func (r *running) unready(t *testing.T, why string) {
	t.Helper()
	var got struct {
		status int
		text   string
	}
	require.Eventually(t, func() bool {
		got.status, got.text = r.ask(t, "/readyz")
		return got.status == http.StatusServiceUnavailable && strings.Contains(got.text, why)
	}, 10*time.Second, 5*time.Millisecond, "have %+v", &got)
	require.NotContains(t, got.text, "ready")
	status, _ := r.ask(t, "/healthz")
	require.Equal(t, http.StatusOK, status, "the process is alive")
}

func TestHealth(t *testing.T) {
	t.Parallel()
	r := start(t, gateway.Options{Version: "1.2.3"}, nil)
	for _, c := range []struct{ path, want string }{
		{"/healthz", "ok\n"},
		{"/livez", "ok\n"},
		{"/-/healthy", "ok\n"},
		{"/healthz?verbose", "version: 1.2.3\nrevision: unknown\nok\n"},
		{"/readyz", "ready\n"},
		{"/-/ready", "ready\n"},
		{"/readyz?verbose", "store: ok\ndisk: ok\nserving: ok\nready\n"},
	} {
		status, text := r.ask(t, c.path)
		require.Equal(t, http.StatusOK, status, c.path)
		require.Equal(t, c.want, text, c.path)
	}
	for path, want := range map[string]string{
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile", "/debug/pprof/cmdline": "test", "/metrics": "fanfare_build_info",
	} {
		status, text := r.ask(t, path)
		require.Equal(t, http.StatusOK, status, path)
		require.Contains(t, text, want, path)
	}
}

// A page that a local browser shows must not read profiles by a name that was
// made to mean 127.0.0.1.
func TestAdminOnLoopbackServesThisMachineOnly(t *testing.T) {
	t.Parallel()
	r := start(t, gateway.Options{}, nil)
	for _, path := range []string{"/metrics", "/debug/pprof/heap", "/readyz"} {
		for _, header := range []string{"Host: evil.example", "Origin: https://evil.example", "X-Forwarded-For: 10.0.0.1"} {
			status, text := r.ask(t, path, header)
			require.Equal(t, http.StatusForbidden, status, path+" "+header)
			require.Contains(t, text, "only this machine is served")
		}
		status, _ := r.ask(t, path, "Host: localhost:9090")
		require.Equal(t, http.StatusOK, status)
	}
	r = start(t, gateway.Options{}, func(c *config.Config) { c.AdminListen = "0.0.0.0:0" })
	status, _ := r.ask(t, "/metrics", "Host: fanfare.internal")
	require.Equal(t, http.StatusOK, status, "bound to a network it is the operator's decision")
}

func TestAFullDiskIsNotReady(t *testing.T) {
	t.Parallel()
	var log text
	var folder string
	r := start(t, gateway.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, func(c *config.Config) { c.Store.MinFree, folder = 1<<50, c.Data })
	r.unready(t, "disk: the disk is above its watermark")
	status, p := call(t, "POST", r.URL()+"/v1/topics", `{"name": "alerts"}`)
	require.Less(t, status, 300, p)
	status, p = call(t, "POST", r.URL()+"/v1/publish", `{"topic": "alerts", "message": "x"}`)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "disk_full", p["code"])
	require.Contains(t, p["detail"], "store.min_free")
	require.NotContains(t, p["detail"], folder, "a publisher knows no folders of that machine")
	require.Contains(t, log.String(), "folder="+folder)
	require.Contains(t, log.String(), "min_free=1125899906842624")
	require.EqualValues(t, 1, scrape(t, r.Gateway)["fanfare_disk_full"])
}

// A SIGTERM lets running attempts finish: an SMS cut off would be uncertain.
func TestDrainLetsAttemptsFinish(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Callbacks: []string{}})
	at, err := url.Parse(sb.Twilio.URL)
	require.NoError(t, err)
	draining := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-draining:
			httputil.NewSingleHostReverseProxy(at).ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(slow.Close)
	account := of(sb, sandbox.ProviderTwilio)
	account.Twilio.BaseURL = slow.URL
	dir := t.TempDir()
	change := func(c *config.Config) {
		c.Data, c.PublicURL, c.Accounts = dir, "http://localhost", []config.Account{account}
	}
	r := start(t, gateway.Options{}, change)
	s := &scene{T: t, sb: sb, g: r.Gateway}
	delivery := s.send("sms", "+15005550101", "", "sending")
	r.drain()
	r.unready(t, "serving: draining")
	close(draining)
	require.NoError(t, <-r.ended)
	r = start(t, gateway.Options{}, change)
	_, d := call(t, "GET", r.URL()+"/v1/deliveries/dlv_"+delivery, "")
	require.Equal(t, "sent", d["state"], d)
}

func TestADrainingGatewayIsNotReady(t *testing.T) {
	t.Parallel()
	r := hang(t, gateway.Options{})
	r.drain()
	r.unready(t, "serving: draining")
	require.EqualValues(t, 1, scrape(t, r.Gateway)[`fanfare_queue_depth{account="webhook/sandbox",channel="webhook",lane="transactional",state="inflight"}`],
		"metrics are there to the end")
	r.hard()
	require.NoError(t, <-r.ended)
}

func TestAFailedStoreIsNotReady(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	var o gateway.Options
	o.ChangeStore(func(o *queue.Options) {
		o.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
				return errors.New("disk is broken")
			}
			return nil
		}))
	})
	r := hang(t, o)
	broken.Store(true)
	status, p := call(t, "POST", r.URL()+"/v1/topics", `{"name": "alerts"}`)
	require.Equal(t, http.StatusServiceUnavailable, status, p)
	r.unready(t, "store: a write could not be made durable")
	status, text := r.ask(t, "/metrics")
	require.Equal(t, http.StatusOK, status, "what can be read is still there")
	require.Contains(t, text, "fanfare_attempts_total")
	r.hard()
	require.ErrorIs(t, <-r.ended, queue.ErrStoreFailed)
}
