package topics_test

import (
	"encoding/json"
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

// ahead is how much of one replay may wait in a bench's queues.
const ahead = 500

// archived publishes n messages to a topic that is made with an archive; their
// texts are 0, 1, ….
func (b *bench) archived(topic string, n int) {
	b.t.Helper()
	b.archive(topic)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { b.publish(topics.Request{Topic: topic, Message: strconv.Itoa(i)}) })
	}
	wg.Wait()
}

// A host that takes nothing, with more before it than a replay may send, holds
// up no replay of its account.
func TestABlockedHostHoldsUpNoReplay(t *testing.T) {
	t.Parallel()
	b := start(t)
	began := b.store.Now()
	const n = 100
	b.archived("news", n)
	free := make(chan struct{})
	t.Cleanup(func() { close(free) })
	b.hook.script(func(d channels.Delivery) (channels.Receipt, error) {
		if d.Endpoint == "https://blocked/" {
			<-free
		}
		return channels.Receipt{Delivered: true}, nil
	})
	var wg sync.WaitGroup
	for range ahead + 50 {
		wg.Go(func() {
			b.publish(topics.Request{To: &topics.Target{Protocol: topics.HTTPS, Endpoint: "https://blocked/"}, Message: "x"})
		})
	}
	wg.Wait()
	s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://fast/"}, began)
	b.replayed(s.ID, topics.ReplayCompleted)
	b.until(func() bool { return b.hook.count("https://fast/") == n })
}

// However much a replay has to bring, no more than its room waits in the queues;
// asking for it again makes no more room.
func TestAReplayKeepsToItsRoom(t *testing.T) {
	t.Parallel()
	b := start(t)
	began := b.store.Now()
	const n = 2 * ahead
	b.archived("news", n)
	require.NoError(t, b.pool.Pause("webhook/main", "test"))
	s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://a/"}, began)
	waiting := func() int64 {
		depth, err := b.Depth("webhook/main")
		require.NoError(t, err)
		return depth[channels.Transactional].Ready
	}
	b.until(func() bool { return waiting() >= ahead })
	require.Less(t, waiting(), int64(n))
	_, err := b.ChangeSubscription(t.Context(), owner, s.ID, func(s *topics.Subscription) error {
		s.Replay = &topics.Replay{From: began}
		return nil
	})
	require.NoError(t, err)
	b.replayed(s.ID, topics.ReplayRunning)
	first := waiting()
	b.balanced()
	require.NoError(t, b.pool.Resume("webhook/main"))
	b.replayed(s.ID, topics.ReplayCompleted)
	b.until(func() bool { return waiting() == 0 && int64(b.hook.count("https://a/")) >= n+first })
	require.Equal(t, n+int(first), b.hook.count("https://a/"), "what was sent before it was asked for again, and all of it")
	b.balanced()
	for shard := range b.store.Shards() {
		require.NoError(t, b.store.Counters(shard, []byte{'v'}, func([]byte, int64) bool {
			require.Fail(t, "a counter is left")
			return false
		}))
	}
}

// A publish that takes long holds up the replays of its own topic only, and no
// other topic's publishes.
func TestArchivesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	b := start(t)
	began := b.store.Now()
	b.archived("slow", 1)
	b.archived("quick", 1)
	var once sync.Once
	stuck, free := make(chan struct{}), make(chan struct{})
	b.stuck = func() {
		once.Do(func() { close(stuck); <-free })
	}
	s := b.queue("first", queue.Settings{})
	s.Topic, s.Face = "slow", "stuck"
	_, err := b.Subscribe(t.Context(), owner, s)
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() { b.publish(topics.Request{Topic: "slow", Message: "1"}) })
	<-stuck
	s = b.queue("second", queue.Settings{})
	s.Topic = "slow"
	slow := b.replays(s, began)
	b.replayed(slow.ID, topics.ReplayRunning)

	for i := range 20 / queuetest.Slowdown {
		b.publish(topics.Request{Topic: "quick", Message: strconv.Itoa(i)})
	}
	require.Empty(t, b.drain("second"))
	close(free)
	wg.Wait()
	b.replayed(slow.ID, topics.ReplayCompleted)
	require.ElementsMatch(t, []string{"0", "1"}, messages(b.drain("second")))
}

// When an archive is ended, or kept shorter than a replay takes, the replay still
// brings what it withheld from the subscription: nothing else would.
func TestAnEndedArchiveLosesNothingWithheld(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		days  []int
		sleep time.Duration
		state topics.ReplayState
	}{
		"ended":           {[]int{0}, time.Hour, topics.ReplayFailed},
		"ended and begun": {[]int{0, 1}, time.Hour, topics.ReplayFailed},
		"past its days":   {nil, 30 * time.Hour, topics.ReplayCompleted},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			b := open(t, fs).run()
			began := b.store.Now()
			b.archived("news", 2*ahead)
			pass(time.Second)
			require.NoError(t, b.pool.Pause("webhook/main", "test"))
			s := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://a/"}, began)
			b.replayed(s.ID, topics.ReplayRunning)
			pass(time.Second)
			b.publish(topics.Request{Topic: "news", Message: "withheld"})
			for _, days := range change.days {
				_, err := b.ChangeTopic(t.Context(), owner, "news", func(topic *topics.Topic) error { topic.ArchiveDays = days; return nil })
				require.NoError(t, err)
			}
			b.publish(topics.Request{Topic: "news", Message: "after"})
			b.stop()
			require.NoError(t, b.store.Close())
			pass(change.sleep)
			b = open(t, fs)
			require.NoError(t, b.pool.Pause("webhook/main", "test"))
			b.run()
			pass(2 * time.Minute)
			require.Less(t, b.archivedIn(), 4, name+": what nobody waits for is swept")
			require.NoError(t, b.pool.Resume("webhook/main"))
			s = b.replayed(s.ID, change.state)
			require.Equal(t, change.state == topics.ReplayFailed, s.Replay.Reason == "the archive was ended", name)
			b.publish(topics.Request{Topic: "news", Message: "new"})
			pass(time.Minute)
			seen := map[string]int{}
			for _, text := range b.hook.texts() {
				seen[text]++
			}
			require.Less(t, len(seen), 2*ahead, name)
			for text, times := range seen {
				require.Equal(t, 1, times, "%s: %s", name, text)
			}
			for _, text := range []string{"withheld", "after", "new"} {
				require.Contains(t, seen, text, name)
			}
			b.balanced()
		})
	}
}

// texts are the messages that came, in the native envelope.
func (p *provider) texts() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.got {
		var e topics.Envelope
		_ = json.Unmarshal(d.Content.Payload, &e) // not of a person's
		all = append(all, e.Message)
	}
	return all
}
