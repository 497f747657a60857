package sms_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func withKey(sb *sandbox.Server) func(*sms.Options) {
	return func(o *sms.Options) {
		o.AuthToken, o.APIKey, o.APISecret = "", sb.Twilio.APIKey, sb.Twilio.APISecret
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	require.NoError(t, open(t, sb).Probe(t.Context()))
	require.NoError(t, open(t, sb, withKey(sb)).Probe(t.Context()), "standard keys may not read the account")
	for name, change := range map[string]func(*sms.Options){
		"token":   func(o *sms.Options) { o.AuthToken = "wrong" },
		"account": func(o *sms.Options) { o.AccountSID = "AC" + strings.Repeat("0", 32) },
		"secret":  func(o *sms.Options) { withKey(sb)(o); o.APISecret = "wrong" },
	} {
		ch := open(t, sb, change)
		var got *channels.Error
		require.ErrorAs(t, ch.Probe(t.Context()), &got, name)
		require.Equal(t, channels.AccountFault, got.Kind)
		require.Equal(t, "20003", got.Code)
		require.Equal(t, channels.AccountFault, failed(t, ch, channeltest.Delivery(number(1), 1)).Kind)
	}
	require.Empty(t, sb.Inbox(sandbox.ProviderTwilio, ""), "nothing was sent")
}

func TestDeliverWithKey(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	_, err := open(t, sb, withKey(sb)).Deliver(t.Context(), channeltest.Delivery(number(1), 1))
	require.NoError(t, err)
}

func TestProbeOfASuspendedAccount(t *testing.T) {
	t.Parallel()
	ch := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/Accounts/"+user+".json") {
			_, _ = w.Write([]byte(`{"status": "suspended"}`))
		}
	})
	var got *channels.Error
	require.ErrorAs(t, ch.Probe(t.Context()), &got)
	require.Equal(t, channels.AccountFault, got.Kind)
	require.Equal(t, "account_suspended", got.Code)
}

func TestProbeWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	ch := open(t, sb)
	require.NoError(t, sb.Close())
	var got *channels.Error
	require.ErrorAs(t, ch.Probe(t.Context()), &got)
	require.Equal(t, channels.Temporary, got.Kind)
}
