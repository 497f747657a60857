package topics_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestRetryDeadLetterAndRedrive(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "webhook", Status: 500}
	})
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id))
	require.Equal(t, 3, b.hook.count("https://a/"))
	_, attempts, err := b.Attempts(owner, id.WithOrdinal(1))
	require.NoError(t, err)
	require.Len(t, attempts, 3)

	dead, err := b.DeadLetters()
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.EqualValues(t, 1, dead[0].Count)
	require.Equal(t, topics.Cause{Protocol: "https", Account: "webhook/main", Kind: "temporary", Code: "500"}, dead[0].Cause)

	b.hook.script(nil)
	plan, err := b.PlanRedrive(dead[0].Cause)
	require.NoError(t, err)
	require.EqualValues(t, 1, plan.Count)
	require.Equal(t, 3, b.hook.count("https://a/"), "a dry run sends nothing")
	_, err = b.Redrive(t.Context(), dead[0].Cause, 100)
	require.NoError(t, err)
	b.until(func() bool { return b.hook.count("https://a/") == 4 })
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	dead, err = b.DeadLetters()
	require.NoError(t, err)
	require.Empty(t, dead)
}
