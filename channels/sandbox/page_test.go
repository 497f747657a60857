package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func page(t *testing.T, sb *sandbox.Server, query string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sb.URL+"/?"+query, nil)
	require.NoError(t, err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
	var text strings.Builder
	require.NoError(t, res.Write(&text))
	return text.String()
}

func TestPageShowsWhatArrived(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{})
	require.Contains(t, page(t, sb, ""), "Nothing arrived yet")
	postHook(t, sb.Webhook.URL+"/h", `{"order": 42}`)
	require.NoError(t, sendMail(t, sb, "ann@example.net", strings.Replace(mailText("1"), "Subject: s", "Subject: Disk failing", 1)))
	twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "Body", "Your code is 1234"), nil)
	twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "To", "+15005550004"), nil)
	text := page(t, sb, "")
	for _, want := range []string{
		"{&#34;order&#34;: 42}", "user-agent", "Disk failing", "ann@example.net", "Your code is 1234", "refused 400 21610",
		`href="?provider=smtp">Mail 1<`, "All 4", `http-equiv="refresh"`,
	} {
		require.Contains(t, text, want)
	}
	require.Less(t, strings.Index(text, "Your code is"), strings.Index(text, "Disk failing"), "the newest first")
	text = page(t, sb, "provider=smtp&pause")
	require.Contains(t, text, "Disk failing")
	require.NotContains(t, text, "Your code is 1234")
	require.NotContains(t, text, `http-equiv="refresh"`)
}

// What arrives is other people's text: nothing of it is markup on the page.
func TestPageEscapes(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{})
	const evil = `"><script>alert(1)</script>`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sb.Webhook.URL+"/h", strings.NewReader(evil))
	require.NoError(t, err)
	r.Header.Set("Webhook-Id", evil)
	r.Header.Set("X-Evil", evil)
	r.URL.RawQuery = "<script>"
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.NoError(t, sendMail(t, sb, "ann@example.net",
		strings.Replace(mailText("1"), "Subject: s", "Subject: "+evil+"\r\nContent-Type: text/html", 1)+evil))
	text := page(t, sb, "provider=%22%3E%3Cscript%3E")
	require.NotContains(t, text, "<script")
	text = page(t, sb, "")
	require.NotContains(t, text, "<script")
	require.Equal(t, 6, strings.Count(text, "alert(1)"))
}
