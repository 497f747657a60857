package topics_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// TestEvidenceThatChangesNothingIsKept: what a provider says of an earlier try,
// or after something that outranks it, is kept once beside the delivery.
func TestEvidenceThatChangesNothingIsKept(t *testing.T) {
	t.Parallel()
	b := start(t)
	id := b.failed("+1")[0].WithOrdinal(1)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM2"}, nil })
	r, err := b.Redrive(t.Context(), refusedBySMS, 1000)
	require.NoError(t, err)
	b.redriven(r.ID)
	b.until(func() bool {
		d, _, err := b.Attempts(owner, id)
		require.NoError(t, err)
		return d.State == topics.Sent
	})
	observe := func(ev topics.Evidence) bool {
		ev.Delivery = id
		applied, err := b.Observe(t.Context(), ev)
		require.NoError(t, err)
		return applied
	}
	late := topics.Evidence{
		Try: 1, State: topics.Failed, ProviderID: "SM1", Account: "twilio/main",
		Err: &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "30005"},
	}
	require.False(t, observe(late), "the first try is over")
	require.False(t, observe(late))
	require.False(t, observe(topics.Evidence{Try: 2, State: topics.Sent}), "says what is known")
	require.True(t, observe(topics.Evidence{Try: 2, State: topics.Delivered}))
	require.False(t, observe(topics.Evidence{Try: 2, State: topics.Failed}), "outranked")
	for try := range 20 {
		require.False(t, observe(topics.Evidence{Try: 10 + try, State: topics.Delivered}))
	}
	d, _, err := b.Attempts(owner, id)
	require.NoError(t, err)
	require.Equal(t, topics.Delivered, d.State)
	require.Len(t, d.Unapplied, 8, "bounded")
	first := d.Unapplied[0]
	require.False(t, first.At.IsZero())
	require.Equal(t, topics.UnappliedEvidence{
		Try: 1, State: topics.Failed, At: first.At, Account: "twilio/main", ProviderID: "SM1", Kind: "rejected", Code: "30005",
	}, first)
	require.Equal(t, topics.Failed, d.Unapplied[1].State)
	require.Equal(t, 2, d.Unapplied[1].Try)
}
