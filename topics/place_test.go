package topics_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// placements are FIFO queues whose groups are together, and spread.
func (b *bench) placements() map[string]topics.Subscription {
	return map[string]topics.Subscription{
		"whole.fifo":  b.queue("whole.fifo", queue.Settings{FIFO: true}),
		"spread.fifo": b.queue("spread.fifo", queue.Settings{FIFO: true, DedupPerGroup: true}),
	}
}

// groups are of both shards.
func (b *bench) groups() (all []string) {
	seen := map[int]bool{}
	for i := range 8 {
		all = append(all, fmt.Sprint("g", i))
		seen[b.store.ShardOf(all[i])] = true
	}
	require.Len(b.t, seen, b.store.Shards())
	return all
}

func TestAFIFOTopicKnowsItsIDsInAllGroups(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs).run()
	b.topic("orders.fifo")
	s := b.placements()["whole.fifo"]
	s.Topic = "orders.fifo"
	_, err := b.Subscribe(t.Context(), owner, s)
	require.NoError(t, err)
	first := map[string]queue.ID{}
	for round := range 2 {
		for _, g := range b.groups() {
			for _, perGroup := range []bool{false, true} {
				scope := ""
				if perGroup {
					scope = g
				}
				p, replayed, err := b.Publish(t.Context(), topics.Request{
					Owner: owner, Topic: "orders.fifo", Message: g, Group: g, DedupID: fmt.Sprint("d", perGroup), DedupPerGroup: perGroup,
				})
				require.NoError(t, err)
				_, known := first[scope]
				require.Equal(t, known, replayed, "%d %s %v", round, g, perGroup)
				if !known {
					first[scope] = p.ID
				}
				require.Equal(t, first[scope], p.ID)
			}
		}
		b.stop()
		require.NoError(t, b.store.Close())
		b = open(t, fs).run()
	}
	require.Len(t, first, 1+len(b.groups()))
	require.Len(t, b.drain("whole.fifo"), 2, "the queue knows an id in all groups, whatever the topic does")
}

// A copy for a FIFO queue is there when the publish is answered, in order,
// wherever the publish and the queue lie.
func TestAPublishCanBeReceivedFromFIFOQueues(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, topic := range []string{"standard", "orders.fifo"} {
		b.topic(topic)
	}
	for _, s := range b.placements() {
		for _, topic := range []string{"standard", "orders.fifo"} {
			s.Topic = topic
			_, err := b.Subscribe(t.Context(), owner, s)
			require.NoError(t, err)
		}
	}
	n := 0
	for _, r := range []topics.Request{
		{Topic: "standard"}, {Topic: "standard", IdempotencyKey: "key"}, {Topic: "orders.fifo", DedupID: "whole"},
		{Topic: "orders.fifo", DedupID: "spread", DedupPerGroup: true},
		{To: &topics.Target{Protocol: topics.SQS, Endpoint: "whole.fifo"}}, {To: &topics.Target{Protocol: topics.SQS, Endpoint: "spread.fifo"}},
	} {
		for _, r.Group = range append(b.groups(), "") {
			again := r
			for range 3 {
				n++
				again.Message = strconv.Itoa(n)
				if r.IdempotencyKey != "" {
					again.IdempotencyKey = again.Message
				}
				if r.DedupID != "" {
					again.DedupID = again.Message
				}
				b.publish(again)
			}
			for name := range b.placements() {
				if r.To != nil && r.To.Endpoint != name {
					continue
				}
				got := b.drain(name)
				require.Len(t, got, 3, "%+v in %s", r, name)
				for i, e := range got {
					require.Equal(t, strconv.Itoa(n-2+i), e.Message)
				}
			}
		}
	}
	b.balanced()
}

func TestAFailureGoesToAFIFOQueueOfAnotherShard(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	for name := range b.placements() {
		s := b.queue("gone-"+name, queue.Settings{FIFO: true})
		s.DeadLetterQueue = topics.QueueName(owner, name)
		b.mourned(s)
		require.NoError(t, b.store.DeleteQueue(t.Context(), topics.QueueName(owner, s.Endpoint)))
	}
	groups := append(b.groups(), "")
	for _, g := range groups {
		for range 2 {
			id := b.publish(topics.Request{Topic: "alerts", Message: "m", Group: g})
			require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(id))
		}
	}
	for name := range b.placements() {
		got := map[string]int{}
		all, err := b.store.Receive(t.Context(), topics.QueueName(owner, name), queue.ReceiveOptions{Max: 100})
		require.NoError(t, err)
		for _, m := range all {
			got[m.Group]++
		}
		require.Len(t, got, len(groups), name)
		for g, n := range got {
			require.Equal(t, 2, n, g)
		}
	}
}

// TestAKillLosesNoCopy: wherever the process dies, each publish that was
// answered is in the FIFO queue of another shard once, in the order of its group.
func TestAKillLosesNoCopy(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	b := open(t, fs).run()
	b.topic("orders.fifo")
	for _, s := range b.placements() {
		s.Topic = "orders.fifo"
		_, err := b.Subscribe(t.Context(), owner, s)
		require.NoError(t, err)
	}
	type clone struct {
		fs       *vfs.MemFS
		group    string
		answered int
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var clones []clone
	const each = 3 + 3/queuetest.Slowdown
	for _, perGroup := range []bool{false, true} {
		for _, g := range b.groups()[:4] {
			wg.Go(func() {
				group := fmt.Sprint(g, perGroup)
				for i := range each {
					b.publish(topics.Request{Topic: "orders.fifo", Message: strconv.Itoa(i), Group: group, DedupID: fmt.Sprint(group, i), DedupPerGroup: perGroup})
					mu.Lock()
					clones = append(clones, clone{fs.CrashClone(vfs.CrashCloneCfg{}), group, i + 1})
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for _, c := range clones {
		b := open(t, c.fs)
		published := 0
		for shard := range b.store.Shards() {
			require.NoError(t, b.store.Scan(shard, []byte("i"), nil, func(queue.Record) bool { published++; return true }))
		}
		for _, name := range []string{"whole.fifo", "spread.fifo"} {
			got := map[string]int{}
			n := 0
			b.until(func() bool {
				for _, m := range b.messages(topics.QueueName(owner, name)) {
					require.Contains(t, string(m.Body), fmt.Sprintf(`"message":"%d"`, got[m.Group]), m.Group)
					got[m.Group]++
					n++
					require.NoError(t, b.store.Delete(t.Context(), m.Queue, m.Handle)[0])
				}
				return n >= published
			})
			require.Empty(t, b.messages(topics.QueueName(owner, name)))
			require.Equal(t, published, n)
			require.GreaterOrEqual(t, got[c.group], c.answered, c.group)
		}
		require.NoError(t, b.store.Close())
	}
}
