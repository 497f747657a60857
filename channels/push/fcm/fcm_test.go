package fcm_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func start(t testing.TB) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

func book(t testing.TB) *channels.ErrorBook {
	t.Helper()
	b, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return b
}

// open makes a channel for the sandbox; change may alter its options.
func open(t testing.TB, sb *sandbox.Server, change func(*fcm.Options)) *fcm.Channel {
	t.Helper()
	o := fcm.Options{CredentialsJSON: sb.FCM.CredentialsJSON(), Endpoint: sb.FCM.URL, Book: book(t)}
	if change != nil {
		change(&o)
	}
	ch, err := fcm.New(o)
	require.NoError(t, err)
	return ch
}

func device(n int) string { return fmt.Sprintf("dEviCe-%04d_x:APA91bFanfare-%06d", n, n) }

// field reads a field of a key file.
func field(t *testing.T, credentials []byte, name string) string {
	t.Helper()
	var file map[string]string
	require.NoError(t, json.Unmarshal(credentials, &file))
	return file[name]
}

// with is a key file with another value in a field.
func with(t *testing.T, credentials []byte, name, value string) []byte {
	t.Helper()
	var file map[string]string
	require.NoError(t, json.Unmarshal(credentials, &file))
	file[name] = value
	changed, err := json.Marshal(file)
	require.NoError(t, err)
	return changed
}

func failure(t *testing.T, err error) *channels.Error {
	t.Helper()
	var e *channels.Error
	require.ErrorAs(t, err, &e)
	return e
}

func TestChannel(t *testing.T) {
	t.Parallel()
	answer := func(code string, status int) sandbox.Answer { return sandbox.Answer{Code: code, Status: status} }
	invalid := "The registration token is not a valid FCM registration token"
	channeltest.Run(t, channeltest.Suite{
		Provider: fcm.Provider,
		New: func(t *testing.T, sb *sandbox.Server) channels.Channel {
			return open(t, sb, nil)
		},
		Endpoint: func(_ *sandbox.Server, n int) string { return device(n) },
		Bad:      []string{"short", "with a space in the middle of it", "dots.are.not.in.registration.tokens", "/topics/news-and-more-of-it", device(1) + "\n"},
		Secrets:  []string{"PRIVATE KEY", "ya29.", "Bearer", "assertion"},
		Answers: []channeltest.Case{
			{Name: "app removed", Answer: answer("UNREGISTERED", 0), Kind: channels.EndpointGone, Code: "UNREGISTERED"},
			{Name: "token at fault", Answer: answer("INVALID_ARGUMENT:message.token", 0), Kind: channels.EndpointGone, Code: "INVALID_ARGUMENT"},
			{Name: "token at fault by text", Answer: sandbox.Answer{Code: "INVALID_ARGUMENT", Message: invalid}, Kind: channels.EndpointGone, Code: "INVALID_ARGUMENT"},
			{Name: "message at fault", Answer: answer("INVALID_ARGUMENT", 0), Kind: channels.Rejected, Code: "INVALID_ARGUMENT"},
			{Name: "data at fault", Answer: answer("INVALID_ARGUMENT:message.data[0].value", 0), Kind: channels.Rejected, Code: "INVALID_ARGUMENT"},
			{Name: "another project's token", Answer: answer("SENDER_ID_MISMATCH", 0), Kind: channels.EndpointGone, Code: "SENDER_ID_MISMATCH"},
			{Name: "APNs key in Firebase", Answer: answer("THIRD_PARTY_AUTH_ERROR", 0), Kind: channels.AccountFault, Code: "THIRD_PARTY_AUTH_ERROR"},
			{Name: "APNs key, old name", Answer: answer("APNS_AUTH_ERROR", 401), Kind: channels.AccountFault, Code: "APNS_AUTH_ERROR"},
			{Name: "no permission", Answer: answer("PERMISSION_DENIED", 0), Kind: channels.AccountFault, Code: "PERMISSION_DENIED"},
			{Name: "not signed in", Answer: answer("UNAUTHENTICATED", 0), Kind: channels.AccountFault, Code: "UNAUTHENTICATED"},
			{Name: "no such project", Answer: answer("NOT_FOUND", 0), Kind: channels.AccountFault, Code: "NOT_FOUND"},
			{Name: "quota", Answer: answer("QUOTA_EXCEEDED", 0), Kind: channels.Throttled, Code: "QUOTA_EXCEEDED"},
			{Name: "quota with a wish", Answer: sandbox.Answer{Code: "QUOTA_EXCEEDED", RetryAfter: 90}, Kind: channels.Throttled, RetryAfter: 90 * time.Second},
			{Name: "quota of one device", Answer: answer("QUOTA_EXCEEDED:Device message rate exceeded", 0), Kind: channels.Temporary, Code: "QUOTA_EXCEEDED"},
			{Name: "resource exhausted", Answer: answer("RESOURCE_EXHAUSTED", 0), Kind: channels.Throttled, Code: "RESOURCE_EXHAUSTED"},
			{Name: "unavailable", Answer: answer("UNAVAILABLE", 0), Kind: channels.Throttled, Code: "UNAVAILABLE"},
			{Name: "unavailable with a wish", Answer: sandbox.Answer{Code: "UNAVAILABLE", RetryAfter: 7}, Kind: channels.Throttled, RetryAfter: 7 * time.Second},
			{Name: "internal", Answer: answer("INTERNAL", 0), Kind: channels.Temporary, Code: "INTERNAL"},
			{Name: "bad gateway", Answer: answer("", 502), Kind: channels.Temporary},
			{Name: "deadline exceeded", Answer: answer("DEADLINE_EXCEEDED", 0), Kind: channels.Uncertain, Code: "DEADLINE_EXCEEDED"},
			{Name: "request timeout", Answer: answer("", 408), Kind: channels.Uncertain},
			{Name: "too large", Answer: answer("", 413), Kind: channels.Rejected},
			{Name: "another 4xx", Answer: answer("FAILED_PRECONDITION", 0), Kind: channels.Rejected, Code: "FAILED_PRECONDITION"},
			{Name: "redirect", Answer: answer("", 302), Kind: channels.AccountFault},
		},
	})
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	t.Run("case and group of an endpoint", func(t *testing.T) {
		got, err := ch.CheckEndpoint(device(1))
		require.NoError(t, err)
		require.Equal(t, channels.Endpoint{Address: device(1), Group: sb.FCM.ProjectID}, got)
	})
	t.Run("receipt", func(t *testing.T) {
		r, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1))
		require.NoError(t, err)
		require.Equal(t, sb.Inbox(fcm.Provider, device(1))[0].ID, r.ProviderID)
		require.False(t, r.Delivered)
	})
	t.Run("a quota waits a minute", func(t *testing.T) {
		sb.Script(fcm.Provider, device(2), sandbox.Answer{Code: "QUOTA_EXCEEDED"})
		_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(2), 2))
		require.Equal(t, time.Minute, failure(t, err).Wait)
	})
	t.Run("the SDK's own repeating is out of the way", func(t *testing.T) {
		for i, a := range []sandbox.Answer{{Code: "UNAVAILABLE"}, {Drop: sandbox.DropBefore}} {
			sb.Script(fcm.Provider, device(20+i), a)
			_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(20+i), i))
			require.Error(t, err)
			require.Len(t, sb.Requests(fcm.Provider, device(20+i)), 1)
		}
	})
	t.Run("many bad tokens are the account's fault", func(t *testing.T) {
		for i, code := range []string{"SENDER_ID_MISMATCH", "INVALID_ARGUMENT:message.token"} {
			sb.Script(fcm.Provider, device(10+i), sandbox.Answer{Code: code})
			_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(10+i), i))
			e := failure(t, err).Escalate
			require.NotNil(t, e, code)
			require.Equal(t, channels.AccountFault, e.Kind)
		}
	})
}
