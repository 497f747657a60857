package topics_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// What lies between archives, restores, cancels, dead letters and links.

func TestARestoreHoldsReplaysToPeople(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		b := open(t, fs)
		b.archive("news")
		began := b.store.Now()
		for i := range 5 {
			b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
		}
		s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.SMS, Endpoint: "+1"}, began)
		require.NoError(t, b.store.Close())
		require.NoError(t, queue.MarkRestored("store", fs))
		pass(time.Second)
		b = open(t, fs).run()
		b.replayed(s.ID, topics.ReplayCompleted)
		pass(time.Minute)
		require.Zero(t, b.sms.count("+1"), "the store that is gone may have sent them")
		released, err := b.ReleaseRestored(t.Context())
		require.NoError(t, err)
		require.Equal(t, 5, released)
		b.until(func() bool { return b.sms.count("+1") == 5 })
	})
}

func TestACancelReachesReplays(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.archive("news")
	began := b.store.Now()
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	b.subscribe("news", topics.SMS, "+1")
	wrong := b.publish(topics.Request{Topic: "news", Message: "wrong"})
	s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.SMS, Endpoint: "+2"}, began)
	b.replayed(s.ID, topics.ReplayCompleted)
	_, err := b.SetControl(t.Context(), owner, wrong, topics.Stopped)
	require.NoError(t, err)
	right := b.publish(topics.Request{Topic: "news", Message: "right"})
	require.NoError(t, b.pool.Resume("twilio/main"))
	require.Equal(t, topics.Ledger{topics.Sent: 2}, sentOrDelivered(b.settle(right)))
	require.Equal(t, topics.Ledger{topics.Cancelled: 1}, b.settle(wrong))
	require.Equal(t, 1, b.sms.count("+2"), "the right one alone")
}

func sentOrDelivered(l topics.Ledger) topics.Ledger {
	return topics.Ledger{topics.Sent: l[topics.Sent] + l[topics.Delivered]}
}

func TestNobodyComesBackToAnotherTopicOfTheName(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	s := b.subscribe("news", topics.SMS, "+1")
	_, err := b.Deactivate(t.Context(), owner, s.ID, time.Hour)
	require.NoError(t, err)
	require.NoError(t, b.DeleteTopic(t.Context(), owner, "news"))
	b.topic("news")
	_, err = b.Reactivate(t.Context(), owner, s.ID)
	require.ErrorIs(t, err, topics.ErrNotFound)
}

// TestADeadLetterThatFitsNoQueueHoldsNothingUp: a FIFO queue's groups live in
// one shard each, and a publish without a group in any.
func TestADeadLetterThatFitsNoQueueHoldsNothingUp(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("orders.fifo")
	dead := topics.QueueName(owner, "dead.fifo")
	_, err := b.store.CreateQueue(t.Context(), dead, queue.Settings{FIFO: true})
	require.NoError(t, err)
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Kind: channels.Rejected, Code: "no"}
	})
	_, err = b.Subscribe(t.Context(), owner, topics.Subscription{Topic: "orders.fifo", Protocol: topics.HTTPS, Endpoint: "https://a/", DeadLetterQueue: dead})
	require.NoError(t, err)
	for range 4 {
		id := b.publish(topics.Request{Topic: "orders.fifo", Message: "x"})
		require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id))
	}
}
