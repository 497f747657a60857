package fcm_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// tokenRequests counts how often the token endpoint was asked.
func tokenRequests(sb *sandbox.Server) int {
	return len(sb.Requests(sandbox.ProviderFCMToken, ""))
}

func deliver(t *testing.T, ch *fcm.Channel, n int) error {
	t.Helper()
	_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(n), n))
	return err
}

func TestTokenIsShared(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() { _, _ = ch.Deliver(context.Background(), channeltest.Delivery(device(n), n)) })
	}
	wg.Wait()
	require.Len(t, sb.Inbox(fcm.Provider, ""), 8)
	require.Equal(t, 1, tokenRequests(sb))
}

func TestTokenIsReplacedBeforeItEnds(t *testing.T) {
	t.Parallel()
	sb := start(t)
	sb.FCM.SetTokenLife(30 * time.Second)
	ch := open(t, sb, nil)
	require.NoError(t, deliver(t, ch, 1))
	require.NoError(t, deliver(t, ch, 2))
	require.Equal(t, 2, tokenRequests(sb))
}

// A token that ended before its time costs one attempt; the next fetches anew.
func TestEndedToken(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	require.NoError(t, deliver(t, ch, 1))
	sb.FCM.EndTokens()
	require.Equal(t, channels.AccountFault, failure(t, deliver(t, ch, 2)).Kind)
	require.NoError(t, deliver(t, ch, 2))
}

func TestTokenEndpointAnswers(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for name, c := range map[string]struct {
		answer sandbox.Answer
		kind   channels.Kind
		code   string
	}{
		"revoked":     {sandbox.Answer{Code: "invalid_grant", Message: "secret-text"}, channels.AccountFault, "oauth_invalid_grant"},
		"forbidden":   {sandbox.Answer{Status: 403, Code: "access_denied"}, channels.AccountFault, "oauth_access_denied"},
		"not allowed": {sandbox.Answer{Status: 401, Code: "invalid_client"}, channels.AccountFault, "oauth_invalid_client"},
		"no code":     {sandbox.Answer{Status: 403}, channels.AccountFault, "oauth_"},
		"strange":     {sandbox.Answer{Status: 400, Code: "se cret-text"}, channels.AccountFault, "oauth_"},
		"redirect":    {sandbox.Answer{Status: 302}, channels.AccountFault, "oauth_"},
		"busy":        {sandbox.Answer{Status: 429, RetryAfter: 5}, channels.Throttled, "oauth_"},
		"internal":    {sandbox.Answer{Status: 500, Code: "internal_failure"}, channels.Temporary, "oauth_internal_failure"},
		"unavailable": {sandbox.Answer{Status: 503, RetryAfter: 5}, channels.Temporary, "oauth_"},
		"dropped":     {sandbox.Answer{Drop: sandbox.DropAfter}, channels.Temporary, "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			before, sent := tokenRequests(sb), len(sb.Requests(fcm.Provider, ""))
			c.answer.Times = 1
			sb.Script(sandbox.ProviderFCMToken, sb.FCM.Account, c.answer)
			ch := open(t, sb, nil)
			err := deliver(t, ch, 1)
			e := failure(t, err)
			require.Equal(t, c.kind.String(), e.Kind.String(), "%v", err)
			require.Equal(t, c.code, e.Code)
			require.Equal(t, time.Duration(c.answer.RetryAfter)*time.Second, e.RetryAfter)
			require.False(t, e.Unknown)
			require.NotContains(t, err.Error(), "cret-text")
			require.Equal(t, before+1, tokenRequests(sb), "asked once")
			require.Len(t, sb.Requests(fcm.Provider, ""), sent, "nothing was sent")
			require.NoError(t, deliver(t, ch, 1))
		})
	}
}

// A token endpoint that hangs holds no attempt beyond its context, and nothing
// was sent.
func TestTokenEndpointHangs(t *testing.T) {
	t.Parallel()
	sb := start(t)
	sb.Script(sandbox.ProviderFCMToken, sb.FCM.Account, sandbox.Answer{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := open(t, sb, nil).Deliver(ctx, channeltest.Delivery(device(1), 1))
	e := failure(t, err)
	require.Equal(t, channels.Temporary, e.Kind)
	require.Equal(t, "connect", e.Code)
}

func TestTokenEndpointUnreachable(t *testing.T) {
	t.Parallel()
	sb := start(t)
	closed, _ := channeltest.Closed(t)
	ch := open(t, sb, func(o *fcm.Options) {
		o.CredentialsJSON = with(t, o.CredentialsJSON, "token_uri", "http://"+closed+"/token")
	})
	e := failure(t, deliver(t, ch, 1))
	require.Equal(t, channels.Temporary, e.Kind)
	require.Equal(t, "connect", e.Code)
	require.Zero(t, tokenRequests(sb))
}

func TestTokenEndpointTalksNonsense(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for _, body := range []string{`{}`, `<html>`} {
		nonsense := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
		defer nonsense.Close()
		ch := open(t, sb, func(o *fcm.Options) { o.CredentialsJSON = with(t, o.CredentialsJSON, "token_uri", nonsense.URL) })
		e := failure(t, deliver(t, ch, 1))
		require.Equal(t, channels.Temporary, e.Kind)
		require.Equal(t, "oauth_unreadable_answer", e.Code)
	}
}

func TestFCMUnreachable(t *testing.T) {
	t.Parallel()
	closed, _ := channeltest.Closed(t)
	ch := open(t, start(t), func(o *fcm.Options) { o.Endpoint = "http://" + closed })
	e := failure(t, deliver(t, ch, 1))
	require.Equal(t, channels.Temporary, e.Kind)
	require.Equal(t, "connect", e.Code)
}

// 200 without a message name, and an answer that breaks off, may have been
// taken; neither makes the SDK ask again.
func TestUnreadableAnswer(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for body, code := range map[string]string{`{}`: "unreadable_answer", `<html>`: "unreadable_answer", "": "unreadable_answer", "broken": "no_answer"} {
		var asked int // read after the request ended
		odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if body == "broken" {
				w.Header().Set("Content-Length", "1000")
			}
			_, _ = w.Write([]byte(body))
		}))
		ch := open(t, sb, func(o *fcm.Options) { o.Endpoint = odd.URL })
		e := failure(t, deliver(t, ch, 1))
		odd.Close()
		require.Equal(t, channels.Uncertain, e.Kind, body)
		require.Equal(t, code, e.Code)
		require.Equal(t, 1, asked)
	}
}

func TestWrongProject(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, func(o *fcm.Options) { o.ProjectID = "another-project" })
	e := failure(t, deliver(t, ch, 1))
	require.Equal(t, channels.AccountFault, e.Kind)
	require.Equal(t, "PERMISSION_DENIED", e.Code)
	require.Error(t, ch.Probe(t.Context()))
}

func TestProbe(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	require.NoError(t, ch.Probe(t.Context()))
	require.NoError(t, ch.Probe(t.Context()))
	require.Equal(t, 2, tokenRequests(sb), "a fresh token each time")
	seen := sb.Requests(fcm.Provider, "")
	require.Len(t, seen, 2)
	require.Equal(t, "true", seen[0].Fields["validate_only"])
	require.Empty(t, sb.Inbox("", ""))

	sb.Script(fcm.Provider, "*", sandbox.Answer{Code: "UNAVAILABLE"})
	require.NoError(t, ch.Probe(t.Context()), "FCM refuses the token before all else")
}

// Key gone: sends and probe say account_fault; a rotated key works at once, in
// a new channel, and no recipient was blamed.
func TestRevokeAndRotate(t *testing.T) {
	t.Parallel()
	sb := start(t)
	old := open(t, sb, nil)
	require.NoError(t, deliver(t, old, 1))
	key := field(t, sb.FCM.CredentialsJSON(), "private_key")

	sb.FCM.Revoke()
	err := deliver(t, old, 2)
	require.Equal(t, "UNAUTHENTICATED", failure(t, err).Code)
	require.Equal(t, channels.AccountFault, failure(t, err).Kind)
	err = old.Probe(t.Context())
	require.Equal(t, "oauth_invalid_grant", failure(t, err).Code)
	require.Equal(t, channels.AccountFault, failure(t, err).Kind)
	require.NotContains(t, err.Error(), key)

	rotated := sb.FCM.Rotate()
	require.Equal(t, rotated, sb.FCM.CredentialsJSON())
	fresh := open(t, sb, nil)
	require.NoError(t, fresh.Probe(t.Context()))
	require.NoError(t, deliver(t, fresh, 2))
	require.Equal(t, channels.AccountFault, failure(t, deliver(t, old, 3)).Kind)
}
