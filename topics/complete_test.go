package topics_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestContentIsKeptWhileSomethingMayNeedIt(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{}, nil })
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
	key := append([]byte{'b'}, id.Prefix()...)
	_, err := b.store.Get(id.Shard(), key)
	require.NoError(t, err, "a receipt may say that it has to go again")
	applied, err := b.Observe(t.Context(), topics.Evidence{Delivery: id.WithOrdinal(1), Try: 1, State: topics.Delivered})
	require.NoError(t, err)
	require.True(t, applied)
	b.until(func() bool {
		_, err := b.store.Get(id.Shard(), key)
		return errors.Is(err, queue.ErrNotFound)
	})
}

// TestNoBroadcastCompletesBeforeItsAudience: the moment between a publish's
// acceptance and its expansion, when its ledger is empty, is not its end.
func TestNoBroadcastCompletesBeforeItsAudience(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	for _, e := range numbers(25) { // more than a publish walks itself
		b.subscribe("news", topics.SMS, e)
	}
	var ids []queue.ID
	for range 20 + 80/queuetest.Slowdown {
		id := b.publish(topics.Request{Topic: "news", Message: "x"})
		b.Settled(id) // have it looked at again and again
		ids = append(ids, id)
	}
	for _, id := range ids {
		require.Equal(t, topics.Ledger{topics.Delivered: 25}, b.settle(id))
	}
}

// TestALostWakeIsMadeGoodAtTheStart: what a process that was killed did not stamp
// any more, however much it is, the next one does.
func TestALostWakeIsMadeGoodAtTheStart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs)
	b.topic("news")
	ids := make([]queue.ID, 2500) // more than a page in each shard
	for i := range ids {
		ids[i] = b.publish(topics.Request{Topic: "news", Message: "x"})
	}
	require.NoError(t, b.store.Close()) // nothing completed them
	b = open(t, fs).run()
	for _, id := range ids {
		require.Empty(t, b.settle(id))
	}
}
