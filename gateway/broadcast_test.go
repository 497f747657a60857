package gateway_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// TestBroadcastToTenThousand publishes to 10,000 subscribers on four channels:
// the publish is answered before its audience is walked, an urgent message
// overtakes it, nobody has it twice, its ledger closes and the books balance.
func TestBroadcastToTenThousand(t *testing.T) {
	t.Parallel()
	const each = 2500 / queuetest.Slowdown
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, stop := serve(t, t.TempDir(), sb)
	status, p := call(t, "POST", g.URL()+"/v1/topics", `{"name": "news"}`)
	require.Equal(t, http.StatusOK, status, p)

	var lines strings.Builder
	for i := range each {
		_, _ = fmt.Fprintf(&lines, `{"protocol": "sms", "endpoint": "+1212555%04d"}`+"\n", i)
		_, _ = fmt.Fprintf(&lines, `{"protocol": "email", "endpoint": "r%d@mail.example"}`+"\n", i)
		_, _ = fmt.Fprintf(&lines, `{"protocol": "http", "endpoint": "%s/hook/%d"}`+"\n", sb.Webhook.URL, i)
		_, _ = fmt.Fprintf(&lines, `{"protocol": "application", "account": "apns/sandbox", "endpoint": "%064x"}`+"\n", i+1)
	}
	begin := time.Now()
	status, out := call(t, "POST", g.URL()+"/v1/topics/news/subscriptions/import", lines.String())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, out["text"], fmt.Sprintf(`"done":true,"lines":%d`, 4*each))
	imported := time.Since(begin)

	begin = time.Now()
	status, p = call(t, "POST", g.URL()+"/v1/publish", `{"topic": "news", "subject": "News", "message": "hello", "lane": "bulk"}`)
	require.Equal(t, http.StatusAccepted, status, p)
	answered := time.Since(begin)
	_, err = sb.Await(t.Context(), sandbox.ProviderTwilio, "", 100)
	require.NoError(t, err)
	_, urgent := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "sms", "endpoint": "+13105550100"}, "message": "your code", "lane": "critical"}`)
	require.Contains(t, urgent, "id")
	before := len(sb.Inbox(sandbox.ProviderTwilio, ""))
	_, err = sb.Await(t.Context(), sandbox.ProviderTwilio, "+13105550100", 1)
	require.NoError(t, err)
	at := slices.IndexFunc(sb.Inbox(sandbox.ProviderTwilio, ""), func(it sandbox.Item) bool { return it.Recipient == "+13105550100" })
	require.Less(t, at, before+64, "an urgent message does not wait for the broadcast")

	var st map[string]any
	require.Eventually(t, func() bool {
		_, st = call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string), "")
		return st["phase"] == "completed"
	}, 2*time.Minute, 50*time.Millisecond)
	took := time.Since(begin)
	require.Eventually(t, func() bool { // push has no receipts
		_, st = call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string), "")
		ledger := st["ledger"].(map[string]any)
		return ledger["delivered"] == 3.0*each && ledger["sent"] == 1.0*each
	}, time.Minute, 50*time.Millisecond, "%v", st)
	balanced(t, g)
	stop()

	seen := map[string]int{}
	for _, it := range sb.Inbox("", "") {
		seen[it.Provider+it.Recipient]++
	}
	require.Len(t, seen, 4*each+1)
	for recipient, n := range seen {
		require.Equal(t, 1, n, recipient)
	}
	t.Logf("import %v, publish answered in %v, all %d handed over in %v", imported, answered, 4*each, took)
}
