package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// hook posts a webhook with an id.
func hook(t *testing.T, sb *sandbox.Server, path, id string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sb.Webhook.URL+path, strings.NewReader("{}"))
	require.NoError(t, err)
	r.Close = true // as postHook
	r.Header.Set("Webhook-Id", id)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
}

// TestWhatComesAgainIsKnown: by the receiver of a webhook by its id, on a phone by
// the notification's id and collapse id; also after a restart.
func TestWhatComesAgainIsKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	sb.APNs.AnyDevice()
	send := func() {
		hook(t, sb, "/a", "one")
		hook(t, sb, "/a", "")
	}
	push := func(change ...func(*http.Request)) {
		t.Helper()
		c := newAPNsClient(t, sb.APNs, "h2")
		r := c.request(t)
		for _, f := range change {
			f(r)
		}
		status, _ := c.do(t, r)
		require.Equal(t, http.StatusOK, status)
	}
	send()                   // 1, 2
	hook(t, sb, "/b", "one") // 3: to somebody else
	sb.Script(sandbox.ProviderWebhook, sb.Webhook.URL+"/a", sandbox.Answer{Status: 503, Times: 1})
	hook(t, sb, "/a", "one")                                            // 4: refused
	send()                                                              // 5, 6
	push()                                                              // 7
	push()                                                              // 8
	push(apnsHeader("apns-id", "11111111-14a8-11e5-b60b-1697f925ec7b")) // 9: takes its place, but is another
	push(apnsHeader("apns-collapse-id", ""))                            // 10: shown beside it
	require.NoError(t, sb.Close())
	sb = startIn(t, dir)
	send() // 11, 12
	push() // 13
	repeats := map[int]int{}
	for _, it := range sb.Requests("", "") {
		if it.RepeatOf != 0 {
			repeats[it.Seq] = it.RepeatOf
		}
	}
	require.Equal(t, map[int]int{5: 1, 8: 7, 11: 1, 13: 7}, repeats)
}
