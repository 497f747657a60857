package topics_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// listen subscribes a webhook to the status events.
func (b *bench) listen() {
	b.t.Helper()
	_, err := b.Subscribe(b.t.Context(), owner, topics.Subscription{
		Topic: topics.EventsTopic, Protocol: topics.HTTPS, Endpoint: "https://events/", Raw: true,
	})
	require.NoError(b.t, err)
}

// events are those of a name the webhook has got.
func (b *bench) events(name string) (out []topics.Event) {
	b.t.Helper()
	b.hook.mu.Lock()
	defer b.hook.mu.Unlock()
	for _, d := range b.hook.got {
		if d.Topic != topics.EventsTopic || d.Attributes["event"].Value != name {
			continue
		}
		var e topics.Event
		require.NoError(b.t, json.Unmarshal(d.Content.Payload, &e))
		require.Equal(b.t, name, e.Event)
		require.NotZero(b.t, e.Time)
		out = append(out, e)
	}
	return out
}

// event waits for the one event of a name.
func (b *bench) event(name string) topics.Event {
	b.t.Helper()
	b.until(func() bool { return len(b.events(name)) > 0 })
	got := b.events(name)
	require.Len(b.t, got, 1)
	return got[0]
}

// publishes counts the publishes of the store, events included.
func (b *bench) publishes() (n int) {
	b.t.Helper()
	for shard := range b.store.Shards() {
		require.NoError(b.t, b.store.Scan(shard, []byte{'p'}, nil, func(queue.Record) bool { n++; return true }))
	}
	return n
}

func TestStatusEvents(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.listen()
	b.topic("alerts")
	gone := b.subscribe("alerts", topics.SMS, "+gone")
	b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.EndpointGone, Code: "21211"}
	})
	id := b.publish(topics.Request{Topic: "alerts", Message: "x"})
	b.settle(id)
	name := topics.PublishName(id)

	e := b.event(topics.PublishCompleted)
	require.Equal(t, name, e.Publish)
	require.Equal(t, "alerts", e.Topic)
	require.Equal(t, topics.Ledger{topics.Failed: 1}, e.Ledger)

	e = b.event(topics.DeliveryFailed)
	require.Equal(t, name, e.Publish)
	require.Equal(t, topics.DeliveryName(id.WithOrdinal(1)), e.Delivery)
	require.Equal(t, topics.SubscriptionName(gone.ID), e.Subscription)
	require.Equal(t, []string{"sms", "twilio/main", "endpoint_gone", "21211"}, []string{e.Protocol, e.Account, e.Kind, e.Code})

	e = b.event(topics.EndpointDisabled)
	require.Equal(t, topics.SubscriptionName(gone.ID), e.Subscription)
	require.Equal(t, "alerts", e.Topic)

	all, _, err := b.Publishes(owner, topics.PublishFilter{}, queue.ID{}, 10)
	require.NoError(t, err)
	require.Len(t, all, 1, "events are not listed")
	all, _, err = b.Publishes(owner, topics.PublishFilter{Topic: topics.EventsTopic}, queue.ID{}, 10)
	require.NoError(t, err)
	require.Len(t, all, 3, "unless they are asked for")

	for range 2 { // what is suppressed already is no news
		_, err := b.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+stop", Reason: "asked for it"})
		require.NoError(t, err)
	}
	e = b.event(topics.SuppressionAdded)
	require.Equal(t, []string{"sms", "+stop", "asked for it"}, []string{e.Protocol, e.Endpoint, e.Reason})

	require.NoError(t, b.pool.Pause("twilio/main", "by an operator"))
	e = b.event(topics.AccountPaused)
	require.Equal(t, []string{"twilio/main", "paused", "by an operator"}, []string{e.Account, e.State, e.Reason})
	require.NoError(t, b.pool.Resume("twilio/main"))
	require.Equal(t, "twilio/main", b.event(topics.AccountResumed).Account)
	b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.AccountFault, Code: "20003"}
	})
	b.publish(topics.Request{To: to("+1"), Message: "x"})
	b.until(func() bool { return len(b.events(topics.AccountPaused)) == 2 })
	e = b.events(topics.AccountPaused)[1]
	require.Equal(t, []string{"faulted", "20003"}, []string{e.State, e.Code})
}

func TestEventsHaveNoEvents(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.listen()
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "webhook", Kind: channels.EndpointGone, Status: 410}
	})
	b.settle(b.publish(topics.Request{To: to("+1"), Message: "x"}))
	b.until(func() bool { return b.hook.count("https://events/") == 1 })
	b.until(func() bool {
		subs, err := b.Subscriptions(owner, topics.EventsTopic, queue.ID{}, 10)
		require.NoError(t, err)
		return subs[0].Disabled != ""
	})
	b.until(func() bool { // an event is a publish like any other
		dead, err := b.DeadLetters()
		require.NoError(t, err)
		return len(dead) == 1
	})
	b.listen() // enabled again
	b.hook.script(nil)
	second := b.publish(topics.Request{To: to("+1"), Message: "x"})
	b.until(func() bool { return len(b.events(topics.PublishCompleted)) == 2 })
	require.Equal(t, topics.PublishName(second), b.events(topics.PublishCompleted)[1].Publish)
	require.Empty(t, b.events(topics.DeliveryFailed))
	require.Empty(t, b.events(topics.EndpointDisabled))
	require.Equal(t, 4, b.publishes(), "two publishes and one event of each")
}

func TestABroadcastHasFewEventsOfFailures(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.pool.Put(t.Context(), channels.AccountOptions{
		Name: "twilio/main", Protocol: topics.SMS, Provider: "twilio", Channel: b.sms, Limits: channels.Limits{Concurrency: 1},
	}))
	b.listen()
	b.topic("news")
	for _, e := range numbers(100) {
		b.subscribe("news", topics.SMS, e)
	}
	b.sms.script(refuse)
	b.settle(b.publish(topics.Request{Topic: "news", Message: "x"}))
	require.EqualValues(t, 100, b.event(topics.PublishCompleted).Ledger[topics.Failed])
	b.until(func() bool { return len(b.events(topics.DeliveryFailed)) == 10 })
	require.Equal(t, 1+1+10, b.publishes())
}

func TestWithoutListenersNothingIsWritten(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.failed("+1", "+2")
	_, err := b.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+3"})
	require.NoError(t, err)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	require.Equal(t, 2, b.publishes())
}

func TestEventsOfTheRegistrySurviveARestart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs)
	b.listen()
	for i := range 250 { // more than are published at once
		_, err := b.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: fmt.Sprint("+", i)})
		require.NoError(t, err)
	}
	require.NoError(t, b.store.Close())
	b = open(t, fs).run()
	b.until(func() bool { return len(b.events(topics.SuppressionAdded)) == 250 })
}

func TestTheEventsTopicIsReserved(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic, err := b.Topic(owner, topics.EventsTopic)
	require.NoError(t, err)
	require.Equal(t, topics.EventsTopic, topic.Name)
	for _, name := range []string{topics.EventsTopic, "fanfare.mine"} {
		_, err = b.CreateTopic(t.Context(), owner, topics.Topic{Name: name})
		require.ErrorIs(t, err, topics.ErrInvalid)
		require.ErrorIs(t, b.DeleteTopic(t.Context(), owner, name), topics.ErrInvalid)
		_, _, err = b.Publish(t.Context(), topics.Request{Owner: owner, Topic: name, Message: "x"})
		require.ErrorIs(t, err, topics.ErrInvalid)
	}
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
