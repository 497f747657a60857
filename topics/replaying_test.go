package topics_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// ahead bounds how much of one replay waits in the queues; a page is that much of
// each of the two shards.
const ahead = 20 + 40/queuetest.Slowdown

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
	b := openAhead(t, vfs.NewMem(), ahead).run()
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
	b := openAhead(t, vfs.NewMem(), ahead).run()
	began := b.store.Now()
	const n = 3 * ahead
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
	b.until(func() bool { // the last outcomes are written behind their answers
		left := 0
		for shard := range b.store.Shards() {
			require.NoError(t, b.store.Counters(shard, []byte{'v'}, func([]byte, int64) bool { left++; return true }))
		}
		return left == 0
	})
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
		"ended":           {[]int{0}, time.Minute, topics.ReplayFailed},
		"ended and begun": {[]int{0, 1}, time.Minute, topics.ReplayFailed},
		"past its days":   {nil, 30 * time.Hour, topics.ReplayCompleted},
	} {
		synctest.Test(t, func(t *testing.T) {
			fs := vfs.NewMem()
			b := openAhead(t, fs, ahead).run()
			began := b.store.Now()
			const n = 3 * ahead
			b.archived("news", n)
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
			b = openAhead(t, fs, ahead)
			require.NoError(t, b.pool.Pause("webhook/main", "test"))
			b.run()
			pass(2 * time.Second)
			require.Less(t, b.archivedIn(), 4, name+": what nobody waits for is swept")
			require.NoError(t, b.pool.Resume("webhook/main"))
			s = b.replayed(s.ID, change.state)
			require.Equal(t, change.state == topics.ReplayFailed, s.Replay.Reason == "the archive was ended", name)
			b.publish(topics.Request{Topic: "news", Message: "new"})
			seen := map[string]int{}
			for seen["new"] == 0 {
				pass(time.Second)
				clear(seen)
				for _, text := range b.hook.texts() {
					seen[text]++
				}
			}
			require.Less(t, len(seen), n, name)
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

// A pause of a publish is one of what replays bring of it, until it is resumed or
// cancelled; what else they bring goes on where it can.
func TestPausedPublishesArePausedInReplays(t *testing.T) {
	t.Parallel()
	for control, came := range map[topics.Control]int{topics.Running: 1, topics.Stopped: 0} {
		synctest.Test(t, func(t *testing.T) {
			b := start(t)
			began := b.store.Now()
			b.archive("news")
			require.NoError(t, b.pool.Pause("twilio/main", "test"))
			b.subscribe("news", topics.SMS, "+1") // so that it is not complete
			id := b.publish(topics.Request{Topic: "news", Message: "paused"})
			_, err := b.SetControl(t.Context(), owner, id, topics.Paused)
			require.NoError(t, err)
			pass(time.Second)
			b.publish(topics.Request{Topic: "news", Message: "next"})
			hook := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://a/"}, began)
			b.replayed(hook.ID, topics.ReplayCompleted)
			s := b.queue("work", queue.Settings{})
			s.Topic = "news"
			s = b.replays(s, began)
			pass(3 * time.Second)
			require.Equal(t, []string{"next"}, b.hook.texts())
			require.NotContains(t, messages(b.drain("work")), "paused")
			require.Equal(t, topics.ReplayRunning, b.replayed(s.ID, topics.ReplayRunning).Replay.State, "it waits before it")
			b.balanced()

			_, err = b.SetControl(t.Context(), owner, id, control)
			require.NoError(t, err)
			b.replayed(s.ID, topics.ReplayCompleted)
			pass(3 * time.Second)
			require.Equal(t, 1+came, b.hook.count("https://a/"))
			queued := 0
			for _, text := range messages(b.drain("work")) {
				if text == "paused" {
					queued++
				}
			}
			require.Equal(t, came, queued)
			b.balanced()
		})
	}
}

// What is taken out of an archive comes by no replay, however long ago it was
// published, and what a replay did not send of it yet is cancelled.
func TestUnarchive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		began := b.store.Now()
		b.archive("news")
		b.topic("other")
		wrong := b.publish(topics.Request{Topic: "news", Message: "wrong"})
		later := b.publish(topics.Request{Topic: "news", Message: "wrong later", SendAt: began.Add(time.Minute)})
		pass(65 * time.Minute)
		_, err := b.Status(owner, later)
		require.ErrorIs(t, err, topics.ErrNotFound, "its ledger is not kept any more")
		right := b.publish(topics.Request{Topic: "news", Message: "right"})
		late := b.publish(topics.Request{Topic: "news", Message: "wrong too"})
		b.settle(late)
		for _, id := range []queue.ID{wrong, later, late} {
			require.ErrorIs(t, b.Unarchive(t.Context(), owner, "other", id), topics.ErrNotFound)
			require.NoError(t, b.Unarchive(t.Context(), owner, "news", id))
			require.ErrorIs(t, b.Unarchive(t.Context(), owner, "news", id), topics.ErrNotFound)
		}
		require.Equal(t, 1, b.archivedIn())
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		b.replayed(b.replays(s, began).ID, topics.ReplayCompleted)
		require.Equal(t, []string{"right"}, messages(b.drain("work")))

		require.NoError(t, b.pool.Pause("webhook/main", "test"))
		hook := b.replays(topics.Subscription{Topic: "news", Protocol: topics.HTTPS, Endpoint: "https://a/"}, began)
		b.replayed(hook.ID, topics.ReplayCompleted)
		require.NoError(t, b.Unarchive(t.Context(), owner, "news", right))
		require.NoError(t, b.pool.Resume("webhook/main"))
		pass(3 * time.Second)
		require.Zero(t, b.hook.count("https://a/"))
		require.Zero(t, b.archivedIn())
		b.balanced()
	})
}

// Wherever a process dies that replays, the next one brings what is missing, and
// nothing twice: of each write of a replay the disk is taken before it is durable.
func TestAReplaySurvivesAKillAtAnyWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewCrashableMem()
		var mu sync.Mutex
		var clones []*vfs.MemFS
		watched := false
		b := openAhead(t, errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			mu.Lock()
			defer mu.Unlock()
			switch op.Kind {
			case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
				if watched && strings.HasSuffix(op.Path, ".log") {
					clones = append(clones, disk.CrashClone(vfs.CrashCloneCfg{}))
				}
			default:
			}
			return nil
		})), ahead).run()
		watch := func(on bool) {
			mu.Lock()
			defer mu.Unlock()
			watched = on
		}
		const n, most = 3 * ahead, 30 / queuetest.Slowdown // two pages of a shard; disks to go on with
		began := b.store.Now()
		b.archived("news", n)
		s := b.queue("work", queue.Settings{})
		s.Topic = "news"
		watch(true)
		s = b.replays(s, began)
		var ids []queue.ID
		for i := range 4 {
			ids = append(ids, b.publish(topics.Request{Topic: "news", Message: strconv.Itoa(n + i)}))
		}
		b.replayed(s.ID, topics.ReplayCompleted)
		b.until(func() bool {
			st, err := b.store.Stats("topics/replay")
			require.NoError(t, err)
			return st == queue.Stats{}
		})
		watch(false)
		b.stop()
		require.Greater(t, len(clones), 8)
		for i := 0; i < len(clones); i += 1 + len(clones)/most {
			b := openAhead(t, clones[i], ahead).run()
			pass(time.Second)
			want := map[string]int{}
			if s, err := b.Subscription(owner, s.ID); err == nil {
				require.Equal(t, topics.ReplayCompleted, s.Replay.State, i)
				for i := range n {
					want[strconv.Itoa(i)] = 1
				}
				for i, id := range ids {
					if _, err := b.Status(owner, id); err == nil {
						want[strconv.Itoa(n+i)] = 1
					}
				}
			}
			got := map[string]int{}
			for _, text := range messages(b.drain("work")) {
				got[text]++
			}
			require.Equal(t, want, got, i)
			b.balanced()
			b.stop()
			require.NoError(t, b.store.Close())
		}
	})
}
