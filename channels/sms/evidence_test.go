package sms_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func TestEvidence(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	for state, want := range map[string]string{
		"accepted": "sent", "scheduled": "sent", "queued": "sent", "sending": "sent", "sent": "sent", "partially_delivered": "sent",
		"delivered": "delivered", "read": "delivered",
		"undelivered": "failed", "failed": "failed", "canceled": "failed",
		"receiving": "", "received": "", "something new": "",
	} {
		got := sms.Status{State: state}.Evidence(book)
		require.Equal(t, want, got.State, state)
		require.Equal(t, want == "failed", got.Err != nil, state)
		if got.Err != nil {
			require.False(t, got.Err.Unknown, state)
			require.Equal(t, state, got.Err.Code)
		}
	}
}

func TestEvidenceOfFailure(t *testing.T) {
	t.Parallel()
	book := newBook(t)
	for code, want := range map[string]struct {
		kind  channels.Kind
		tries int
		wait  time.Duration
	}{
		"30001": {channels.Temporary, 0, 5 * time.Minute},
		"30002": {channels.AccountFault, 0, 0},
		"30003": {channels.Temporary, 3, 15 * time.Minute},
		"30004": {channels.RecipientBlocked, 0, 0},
		"30005": {channels.EndpointGone, 0, 0},
		"30006": {channels.EndpointGone, 0, 0},
		"30007": {channels.Rejected, 0, 0},
		"30008": {channels.Temporary, 2, 5 * time.Minute},
		"30022": {channels.Throttled, 0, time.Minute},
		"30036": {channels.Rejected, 0, 0},
		"30450": {channels.Temporary, 3, 30 * time.Minute},
		"21610": {channels.RecipientBlocked, 0, 0},
	} {
		got := sms.Status{State: "undelivered", Code: code}.Evidence(book)
		require.Equal(t, "failed", got.State)
		require.Equal(t, sms.Provider, got.Err.Provider)
		require.Equal(t, code, got.Err.Code)
		require.Equal(t, want.kind.String(), got.Err.Kind.String(), code)
		require.Equal(t, want.tries, got.Err.MaxTries, code)
		require.Equal(t, want.wait, got.Err.Wait, code)
		require.False(t, got.Err.Unknown, code)
	}
	require.True(t, sms.Status{State: "failed", Code: "39999"}.Evidence(book).Err.Unknown)
}
