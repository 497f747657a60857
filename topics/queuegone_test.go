package topics_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// deleting is a bench whose queue "victim" is deleted, once it is armed, between
// the look at the queues and the write: as the message for the queue "other",
// whose subscription is the later one, is given its form.
type deleting struct {
	*bench
	armed atomic.Bool
}

func newDeleting(t *testing.T) *deleting {
	t.Helper()
	b := &deleting{bench: open(t, vfs.NewMem())}
	b.Faces = map[string]topics.Face{"deletes": func(d *channels.Delivery, _ topics.Publish, _ topics.Subscription, _ map[string]string) {
		d.Content.Payload = []byte("{}")
		if b.armed.CompareAndSwap(true, false) {
			if err := b.store.DeleteQueue(t.Context(), topics.QueueName(owner, "victim")); err != nil {
				t.Error(err)
			}
		}
	}}
	b.run()
	b.topic("alerts")
	b.userQueue("victim")
	return b
}

func (b *deleting) listen(s topics.Subscription, face string) topics.Subscription {
	b.t.Helper()
	s.Topic, s.Face = "alerts", face
	made, err := b.Subscribe(b.t.Context(), owner, s)
	require.NoError(b.t, err)
	return made
}

// listeners subscribes the victim and behind it who deletes it.
func (b *deleting) listeners() {
	b.t.Helper()
	b.listen(topics.Subscription{Protocol: topics.SQS, Endpoint: "victim"}, "")
	b.listen(b.queue("other", queue.Settings{}), "deletes")
}

var noQueue = topics.Cause{Protocol: topics.SQS, Kind: "endpoint_gone", Code: "no_queue"}

func (b *deleting) dead(want int64) {
	b.t.Helper()
	all, err := b.DeadLetters()
	require.NoError(b.t, err)
	require.Len(b.t, all, 1)
	require.Equal(b.t, noQueue, all[0].Cause)
	require.Equal(b.t, want, all[0].Count)
}

func TestAQueueDeletedWhileItIsPublishedTo(t *testing.T) {
	t.Parallel()
	for name, req := range map[string]topics.Request{
		"at once":        {},
		"when it is due": {SendAt: time.Now().Add(time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDeleting(t)
			b.listeners()
			b.armed.Store(true)
			req.Topic, req.Message = "alerts", "hello"
			require.Equal(t, topics.Ledger{topics.Failed: 1, topics.Delivered: 1}, b.settle(b.publish(req)))
			require.False(t, b.armed.Load())
			require.Len(t, b.messages(topics.QueueName(owner, "other")), 1)
			b.dead(1)
			b.balanced()
		})
	}
}

// TestADeadLetterQueueDeletedWhileItIsBuriedIn loses the dead letter's copy and
// nothing else.
func TestADeadLetterQueueDeletedWhileItIsBuriedIn(t *testing.T) {
	t.Parallel()
	b := newDeleting(t)
	gone := b.queue("gone", queue.Settings{})
	gone.DeadLetterQueue = topics.QueueName(owner, "victim")
	b.listen(gone, "")
	b.listen(b.queue("other", queue.Settings{}), "deletes")
	require.NoError(t, b.store.DeleteQueue(t.Context(), topics.QueueName(owner, "gone")))
	b.armed.Store(true)
	require.Equal(t, topics.Ledger{topics.Failed: 1, topics.Delivered: 1}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "hello"})))
	require.False(t, b.armed.Load())
	b.dead(1)
	b.balanced()
}

func TestAQueueDeletedWhileABroadcastIsExpanded(t *testing.T) {
	t.Parallel()
	b := newDeleting(t)
	b.listeners()
	for _, e := range numbers(30) {
		b.subscribe("alerts", topics.SMS, e)
	}
	b.armed.Store(true)
	require.Equal(t, topics.Ledger{topics.Failed: 1, topics.Delivered: 31},
		b.settle(b.publish(topics.Request{Topic: "alerts", Message: "hello"})))
	require.False(t, b.armed.Load())
	b.dead(1)
}

func TestAQueueDeletedWhileItsDeadLettersAreRedriven(t *testing.T) {
	t.Parallel()
	b := newDeleting(t)
	b.listeners()
	victim, other := topics.QueueName(owner, "victim"), topics.QueueName(owner, "other")
	require.NoError(t, b.store.DeleteQueue(t.Context(), victim))
	require.NoError(t, b.store.DeleteQueue(t.Context(), other))
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(id))
	b.userQueue("victim")
	b.userQueue("other")
	b.armed.Store(true)
	r, err := b.Redrive(t.Context(), noQueue, 1000)
	require.NoError(t, err)
	r = b.redriven(r.ID)
	require.False(t, b.armed.Load())
	require.EqualValues(t, 1, r.Done)
	require.EqualValues(t, 1, r.Skipped)
	require.Equal(t, topics.Ledger{topics.Failed: 1, topics.Delivered: 1}, b.settle(id))
	require.Len(t, b.messages(other), 1)
	b.dead(1)
}

func TestAQueueDeletedWhileItIsReplayedTo(t *testing.T) {
	t.Parallel()
	b := newDeleting(t)
	b.archive("kept")
	from := b.store.Now()
	for range 3 {
		b.publish(topics.Request{Topic: "kept", Message: "hello"})
	}
	b.armed.Store(true)
	s := b.replays(topics.Subscription{Topic: "kept", Protocol: topics.SQS, Endpoint: "victim", Face: "deletes"}, from)
	b.replayed(s.ID, topics.ReplayCompleted)
	require.False(t, b.armed.Load())
	b.dead(3)
}
