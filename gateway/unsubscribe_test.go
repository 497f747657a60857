package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// publishNews publishes to topic news and returns its only delivery once that
// is final.
func publishNews(t *testing.T, g *gateway.Gateway, lane string) map[string]any {
	t.Helper()
	status, p := call(t, "POST", g.URL()+"/v1/publish", `{"topic": "news", "subject": "s", "message": "x", "lane": "`+lane+`"}`)
	require.Equal(t, http.StatusAccepted, status, p)
	var d map[string]any
	require.Eventually(t, func() bool {
		_, out := call(t, "GET", g.URL()+"/v1/publishes/"+p["id"].(string)+"/deliveries", "")
		list := out["deliveries"].([]any)
		require.Len(t, list, 1)
		d = list[0].(map[string]any)
		return d["state"] != "queued" && d["state"] != "sending"
	}, 10*time.Second, 5*time.Millisecond)
	return d
}

func TestUnsubscribeFromAMail(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	dir := t.TempDir()
	g, stop := serve(t, dir, sb)
	const reader = "ada@mail.example"
	status, _ := call(t, "POST", g.URL()+"/v1/topics", `{"name": "news", "display_name": "Weekly news"}`)
	require.Less(t, status, 300)
	status, _ = call(t, "POST", g.URL()+"/v1/topics/news/subscriptions", `{"protocol": "email", "endpoint": "`+reader+`"}`)
	require.Less(t, status, 300)
	d := publishNews(t, g, "bulk")
	items, err := sb.Await(t.Context(), sandbox.ProviderSMTP, reader, 1)
	require.NoError(t, err)
	link := strings.Trim(items[0].Fields["list-unsubscribe"], "<>")
	require.True(t, strings.HasPrefix(link, g.URL()+"/u/"), link)
	require.NotContains(t, items[0].Fields, "list-unsubscribe-post", "one-click needs https (RFC 8058 section 3.1)")

	status, page := call(t, "GET", link, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page["text"], "<strong>Weekly news</strong>")
	require.NotContains(t, page["text"], reader)
	publishNews(t, g, "bulk")
	_, err = sb.Await(t.Context(), sandbox.ProviderSMTP, reader, 2)
	require.NoError(t, err, "a look changes nothing")

	stop() // the link outlives the process that made it
	g, _ = serve(t, dir, sb)
	link = g.URL() + link[strings.Index(link, "/u/"):]
	status, page = call(t, "POST", link, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page["text"], "You are unsubscribed")
	for _, lane := range []string{"bulk", "critical"} {
		next := publishNews(t, g, lane)
		require.Equal(t, "suppressed", next["state"])
		require.Equal(t, "unsubscribed", next["reason"])
	}
	_, out := call(t, "GET", g.URL()+"/v1/suppressions", "")
	list := out["suppressions"].([]any)
	require.Len(t, list, 1)
	s := list[0].(map[string]any)
	delete(s, "created")
	require.Equal(t, map[string]any{
		"protocol": "email", "endpoint": reader, "topic": "news", "reason": "unsubscribed by the link in " + d["id"].(string),
	}, s)
	require.Len(t, sb.Inbox(sandbox.ProviderSMTP, reader), 2)

	status, _ = call(t, "DELETE", g.URL()+"/v1/suppressions?protocol=email&endpoint="+reader+"&topic=news", "")
	require.Equal(t, http.StatusNoContent, status)
	publishNews(t, g, "critical")
	items, err = sb.Await(t.Context(), sandbox.ProviderSMTP, reader, 3)
	require.NoError(t, err)
	require.NotContains(t, items[2].Fields, "list-unsubscribe", "what is critical offers no link")
}
