package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/queue"
)

// serve runs a gateway on a folder until the test or stop ends it.
func serve(t *testing.T, dir string, sb *sandbox.Server) (g *gateway.Gateway, stop func()) {
	t.Helper()
	return serveConfig(t, configOf(dir), sb)
}

func configOf(dir string) config.Config {
	cfg := config.Default()
	cfg.Data = dir
	cfg.AWS.SigningKey, cfg.AWS.SigningCertificate = signingPair()
	return cfg
}

// loading is what Reload takes.
func loading(cfg config.Config) func() (config.Config, error) {
	return func() (config.Config, error) { return cfg, nil }
}

// serveConfig is serve with a configuration, but for its addresses and disk.
func serveConfig(t *testing.T, cfg config.Config, sb *sandbox.Server) (g *gateway.Gateway, stop func()) {
	t.Helper()
	return serveOptions(t, gateway.Options{Config: cfg, Version: "test", Sandbox: sb})
}

func serveOptions(t *testing.T, o gateway.Options) (g *gateway.Gateway, stop func()) {
	t.Helper()
	o.Config.Listen, o.Config.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	o.Config.Store.MinFree, o.Config.Store.MaxUsed = 0, 1
	g, err := gateway.New(t.Context(), o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, context.Background()) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	return g, stop
}

func call(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	res, text := wiretest.Send(t, r)
	out := map[string]any{}
	_ = json.Unmarshal([]byte(text), &out)
	if len(out) == 0 {
		out["text"] = text
	}
	return res.StatusCode, out
}

func TestPublishSurvivesARestart(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	dir := t.TempDir()
	g, stop := serve(t, dir, sb)
	status, _ := call(t, "POST", g.URL()+"/v1/accounts/twilio/sandbox/pause", "")
	require.Less(t, status, 300)
	status, p := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "sms", "endpoint": "+15005550101"}, "message": "x"}`)
	require.Equal(t, http.StatusAccepted, status, p)
	stop()
	require.Empty(t, sb.Inbox(sandbox.ProviderTwilio, ""))

	g, _ = serve(t, dir, sb)
	status, ready := call(t, "GET", g.AdminURL()+"/readyz?verbose", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, ready["text"], "account twilio/sandbox: paused by an operator. Resume it")
	status, _ = call(t, "POST", g.URL()+"/v1/accounts/twilio/sandbox/resume", "")
	require.Less(t, status, 300)
	_, err = sb.Await(t.Context(), sandbox.ProviderTwilio, "+15005550101", 1)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, st := call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string), "")
		return st["ledger"].(map[string]any)["delivered"] == 1.0
	}, 10*time.Second, 10*time.Millisecond, "the receipt arrives by callback")

	_, m := call(t, "GET", g.AdminURL()+"/metrics", "")
	for _, name := range []string{"fanfare_queue_depth", "fanfare_account_state", "fanfare_dead_letters", "fanfare_attempts_total"} {
		require.Contains(t, m["text"], name)
	}
	_, ready = call(t, "GET", g.AdminURL()+"/readyz?verbose", "")
	require.Contains(t, ready["text"], "account twilio/sandbox: active\n")
	balanced(t, g)
}

// balanced sees that the auditor finds nothing now, and says so.
func balanced(t *testing.T, g *gateway.Gateway) {
	t.Helper()
	differences, err := g.Audit()
	require.NoError(t, err)
	require.Zero(t, differences)
	_, m := call(t, http.MethodGet, g.AdminURL()+"/metrics", "")
	require.Contains(t, m["text"], "\nfanfare_ledger_imbalance 0\n")
	require.NotContains(t, m["text"], "\nfanfare_ledger_audit_timestamp_seconds 0\n")
}

func TestASecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serve(t, dir, nil)
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	_, err := gateway.New(t.Context(), gateway.Options{Config: cfg})
	require.ErrorIs(t, err, queue.ErrLocked)
}

func TestWithoutAccountsAChannelIsAClearError(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, t.TempDir(), nil)
	status, p := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "sms", "endpoint": "+15005550101"}, "message": "x"}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, p["detail"], "no account is configured for sms")
}
