package callback_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func newRelay(t testing.TB) callback.Relay {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return callback.Relay{Secret: []byte("hush"), Provider: "smtp", Book: book}
}

// report is an event signed with a secret.
func report(secret, body string) *http.Request {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r := httptest.NewRequest("POST", "/callbacks/smtp/main", strings.NewReader(body))
	r.Header.Set("X-Relay-Signature", hex.EncodeToString(mac.Sum(nil)))
	return r
}

func TestRelayEvents(t *testing.T) {
	t.Parallel()
	relay := newRelay(t)
	id := queue.MakeID(queue.ID{}.Time(), 0, 1, 1)
	event := func(name, more string) string {
		return fmt.Sprintf(`{"event":%q,"message_id":"%s@example.com","recipient":"ada@example.com"%s}`, name, id.Hex(), more)
	}
	for body, want := range map[string]callback.News{
		event("delivered", ""):  {Evidence: &topics.Evidence{Delivery: id, State: topics.Delivered}},
		event("complained", ""): {Consent: callback.Stop, Protocol: topics.Email, Endpoint: "ada@example.com"},
		event("opened", ""):     {},
		`{"event":"delivered","message_id":"<` + id.String() + `@x>"}`: {Evidence: &topics.Evidence{Delivery: id, State: topics.Delivered}},
	} {
		got, err := relay.Read(report("hush", body))
		require.NoError(t, err, body)
		require.Equal(t, want, got, body)
	}
	for status, kind := range map[string]channels.Kind{"5.1.1": channels.EndpointGone, "5.2.2": channels.Temporary, "": channels.Rejected} {
		got, err := relay.Read(report("hush", event("bounced", `,"status":"`+status+`"`)))
		require.NoError(t, err)
		require.Equal(t, topics.Failed, got.Evidence.State)
		require.Equal(t, kind, got.Evidence.Err.Kind, status)
	}
	unsigned := report("hush", event("delivered", ""))
	unsigned.Header.Del("X-Relay-Signature")
	odd := report("hush", event("delivered", ""))
	odd.Header.Set("X-Relay-Signature", "zz")
	for name, c := range map[string]struct {
		request *http.Request
		want    error
	}{
		"other secret":   {report("guess", event("delivered", "")), callback.ErrSignature},
		"unsigned":       {unsigned, callback.ErrSignature},
		"not hex":        {odd, callback.ErrSignature},
		"not JSON":       {report("hush", "hello"), callback.ErrUnreadable},
		"nothing":        {report("hush", ""), callback.ErrUnreadable},
		"other sender's": {report("hush", `{"event":"delivered","message_id":"abc@example.com"}`), callback.ErrUnreadable},
	} {
		got, err := relay.Read(c.request)
		require.ErrorIs(t, err, c.want, name)
		require.Zero(t, got, name)
	}
	require.NotContains(t, fmt.Sprint(relay), "hush")
}

func FuzzRelay(f *testing.F) {
	id := queue.MakeID(queue.ID{}.Time(), 0, 1, 1).Hex()
	f.Add(`{"event":"bounced","message_id":"<`+id+`@example.com>","recipient":"ada@example.com","status":"5.1.1"}`, true)
	f.Add(`{"event":"complained","message_id":"`+id+`","recipient":"ada@example.com"}`, true)
	f.Add(`{"event":1}`, true)
	f.Add(``, false)
	relay := newRelay(f)
	f.Fuzz(func(t *testing.T, body string, signed bool) {
		secret := "hush"
		if !signed {
			secret = "guess"
		}
		got, err := relay.Read(report(secret, body))
		if !signed {
			require.ErrorIs(t, err, callback.ErrSignature)
		}
		if err != nil {
			require.Zero(t, got)
			return
		}
		if got.Evidence != nil {
			require.Contains(t, []topics.State{topics.Delivered, topics.Failed}, got.Evidence.State)
			require.Equal(t, got.Evidence.State == topics.Failed, got.Evidence.Err != nil)
		}
	})
}
