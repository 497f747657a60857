package topics_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestPublishReachesEverySubscriptionOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.subscribe("alerts", topics.SMS, "+1")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	again := b.subscribe("alerts", topics.SMS, "+1")
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM1"}, nil })
	_, err := b.store.CreateQueue(t.Context(), topics.QueueName(owner, "work"), queue.Settings{})
	require.NoError(t, err)
	b.subscribe("alerts", topics.SQS, "work")

	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Sent: 1, topics.Delivered: 2}, b.settle(id))
	require.Equal(t, 1, b.sms.count("+1"))
	require.Equal(t, 1, b.hook.count("https://a/"))
	got, err := b.store.Receive(t.Context(), topics.QueueName(owner, "work"), queue.ReceiveOptions{Wait: time.Second})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Contains(t, string(got[0].Body), `"message":"hello"`)

	subs, err := b.Subscriptions(owner, "alerts", queue.ID{}, 10)
	require.NoError(t, err)
	require.Len(t, subs, 3)
	require.Equal(t, again.ID, subs[0].ID)

	ds, err := b.Deliveries(owner, id, queue.ID{}, 10, topics.Sent)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, "SM1", ds[0].ProviderID)
	applied, err := b.Observe(t.Context(), topics.Evidence{Delivery: ds[0].ID, Try: 1, State: topics.Delivered})
	require.NoError(t, err)
	require.True(t, applied)
	applied, err = b.Observe(t.Context(), topics.Evidence{Delivery: ds[0].ID, Try: 1, State: topics.Sent})
	require.NoError(t, err)
	require.False(t, applied, "evidence never lowers a state")
	require.Equal(t, topics.Ledger{topics.Delivered: 3}, b.settle(id))
}

func TestBroadcastIsExpandedInChunks(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	const n = 1200 / queuetest.Slowdown
	for i := range n {
		b.subscribe("news", topics.SMS, fmt.Sprint("+", i))
	}
	id := b.publish(topics.Request{Topic: "news", Message: "hello", Lane: channels.Bulk})
	require.Equal(t, topics.Ledger{topics.Delivered: n}, b.settle(id))
	for i := range n {
		require.Equal(t, 1, b.sms.count(fmt.Sprint("+", i)))
	}
	for range 2 {
		diff, err := b.Audit()
		require.NoError(t, err)
		require.Zero(t, diff)
	}
}
