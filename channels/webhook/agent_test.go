package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/channeltest"
)

// TestAnotherFormHasItsOwnHeaders: a receiver that checks what came by somebody
// else's rules sees nothing of ours.
func TestAnotherFormHasItsOwnHeaders(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	d := channeltest.Delivery(sb.Webhook.URL+"/", 1)
	d.Content.Payload, d.Content.ContentType, d.Content.Agent = []byte("hi"), "text/plain; charset=UTF-8", "Somebody Else"
	d.Content.Headers = map[string]string{"x-theirs": "1"}
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	got := only(t, sb, d.Endpoint).Fields
	require.Equal(t, "Somebody Else", got["user-agent"])
	require.Equal(t, "gzip,deflate", got["accept-encoding"])
	require.Equal(t, "1", got["x-theirs"])
	require.NotContains(t, got, "webhook-id")
	require.NotContains(t, got, "webhook-timestamp")

	d.Content.Agent = "a\nb"
	_, err = ch.Deliver(t.Context(), d)
	require.ErrorContains(t, err, "agent")
}
