package topics_test

import (
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

func TestManySubscribeTheSameAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	var all []topics.Subscription
	for _, e := range append(numbers(100), "bad") {
		all = append(all, topics.Subscription{Protocol: topics.SMS, Endpoint: e})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			made, errs, err := b.SubscribeAll(t.Context(), owner, "news", all)
			if err != nil || !errors.Is(errs[100], topics.ErrInvalid) || made[0].ID.IsZero() {
				t.Error(err, errs[100])
			}
		})
	}
	wg.Wait()
	subs, err := b.Subscriptions(owner, "news", queue.ID{}, 1000)
	require.NoError(t, err)
	require.Len(t, subs, 100)
}

// counts compares the counters of topics with their subscriptions, and gives
// those of a topic.
func (b *bench) counts(topic string) topics.SubscriptionCounts {
	b.t.Helper()
	subs, err := b.Subscriptions(owner, topic, queue.ID{}, 1<<20)
	require.NoError(b.t, err)
	want := topics.SubscriptionCounts{}
	for _, s := range subs {
		if s.Pending {
			want.Pending++
		} else {
			want.Confirmed++
		}
	}
	got, err := b.CountSubscriptions(owner, topic)
	require.NoError(b.t, err)
	require.Equal(b.t, [2]int{want.Confirmed, want.Pending}, [2]int{got.Confirmed, got.Pending})
	want.Deleted = got.Deleted
	return want
}

func TestSubscriptionsAreCountedWhateverHappensToThem(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	var made []topics.Subscription
	for i, e := range numbers(600) {
		made = append(made, topics.Subscription{Protocol: topics.SMS, Endpoint: e, Pending: i%3 == 0})
	}
	made, _, err := b.SubscribeAll(t.Context(), owner, "news", append(made, made[0]))
	require.NoError(t, err)
	require.Equal(t, topics.SubscriptionCounts{Confirmed: 400, Pending: 200}, b.counts("news"))

	var wg sync.WaitGroup
	for range 4 { // everybody does the same: it counts once
		wg.Go(func() {
			for i := range 90 {
				var err error
				switch i % 3 {
				case 0:
					_, err = b.ChangeSubscription(t.Context(), owner, made[i].ID, func(s *topics.Subscription) error {
						s.Pending = false
						return nil
					})
				case 1:
					err = b.Unsubscribe(t.Context(), owner, made[i].ID)
				case 2:
					_, err = b.Subscribe(t.Context(), owner, topics.Subscription{Topic: "news", Protocol: topics.SMS, Endpoint: fmt.Sprint("+more", i)})
				}
				if err != nil && !errors.Is(err, topics.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, topics.SubscriptionCounts{Confirmed: 430, Pending: 170, Deleted: 30}, b.counts("news"))

	require.NoError(t, b.DeleteTopic(t.Context(), owner, "news"))
	b.topic("news")
	require.Equal(t, topics.SubscriptionCounts{}, b.counts("news"), "a new topic of the old name")
}

func TestSubscriptionsOfAnOlderStoreAreCountedAtItsStart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs).run()
	for _, topic := range []string{"news", "alerts"} {
		b.topic(topic)
		b.subscribe(topic, topics.SMS, "+1")
		b.subscribe(topic, topics.SMS, "+2")
	}
	// The older one had no counters; a start that was cut short made some.
	change := &queue.Batch{}
	require.NoError(t, b.store.Counters(queue.Registry, nil, func(key []byte, n int64) bool {
		change.Add([]byte(string(key)), 5-n)
		return true
	}))
	change.Remove([]byte("subscriptions-counted"))
	_, err := b.store.Commit(t.Context(), queue.Registry, change)
	require.NoError(t, err)
	b.stop()
	require.NoError(t, b.store.Close())

	b = open(t, fs).run()
	require.Equal(t, 2, b.counts("news").Confirmed)
	b.subscribe("alerts", topics.SMS, "+3")
	require.Equal(t, 3, b.counts("alerts").Confirmed)
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
