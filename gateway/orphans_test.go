package gateway_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway"
)

// orphans is a gateway one of whose accounts comes and goes.
type orphans struct {
	*testing.T
	*gateway.Gateway
}

func (o *orphans) publish(body string) string {
	o.Helper()
	status, p := call(o.T, "POST", o.URL()+"/v1/publish", body)
	require.Equal(o, http.StatusAccepted, status, p)
	return p["id"].(string)
}

// becomes waits until a publish has its one delivery in a final state.
func (o *orphans) becomes(id, state string) {
	o.Helper()
	var st map[string]any
	require.Eventually(o, func() bool {
		_, st = call(o.T, "GET", o.URL()+"/v1/publishes/"+id, "")
		return st["phase"] == "completed"
	}, 20*time.Second, 10*time.Millisecond, "%s: %v", state, &st)
	require.Equal(o, 1.0, st["ledger"].(map[string]any)[state], st)
}

// waiting is what is told of an account that is not there, by every way.
func (o *orphans) waiting(admin string, n float64, name string) {
	o.Helper()
	a := account(o.T, o.Gateway, name)
	require.Equal(o, "missing", a["state"])
	require.Equal(o, n, a["waiting"])
	require.Contains(o, a["advice"], "Configure it again")
	require.Equal(o, n, scrape(o.T, o.Gateway)[`fanfare_orphaned_deliveries{account="`+name+`"}`])
	require.Contains(o, admin, "account "+name+": missing, ")
}

// TestDeliveriesOfARemovedAccount: they are seen, end at their deadline or with
// their publish, and go out when the account is back.
func TestDeliveriesOfARemovedAccount(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	dir := t.TempDir()
	var log safeBuffer
	with, without := withAccounts(dir, of(sb, "twilio"), of(sb, "smtp")), withAccounts(dir, of(sb, "smtp"))
	options := gateway.Options{Config: with, Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	g, stop := serveOptions(t, options)
	status, _ := call(t, "POST", g.URL()+"/v1/topics", `{"name": "news"}`)
	require.Less(t, status, 300)
	status, _ = call(t, "POST", g.URL()+"/v1/topics/news/subscriptions", `{"protocol": "sms", "endpoint": "+15005550101"}`)
	require.Less(t, status, 300)
	require.Zero(t, scrape(t, g)[`fanfare_orphaned_deliveries{account="twilio/sandbox"}`])
	require.NoError(t, g.Reload(t.Context(), loading(without)))

	o := &orphans{t, g}
	soon := time.Now().Add(4 * time.Second).UTC().Format(time.RFC3339Nano)
	expires := o.publish(`{"topic": "news", "message": "now or never", "expires_at": "` + soon + `"}`)
	stays, cancelled := o.publish(`{"topic": "news", "message": "stays"}`), o.publish(`{"topic": "news", "message": "no more"}`)
	o.becomes(expires, "expired")
	verbose := func(g *gateway.Gateway) string {
		_, text := (&running{Gateway: g}).ask(t, "/readyz?verbose")
		return text
	}
	o.waiting(verbose(g), 2, "twilio/sandbox")
	warning := func() int { return strings.Count(log.String(), "deliveries wait for an account that is not there") }
	require.Eventually(t, func() bool { return warning() == 1 }, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, log.String(), "account=twilio/sandbox")
	stop()

	options.Config = without
	g, _ = serveOptions(t, options)
	o.Gateway = g
	o.waiting(verbose(g), 2, "twilio/sandbox")
	status, _ = call(t, "POST", g.URL()+"/v1/publishes/"+cancelled+"/cancel", "")
	require.Less(t, status, 300)
	o.becomes(cancelled, "cancelled")
	require.Eventually(t, func() bool { return warning() == 2 }, 10*time.Second, 10*time.Millisecond, "one for each process")

	require.NoError(t, g.Reload(t.Context(), loading(with)))
	o.becomes(stays, "sent")
	require.Equal(t, 2, warning())
	require.Equal(t, "active", account(t, g, "twilio/sandbox")["state"])
	require.Zero(t, scrape(t, g)[`fanfare_orphaned_deliveries{account="twilio/sandbox"}`])
	require.NotContains(t, verbose(g), "missing")
	balanced(t, g)
}

// TestADeletedApplicationsDeliveriesEnd: at once, or, held with a paused publish,
// when that goes on.
func TestADeletedApplicationsDeliveriesEnd(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	g, _ := serve(t, t.TempDir(), sb)
	p := newPusher(t, g)
	app := p.app("APNS", "goes", nil)
	device := p.device(app, strings.Repeat("aa", 32))
	post := func(path string) {
		t.Helper()
		status, answer := call(t, "POST", g.URL()+path, "")
		require.Less(t, status, 300, answer)
	}
	post("/v1/accounts/apns/000000000000:local:APNS:goes/pause")
	push := func(control string) string {
		t.Helper()
		id, err := p.push(device, "waits")
		require.NoError(t, err)
		if control != "" {
			post("/v1/publishes/pub_" + strings.ReplaceAll(id, "-", "") + control)
		}
		return id
	}
	queued, resumed, cancelled := push(""), push("/pause"), push("/pause")
	require.Eventually(t, func() bool { // as at their turn, though the account is paused
		_, one := call(t, "GET", g.URL()+"/v1/publishes/pub_"+strings.ReplaceAll(resumed, "-", ""), "")
		return one["ledger"].(map[string]any)["held"] == 1.0
	}, 10*time.Second, 10*time.Millisecond)
	_, err := p.DeletePlatformApplication(t.Context(), &sns.DeletePlatformApplicationInput{PlatformApplicationArn: &app})
	require.NoError(t, err)
	require.Equal(t, 1.0, p.ended(queued)["failed"])
	post("/v1/publishes/pub_" + strings.ReplaceAll(resumed, "-", "") + "/resume")
	require.Equal(t, 1.0, p.ended(resumed)["failed"])
	post("/v1/publishes/pub_" + strings.ReplaceAll(cancelled, "-", "") + "/cancel")
	require.Equal(t, 1.0, p.ended(cancelled)["cancelled"])
	_, dead := call(t, "GET", g.URL()+"/v1/dead-letters", "")
	cause := dead["dead_letters"].([]any)[0].(map[string]any)
	require.Equal(t, "endpoint_gone", cause["kind"])
	require.Equal(t, 2.0, cause["count"])
	require.Empty(t, sb.Requests("apns", strings.Repeat("aa", 32)))
}
