package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

func startSandbox(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

// withAccounts is a configuration of the sandbox's accounts, as an operator would write it.
func withAccounts(dir string, accounts ...config.Account) config.Config {
	cfg := configOf(dir)
	cfg.Egress.Allow = []string{"127.0.0.0/8"}
	cfg.Accounts = accounts
	return cfg
}

// of is the sandbox's account of a provider.
func of(sb *sandbox.Server, provider string) config.Account {
	for _, a := range gateway.SandboxAccounts(sb) {
		if a.Provider == provider {
			return a
		}
	}
	return config.Account{}
}

// publish sends to one endpoint and waits until nothing is left to do.
func publish(t *testing.T, g *gateway.Gateway, protocol, account, endpoint string) (ledger map[string]any) {
	t.Helper()
	status, p := call(t, "POST", g.URL()+"/v1/publish",
		fmt.Sprintf(`{"to": {"protocol": %q, "account": %q, "endpoint": %q}, "message": "x"}`, protocol, account, endpoint))
	require.Equal(t, http.StatusAccepted, status, p)
	require.Eventually(t, func() bool {
		_, st := call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string), "")
		ledger = st["ledger"].(map[string]any)
		return st["phase"] == "completed"
	}, 10*time.Second, 5*time.Millisecond)
	return ledger
}

// account is an account as the API shows it.
func account(t *testing.T, g *gateway.Gateway, name string) map[string]any {
	t.Helper()
	_, out := call(t, "GET", g.URL()+"/v1/accounts", "")
	for _, a := range out["accounts"].([]any) {
		if a := a.(map[string]any); a["name"] == name {
			return a
		}
	}
	require.Fail(t, "no account "+name)
	return nil
}

func TestReloadLeavesAloneWhatDidNotChange(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	var opened atomic.Int32
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	hook.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	hook.Start()
	t.Cleanup(hook.Close)
	deliver := func(g *gateway.Gateway) {
		t.Helper()
		require.Equal(t, 1.0, publish(t, g, "http", "", hook.URL+"/hook")["delivered"])
	}
	hooks, push := of(sb, "webhook"), of(sb, "fcm")
	cfg := withAccounts(t.TempDir(), hooks, push)
	g, _ := serveConfig(t, cfg, nil)
	deliver(g)
	sb.FCM.Revoke()
	_, p := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "application", "account": "fcm/sandbox", "endpoint": "`+strings.Repeat("fcmtoken", 10)+`"}, "message": "x"}`)
	var fault map[string]any
	require.Eventually(t, func() bool {
		fault = account(t, g, "fcm/sandbox")
		return fault["state"] == "faulted" && fault["in_flight"] == 0.0
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "provider", fault["by"])
	for _, field := range []string{"since", "reason", "advice", "next_probe"} {
		require.NotEmpty(t, fault[field], field)
	}

	hooks.Rate, hooks.Concurrency, push.Rate = 1000, 3, 50
	cfg.Accounts = []config.Account{hooks, push}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	deliver(g)
	require.EqualValues(t, 1, opened.Load(), "the same connection")
	require.Equal(t, fault, account(t, g, "fcm/sandbox"), "nor is its next probe any sooner")

	hooks.Timeout = time.Minute
	push.FCM = &config.FCM{Credentials: config.Secret(sb.FCM.Rotate()), Endpoint: push.FCM.Endpoint}
	cfg.Accounts = []config.Account{hooks, push}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	deliver(g)
	require.EqualValues(t, 2, opened.Load(), "another channel")
	require.Eventually(t, func() bool {
		_, st := call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string), "")
		return st["ledger"].(map[string]any)["sent"] == 1.0
	}, 10*time.Second, 5*time.Millisecond, "the new key is tried at once")
	require.Equal(t, "active", account(t, g, "fcm/sandbox")["state"])
}

func TestAppsOfOneKeyShareItsToken(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	app := func(name string) config.Account {
		a := of(sb, "apns")
		a.Name = name
		return a
	}
	one, two := app("one"), app("two")
	cfg := withAccounts(t.TempDir(), one, two)
	g, _ := serveConfig(t, cfg, nil)
	n := 0
	token := func(name string) string {
		t.Helper()
		n++
		device := fmt.Sprintf("%064x", n)
		require.Equal(t, 1.0, publish(t, g, "application", "apns/"+name, device)["sent"])
		return sb.Requests(sandbox.ProviderAPNs, device)[0].Fields["token"]
	}
	first := token("one")
	require.NotEmpty(t, first)
	require.Equal(t, first, token("two"))

	one.Timeout = time.Minute // another channel
	cfg.Accounts = []config.Account{one, app("three")}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	require.Equal(t, first, token("one"))
	require.Equal(t, first, token("three"))

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	rotated := app("one")
	other := *rotated.APNs
	other.Key = config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	rotated.APNs = &other
	cfg.Accounts = []config.Account{rotated, app("three")}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	device := strings.Repeat("ab", 32)
	status, _ := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "application", "account": "apns/one", "endpoint": "`+device+`"}, "message": "x"}`)
	require.Equal(t, http.StatusAccepted, status)
	require.Eventually(t, func() bool {
		asked := sb.Requests(sandbox.ProviderAPNs, device)
		return len(asked) > 0 && asked[0].Fields["token"] != first
	}, 10*time.Second, 5*time.Millisecond, "a rotated key signs anew")
	require.Equal(t, first, token("three"))
}

// In the sandbox, too, a function that fails is no delivery.
func TestSandboxFunctionThatFails(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	g, _ := serveConfig(t, withAccounts(t.TempDir(), of(sb, "lambda")), nil)
	sb.Script(sandbox.ProviderLambda, "on-alert", sandbox.Answer{Status: 200, Code: "Unhandled", Times: 1})
	require.Equal(t, 1.0, publish(t, g, "lambda", "", "on-alert")["delivered"])
	require.Len(t, sb.Requests(sandbox.ProviderLambda, "on-alert"), 2, "it was tried again")
}

// Not parallel: it counts the goroutines of the process.
func TestReplacedAndRemovedAccountsLeaveNothingBehind(t *testing.T) {
	sb := startSandbox(t)
	cfg := withAccounts(t.TempDir())
	g, _ := serveConfig(t, cfg, nil)
	endpoints := map[string]string{
		"sms": "+15005550101", "email": "ada@mail.example", "https": sb.Webhook.TLSURL + "/hook",
		"sqs": sb.SQS.AddQueue("remote"), "lambda": "on-alert",
	}
	// twice has all accounts deliver by a channel and the one that replaces it.
	twice := func() {
		t.Helper()
		cfg.Accounts = gateway.SandboxAccounts(sb)
		for range 2 {
			require.NoError(t, g.Reload(t.Context(), loading(cfg)))
			for protocol, endpoint := range endpoints {
				publish(t, g, protocol, "", endpoint)
			}
			publish(t, g, "application", "apns/sandbox", strings.Repeat("a1", 32))
			publish(t, g, "application", "fcm/sandbox", strings.Repeat("fcmtoken", 10))
			for i := range cfg.Accounts {
				cfg.Accounts[i].Timeout++
			}
		}
	}
	none := withAccounts("")
	twice()
	require.NoError(t, g.Reload(t.Context(), loading(none)))
	before := goleak.IgnoreCurrent() // all that the gateway itself keeps running
	twice()
	require.Error(t, goleak.Find(before), "connections are kept: these are looked for")
	require.NoError(t, g.Reload(t.Context(), loading(none)))
	require.Eventually(t, func() bool {
		http.DefaultClient.CloseIdleConnections()
		return goleak.Find(before) == nil
	}, 10*time.Second, 10*time.Millisecond)
}
