package topics_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// replays subscribes an endpoint to what was published from a moment on.
func (b *bench) replays(s topics.Subscription, from time.Time) topics.Subscription {
	b.t.Helper()
	s.Replay = &topics.Replay{From: from}
	made, err := b.Subscribe(b.t.Context(), owner, s)
	require.NoError(b.t, err)
	return made
}

// replayed waits until a subscription's replay is in a state.
func (b *bench) replayed(id queue.ID, state topics.ReplayState) topics.Subscription {
	b.t.Helper()
	var s topics.Subscription
	b.until(func() bool {
		var err error
		s, err = b.Subscription(owner, id)
		require.NoError(b.t, err)
		return s.Replay.State == state
	})
	return s
}

func (b *bench) queue(name string, set queue.Settings) topics.Subscription {
	b.t.Helper()
	_, err := b.store.CreateQueue(b.t.Context(), topics.QueueName(owner, name), set)
	require.NoError(b.t, err)
	return topics.Subscription{Protocol: topics.SQS, Endpoint: name}
}

// drain takes all that is in a queue.
func (b *bench) drain(name string) (all []topics.Envelope) {
	b.t.Helper()
	for {
		got, err := b.store.Receive(b.t.Context(), topics.QueueName(owner, name), queue.ReceiveOptions{Max: 100})
		require.NoError(b.t, err)
		if len(got) == 0 {
			return all
		}
		for _, m := range got {
			var e topics.Envelope
			require.NoError(b.t, json.Unmarshal(m.Body, &e))
			all = append(all, e)
			require.NoError(b.t, b.store.Delete(b.t.Context(), m.Queue, m.Handle)[0])
		}
	}
}

func (b *bench) balanced() {
	b.t.Helper()
	differences, err := b.Audit()
	require.NoError(b.t, err)
	require.Zero(b.t, differences)
}

func TestAReplayBringsWhatWasPublishedOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.archive("news")
	const n = 2000 / queuetest.Slowdown
	begins := b.store.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	ids := map[string]int{}
	for i := range n {
		color := "blue"
		if i%10 == 0 {
			color = "red"
		}
		wg.Go(func() {
			id := b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i), Attributes: map[string]channels.Attribute{"color": {Type: "String", Value: color}}})
			mu.Lock()
			defer mu.Unlock()
			ids[topics.PublishName(id)] = i
		})
	}
	wg.Wait()
	all := b.queue("all", queue.Settings{})
	all.Topic = "news"
	red := b.queue("red", queue.Settings{})
	red.Topic, red.Filter = "news", &topics.Filter{Policy: `{"color":["red"]}`, Scope: topics.FilterAttributes}
	hook := topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://a/", Filter: red.Filter}
	for _, s := range []topics.Subscription{all, red, hook} {
		s = b.replays(s, begins)
		b.replayed(s.ID, topics.ReplayCompleted)
	}

	got := b.drain("all")
	require.Len(t, got, n)
	for _, e := range got {
		i, ok := ids[e.Publish]
		require.True(t, ok, "the original's id, once: %+v", e)
		delete(ids, e.Publish)
		require.Equal(t, strconv.Itoa(i), e.Message)
		require.True(t, e.Replayed)
		require.False(t, e.Timestamp.Before(begins.Truncate(time.Millisecond)))
	}
	require.Len(t, b.drain("red"), n/10)
	b.until(func() bool { return b.hook.count("https://a/") == n/10 })

	b.publish(topics.Request{Topic: "news", Message: "new"})
	got = b.drain("all")
	require.Len(t, got, 1, "a replay that has caught up goes on with what is published")
	require.False(t, got[0].Replayed)
	b.balanced()
	require.Equal(t, n+1, b.archivedIn(), "replays are archived no second time")
}

// While a replay runs, new messages come in their turn: each once, and in the
// order of their group.
func TestAReplayMeetsNewMessages(t *testing.T) {
	t.Parallel()
	for _, perGroup := range []bool{false, true} {
		t.Run(fmt.Sprintf("spread=%v", perGroup), func(t *testing.T) {
			t.Parallel()
			replayMeetsNewMessages(t, perGroup)
		})
	}
}

// replayMeetsNewMessages has topic and queue of different placement.
func replayMeetsNewMessages(t *testing.T, perGroup bool) {
	b := start(t)
	b.archive("orders.fifo")
	publish := func(group string, i int) {
		b.publish(topics.Request{Topic: "orders.fifo", Message: strconv.Itoa(i), Group: group, DedupID: group + strconv.Itoa(i), DedupPerGroup: perGroup})
	}
	const groups, old, more = 5, 100 / queuetest.Slowdown, 300 / queuetest.Slowdown
	begins := b.store.Now()
	for i := range old {
		for g := range groups {
			publish(fmt.Sprint("g", g), i)
		}
	}
	s := b.queue("work.fifo", queue.Settings{FIFO: true, DedupPerGroup: !perGroup})
	s.Topic = "orders.fifo"
	var wg sync.WaitGroup
	for g := range groups {
		wg.Go(func() {
			for i := old; i < old+more; i++ {
				publish(fmt.Sprint("g", g), i)
			}
		})
	}
	s = b.replays(s, begins)
	wg.Wait()
	b.replayed(s.ID, topics.ReplayCompleted)
	publish("g0", old+more)

	next := map[string]int{}
	for {
		got, err := b.store.Receive(t.Context(), s.Endpoint, queue.ReceiveOptions{Max: 100})
		require.NoError(t, err)
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			var e topics.Envelope
			require.NoError(t, json.Unmarshal(m.Body, &e))
			require.Equal(t, strconv.Itoa(next[m.Group]), e.Message, m.Group)
			next[m.Group]++
			require.NoError(t, b.store.Delete(t.Context(), m.Queue, m.Handle)[0])
		}
	}
	require.Equal(t, map[string]int{"g0": old + more + 1, "g1": old + more, "g2": old + more, "g3": old + more, "g4": old + more}, next)
	b.balanced()
}

// A broadcast that is still being expanded when the replay has caught up is not
// delivered twice.
func TestAReplayMeetsBroadcasts(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.archive("news")
	for _, e := range numbers(30) { // more than a publish walks itself
		b.subscribe("news", topics.SMS, e)
	}
	begins := b.store.Now()
	const n = 60 / queuetest.Slowdown
	ids := make([]queue.ID, n)
	for i := range n / 2 {
		ids[i] = b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
	}
	s := b.queue("work", queue.Settings{})
	s.Topic = "news"
	live, err := b.Subscribe(t.Context(), owner, s)
	require.NoError(t, err)
	_, err = b.ChangeSubscription(t.Context(), owner, live.ID, func(s *topics.Subscription) error {
		s.Replay = &topics.Replay{From: begins}
		return nil
	})
	require.NoError(t, err)
	for i := n / 2; i < n; i++ {
		ids[i] = b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
	}
	b.replayed(live.ID, topics.ReplayCompleted)
	for _, id := range ids {
		b.settle(id)
	}
	seen := map[string]int{}
	for _, e := range b.drain("work") {
		seen[e.Message]++
	}
	require.Len(t, seen, n)
	for message, times := range seen {
		require.Equal(t, 1, times, message)
	}
	b.balanced()
}

// A process that dies in the middle of a replay leaves it to the next one, which
// neither repeats nor leaves out anything.
func TestAReplayGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		b := openAhead(t, fs, ahead)
		b.archive("news")
		const n = 6 * ahead // several pages
		begins := b.store.Now()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() { b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)}) })
		}
		wg.Wait()
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		s = b.replays(s, begins)
		name := s.Endpoint
		b.run()
		first, err := b.store.Receive(t.Context(), name, queue.ReceiveOptions{Wait: time.Minute})
		require.NoError(t, err)
		require.Len(t, first, 1)
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		b.stop()

		b = openAhead(t, crashed, ahead)
		st, err := b.store.Stats(name)
		require.NoError(t, err)
		require.Less(t, st.Ready+st.InFlight, int64(n), "it died in the middle")
		b.run()
		b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(n)})
		b.replayed(s.ID, topics.ReplayCompleted)
		pass(time.Minute) // the lease of the first one
		seen := map[string]int{}
		for _, e := range b.drain("work") {
			seen[e.Message]++
		}
		require.Len(t, seen, n+1)
		for message, times := range seen {
			require.Equal(t, 1, times, message)
		}
		b.balanced()
	})
}

func TestAReplayKeepsToItsSpan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.archive("news")
		began := b.store.Now()
		for i := range 10 {
			b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
			pass(time.Minute)
		}
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		s.Replay = &topics.Replay{From: began.Add(2 * time.Minute), Until: began.Add(5 * time.Minute)}
		s, err := b.Subscribe(t.Context(), owner, s)
		require.NoError(t, err)
		b.replayed(s.ID, topics.ReplayCompleted)
		b.publish(topics.Request{Topic: "news", Message: "new"})
		require.ElementsMatch(t, []string{"2", "3", "4"}, messages(b.drain("work")), "one with an end stays there")

		_, err = b.ChangeSubscription(t.Context(), owner, s.ID, func(s *topics.Subscription) error { s.Replay = nil; return nil })
		require.NoError(t, err)
		b.publish(topics.Request{Topic: "news", Message: "newer"})
		require.Equal(t, []string{"newer"}, messages(b.drain("work")))
		b.balanced()
	})
}

func messages(all []topics.Envelope) (texts []string) {
	for _, e := range all {
		texts = append(texts, e.Message)
	}
	return texts
}

func TestAReplayWaitsForItsSubscription(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.archive("news")
	began := b.store.Now()
	b.publish(topics.Request{Topic: "news", Message: "old"})
	s := b.queue("work", queue.Settings{})
	s.Topic, s.Pending = "news", true
	s = b.replays(s, began)
	b.publish(topics.Request{Topic: "news", Message: "new"})
	require.Empty(t, b.drain("work"))
	_, err := b.ChangeSubscription(t.Context(), owner, s.ID, func(s *topics.Subscription) error { s.Pending = false; return nil })
	require.NoError(t, err)
	b.replayed(s.ID, topics.ReplayCompleted)
	require.ElementsMatch(t, []string{"old", "new"}, messages(b.drain("work")))
}

// A replay that is taken away, or whose subscription goes, ends and leaves
// nothing behind.
func TestAReplayIsTakenAway(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.archive("news")
	began := b.store.Now()
	for i := range 50 {
		b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(i)})
	}
	require.NoError(t, b.pool.Pause("webhook/main", "test"))
	for i, end := range []func(s topics.Subscription) error{
		func(s topics.Subscription) error { return b.Unsubscribe(t.Context(), owner, s.ID) },
		func(s topics.Subscription) error {
			_, err := b.ChangeSubscription(t.Context(), owner, s.ID, func(s *topics.Subscription) error { s.Replay = nil; return nil })
			return err
		},
	} {
		s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: fmt.Sprintf("https://%d/", i)}, began)
		require.NoError(t, end(s))
	}
	b.until(func() bool {
		st, err := b.store.Stats("topics/replay")
		require.NoError(t, err)
		return st == queue.Stats{}
	})
	for shard := range b.store.Shards() {
		require.NoError(t, b.store.Scan(shard, []byte{'v'}, nil, func(r queue.Record) bool {
			require.Fail(t, "a place is left", "%x", r.Key)
			return false
		}))
	}
	b.balanced()
}

func TestReplaysThatCannotBe(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("plain")
	b.archive("news")
	now := b.store.Now()
	for field, s := range map[string]topics.Subscription{
		"replay": {Topic: "plain", Replay: &topics.Replay{From: now}},
		"from":   {Topic: "news", Replay: &topics.Replay{From: now.Add(-time.Hour)}},
		"until":  {Topic: "news", Replay: &topics.Replay{From: now, Until: now.Add(-time.Second)}},
	} {
		s.Protocol, s.Endpoint = topics.SMS, "+1"
		_, err := b.Subscribe(t.Context(), owner, s)
		var wrong *topics.FieldError
		require.ErrorAs(t, err, &wrong)
		require.Equal(t, field, wrong.Field)
	}
	_, err := b.CreateTopic(t.Context(), owner, topics.Topic{Name: "long", ArchiveDays: 366})
	require.ErrorIs(t, err, topics.ErrInvalid)
	require.ErrorIs(t, b.DeleteTopic(t.Context(), owner, "news"), topics.ErrState)
}
