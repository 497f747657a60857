package topics_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Pausing and resuming in the middle of hand-offs leaves nothing behind.
func TestPauseAndResumeLeaveNothingHeld(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	for _, e := range numbers(25) {
		b.subscribe("news", topics.SMS, e)
	}
	var ids []queue.ID
	var wg sync.WaitGroup
	for range 40 {
		id := b.publish(topics.Request{Topic: "news", Message: "x"})
		ids = append(ids, id)
		wg.Go(func() {
			for range 5 {
				for _, c := range []topics.Control{topics.Paused, topics.Running} {
					if _, err := b.SetControl(t.Context(), owner, id, c); err != nil && !errors.Is(err, topics.ErrState) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, topics.Ledger{topics.Delivered: 25}, b.settle(id))
	}
}

// A process that ends between a resume and its releases leaves them to the next.
func TestAResumeIsFinishedByTheNextProcess(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs).run()
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	_, err := b.SetControl(t.Context(), owner, id, topics.Paused)
	require.NoError(t, err)
	require.NoError(t, b.pool.Resume("twilio/main"))
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Held] == 1
	})
	b.stop()
	r, err := b.store.Get(id.Shard(), append([]byte{'p'}, id.Prefix()...))
	require.NoError(t, err)
	var p topics.Publish
	require.NoError(t, json.Unmarshal(r.Value, &p))
	p.Control = topics.Running
	value, err := json.Marshal(p)
	require.NoError(t, err)
	resumed := &queue.Batch{}
	resumed.Put(r.Key, value)
	_, err = b.store.Commit(t.Context(), id.Shard(), resumed)
	require.NoError(t, err)
	require.NoError(t, b.store.Close())

	b = open(t, fs).run()
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
}

// A cancel that meets the expander takes effect at once, not when a lease ends.
func TestCancelDuringExpansion(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	for _, e := range numbers(300) {
		b.subscribe("news", topics.SMS, e)
	}
	var ids []queue.ID
	for range 20 {
		id := b.publish(topics.Request{Topic: "news", Message: "x"})
		ids = append(ids, id)
		_, err := b.SetControl(t.Context(), owner, id, topics.Stopped)
		require.NoError(t, err)
	}
	for _, id := range ids {
		l := b.settle(id)
		require.Equal(t, l.Sum(), l[topics.Delivered]+l[topics.Cancelled])
	}
}

// Subscribing anew while somebody unsubscribes ends as one or the other.
func TestSubscribeMeetsUnsubscribe(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	for i := range 50 {
		endpoint := fmt.Sprint("+", i)
		first := b.subscribe("alerts", topics.SMS, endpoint)
		b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
			return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.EndpointGone, Code: "1"}
		})
		b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"}))
		var wg sync.WaitGroup
		wg.Go(func() { b.subscribe("alerts", topics.SMS, endpoint) })
		wg.Go(func() { _ = b.Unsubscribe(t.Context(), owner, first.ID) })
		wg.Wait()
		subs, err := b.Subscriptions(owner, "alerts", queue.ID{}, 10)
		require.NoError(t, err)
		for _, s := range subs {
			_, err := b.Subscription(owner, s.ID)
			require.NoError(t, err, "what is listed can be looked up")
			require.NoError(t, b.Unsubscribe(t.Context(), owner, s.ID))
		}
	}
}

// A topic that is made again has none of the subscribers of the one before.
func TestSubscribeMeetsDeleteTopic(t *testing.T) {
	t.Parallel()
	b := start(t)
	for i := range 50 {
		b.topic("alerts")
		var wg sync.WaitGroup
		for j := range 4 {
			wg.Go(func() {
				_, err := b.Subscribe(t.Context(), owner, topics.Subscription{Topic: "alerts", Protocol: topics.SMS, Endpoint: fmt.Sprint("+", i, j)})
				if err != nil && !errors.Is(err, topics.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := b.DeleteTopic(t.Context(), owner, "alerts"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		b.topic("alerts")
		subs, err := b.Subscriptions(owner, "alerts", queue.ID{}, 10)
		require.NoError(t, err)
		require.Empty(t, subs)
		require.NoError(t, b.DeleteTopic(t.Context(), owner, "alerts"))
	}
}

// A provider's report that asks for another attempt may come before the worker
// has noted the end of this one.
func TestAReportThatComesBeforeTheOutcome(t *testing.T) {
	t.Parallel()
	b := start(t)
	begun, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		once.Do(func() { close(begun); <-end })
		return channels.Receipt{}, nil
	})
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	<-begun
	reported := make(chan bool)
	go func() {
		applied, err := b.Observe(t.Context(), topics.Evidence{
			Delivery: id.WithOrdinal(1), Try: 1, State: topics.Failed,
			Err: &channels.Error{Provider: "twilio", Kind: channels.Temporary, Code: "30008", MaxTries: 2},
		})
		if err != nil {
			t.Error(err)
		}
		reported <- applied
	}()
	close(end)
	require.True(t, <-reported)
	b.until(func() bool { return b.sms.count("+1") == 2 })
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
}

// A chunk of a broadcast to queues that are gone has few events, too.
func TestAChunkHasFewEventsOfFailures(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.listen()
	b.topic("news")
	for i := range 60 {
		name := fmt.Sprint("q", i)
		_, err := b.store.CreateQueue(t.Context(), topics.QueueName(owner, name), queue.Settings{})
		require.NoError(t, err)
		b.subscribe("news", topics.SQS, name)
		require.NoError(t, b.store.DeleteQueue(t.Context(), topics.QueueName(owner, name)))
	}
	require.Equal(t, topics.Ledger{topics.Failed: 60}, b.settle(b.publish(topics.Request{Topic: "news", Message: "x"})))
	b.event(topics.PublishCompleted)
	b.until(func() bool { return len(b.events(topics.DeliveryFailed)) == 10 })
	require.Equal(t, 1+1+10, b.publishes())
}
