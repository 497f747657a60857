package gateway_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
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

// With an address that people can reach, mail programs may click by themselves,
// and DKIM covers what they go by (RFC 8058 section 4).
func TestOneClickBehindAPublicURL(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	const reader, number = "ada@mail.example", "+15005550101"
	sb.Script(sandbox.ProviderTwilio, number, sandbox.Answer{Callbacks: []string{}})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cfg := configOf(t.TempDir())
	cfg.PublicURL, cfg.Accounts = "https://push.example.com/fanfare/", gateway.SandboxAccounts(sb)
	for _, a := range cfg.Accounts {
		if a.SMTP != nil {
			a.SMTP.DKIM = config.DKIM{Domain: "fanfare.example", Selector: "s", Key: config.Secret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}
		}
	}
	g, _ := serveConfig(t, cfg, nil)
	status, _ := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "email", "endpoint": "`+reader+`"}, "message": "x", "lane": "bulk"}`)
	require.Equal(t, http.StatusAccepted, status)
	status, _ = call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "sms", "endpoint": "`+number+`"}, "message": "x"}`)
	require.Equal(t, http.StatusAccepted, status)

	items, err := sb.Await(t.Context(), sandbox.ProviderSMTP, reader, 1)
	require.NoError(t, err)
	fields := items[0].Fields
	require.Regexp(t, `^<https://push\.example\.com/fanfare/u/[\w-]+>$`, fields["list-unsubscribe"])
	require.Equal(t, "List-Unsubscribe=One-Click", fields["list-unsubscribe-post"])
	signed := strings.ToLower(regexp.MustCompile(`\s`).ReplaceAllString(fields["dkim"], ""))
	require.Contains(t, signed, ":list-unsubscribe:list-unsubscribe-post")
	items, err = sb.Await(t.Context(), sandbox.ProviderTwilio, number, 1)
	require.NoError(t, err)
	require.Regexp(t, `^https://push\.example\.com/fanfare/callbacks/twilio/sandbox\?`, items[0].Fields["StatusCallback"], "one slash")

	link := g.URL() + "/u/" + fields["list-unsubscribe"][strings.Index(fields["list-unsubscribe"], "/u/")+3:]
	link = strings.TrimSuffix(link, ">")
	r, err := http.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, http.StatusOK, r.StatusCode)
	_, out := call(t, "GET", g.URL()+"/v1/suppressions", "")
	s := out["suppressions"].([]any)[0].(map[string]any)
	require.Equal(t, "bulk", s["lane"])
	require.Equal(t, reader, s["endpoint"])
}
