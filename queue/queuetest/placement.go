package queuetest

import (
	"fmt"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// placement is in which shard FIFO queues lie, and how messages get there.
func placement() behaviours {
	all := behaviours{}
	for _, part := range []behaviours{placed(), betweenPlaces()} {
		for name, fn := range part {
			all[name] = fn
		}
	}
	return all
}

// spread are groups of many shards, if there are many.
func (k *kit) spread() []string {
	groups := numbered("g", 16)
	seen := map[int]bool{}
	for _, g := range groups {
		seen[k.ShardOf(g)] = true
	}
	require.GreaterOrEqual(k, len(seen), min(k.Shards(), 4))
	return groups
}

// lies checks that all messages of a queue lie where they belong.
func (k *kit) lies(name string, perGroup bool) {
	k.Helper()
	for shard := range k.Shards() {
		require.NoError(k, k.Messages(name, shard, 0, func(m queue.Peeked) bool {
			require.Equal(k, k.FIFOShard(m.Group, perGroup), shard, m.Group)
			return true
		}))
	}
}

func placed() behaviours {
	return behaviours{
		"a deduplication id counts in all groups": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true, ContentDedup: true})
			groups := k.spread()
			first := k.put("q", queue.Message{Group: groups[0], DedupID: "1", Body: []byte("a")})
			k.put("q", queue.Message{Group: groups[0], Body: []byte("content")})
			for i, g := range groups {
				again := k.put("q", queue.Message{Group: g, DedupID: "1", Body: []byte("b")})
				require.True(k, again.Duplicate, g)
				require.Equal(k, []any{first.ID, first.Sequence}, []any{again.ID, again.Sequence})
				require.True(k, k.put("q", queue.Message{Group: g, Body: []byte("content")}).Duplicate, g)
				if i == len(groups)/2 {
					k.restart()
				}
			}
			k.counts("q", 2, 0, 0)
		},
		"deduplication per group spreads the groups, any other queue is whole": func(k *kit) {
			k.create("whole", queue.Settings{FIFO: true})
			k.create("spread", queue.Settings{FIFO: true, DedupPerGroup: true})
			for _, name := range []string{"whole", "spread"} {
				for _, g := range k.spread() {
					k.sendGroup(name, g, "m")
				}
				k.lies(name, name == "spread")
			}
		},
		"placement stays when the scope of deduplication changes": func(k *kit) {
			for _, perGroup := range []bool{false, true} {
				name := fmt.Sprint(perGroup)
				k.create(name, queue.Settings{FIFO: true, DedupPerGroup: perGroup})
				for _, g := range k.spread() {
					k.put(name, queue.Message{Group: g, DedupID: g, Body: []byte("1")})
				}
				require.NoError(k, k.ConfigureQueue(ctx(), name, queue.Settings{FIFO: true, DedupPerGroup: !perGroup}))
				k.restart()
				for _, g := range k.spread() {
					k.put(name, queue.Message{Group: g, DedupID: g, Body: []byte("2")})
				}
				k.lies(name, perGroup)
				order := map[string]string{}
				for _, r := range k.take(name, 1000) {
					order[r.Group] += string(r.Body)
				}
				for _, g := range k.spread() {
					require.Equal(k, "12", order[g], "ids of another scope are other ids")
				}
			}
		},
		"a batch's message goes to the shard it belongs to": func(k *kit) {
			k.create("whole", queue.Settings{FIFO: true})
			k.create("spread", queue.Settings{FIFO: true, DedupPerGroup: true})
			ids := map[queue.ID]bool{}
			for shard := queue.Registry; shard < k.Shards(); shard++ {
				for _, g := range k.spread() {
					b := new(queue.Batch)
					for _, name := range []string{"whole", "spread"} {
						id := k.NewID(max(shard, 0))
						ids[id] = true
						b.Send(name, queue.Message{ID: id, Group: g, DedupID: g, Body: []byte(g)})
					}
					_, err := k.CommitApplied(ctx(), shard, b)
					require.NoError(k, err)
				}
			}
			for _, name := range []string{"whole", "spread"} {
				k.lies(name, name == "spread")
				k.counts(name, len(k.spread()), 0, 0)
				for _, r := range k.take(name, 100) {
					require.True(k, ids[r.ID])
				}
			}
		},
		"a batch that is refused sends nothing to another shard": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			for shard := range k.Shards() {
				_, err := k.try(shard, func(b *queue.Batch) {
					b.Send("q", queue.Message{Group: "g"})
					b.Expect([]byte("missing"), 7)
				})
				require.ErrorIs(k, err, queue.ErrConflict)
			}
			k.counts("q", 0, 0, 0)
		},
		"changes forwarded to a shard send to queues of that shard": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			right := k.FIFOShard("g", false)
			for shard := range k.Shards() {
				changes := new(queue.Batch)
				changes.Send("q", queue.Message{Group: "g"})
				_, err := k.try(queue.Registry, func(b *queue.Batch) { b.Forward(shard, changes) })
				if shard != right {
					require.ErrorIs(k, err, queue.ErrInvalid)
					continue
				}
				require.NoError(k, err)
			}
			k.counts("q", 1, 0, 0)
		},
	}
}

// places are two queues' settings, of which one lies whole and the other spread.
func places() [][2]queue.Settings {
	whole := queue.Settings{FIFO: true, Visibility: time.Minute}
	spread := queue.Settings{FIFO: true, DedupPerGroup: true, Visibility: time.Minute}
	return [][2]queue.Settings{{whole, spread}, {spread, whole}}
}

func betweenPlaces() behaviours {
	return behaviours{
		"a dead letter goes to a queue of another placement": func(k *kit) {
			for i, set := range places() {
				q, dead := fmt.Sprint("q", i), fmt.Sprint("dead", i)
				set[0].MaxReceives, set[0].DeadLetter = 1, dead
				k.create(dead, set[1])
				k.create(q, set[0])
				sent := map[queue.ID]bool{}
				at := k.Now()
				for _, g := range k.spread() {
					for _, s := range k.sendGroup(q, g, "1", "2", "3") {
						sent[s.ID] = true
					}
				}
				require.Len(k, k.take(q, 1000), 48)
				k.pass(time.Minute)
				k.counts(q, 0, 0, 0)
				k.counts(dead, 48, 0, 0)
				k.lies(dead, set[1].DedupPerGroup)
				k.restart()
				order := map[string]string{}
				for _, r := range k.take(dead, 1000) {
					require.True(k, sent[r.ID])
					require.Equal(k, []any{q, at, r.ID.String(), 2}, []any{r.SourceQueue, r.SentAt, r.DedupID, r.Receives})
					order[r.Group] += string(r.Body)
				}
				for _, g := range k.spread() {
					require.Equal(k, "123", order[g])
				}
			}
		},
		"a last retry goes to a queue of another placement": func(k *kit) {
			for i, set := range places() {
				q, dead := fmt.Sprint("q", i), fmt.Sprint("dead", i)
				set[0].MaxReceives, set[0].DeadLetter = 1, dead
				k.create(dead, set[1])
				k.create(q, set[0])
				for _, g := range k.spread() {
					k.bury(q, g, "m")
				}
				k.counts(dead, 16, 0, 0)
			}
		},
		"a move goes to a queue of another placement, and back to the source": func(k *kit) {
			for i, set := range places() {
				q, dead := fmt.Sprint("q", i), fmt.Sprint("dead", i)
				set[0].MaxReceives, set[0].DeadLetter, set[0].Delay = 1, dead, time.Hour
				k.create(dead, set[1])
				k.create(q, set[0])
				for _, g := range k.spread() {
					for _, body := range []string{"1", "2", "3"} {
						k.put(q, queue.Message{Group: g, Body: []byte(body), Delay: -1})
					}
				}
				m := k.move(queue.Move{Source: q, Destination: dead})
				require.EqualValues(k, 48, m.Moved)
				k.counts(q, 0, 0, 0)
				k.lies(dead, set[1].DedupPerGroup)
				m = k.move(queue.Move{Source: dead, Destination: q})
				require.EqualValues(k, 48, m.Moved)
				k.counts(q, 0, 0, 48) // the queue's delay
				k.lies(q, set[0].DedupPerGroup)
				k.pass(time.Hour)
				order := map[string]string{}
				for _, r := range k.take(q, 1000) {
					require.Equal(k, r.ID.String(), r.DedupID)
					order[r.Group] += string(r.Body)
				}
				for _, g := range k.spread() {
					require.Equal(k, "123", order[g])
				}
				k.pass(time.Minute)
				k.counts(dead, 48, 0, 0)
				require.EqualValues(k, 48, k.move(queue.Move{Source: dead}).Moved, "dead letters know where they are from")
				k.counts(q, 0, 0, 48)
			}
		},
		"a move has ended when all it moved can be received": func(k *kit) {
			for i, set := range places() {
				from, to := fmt.Sprint("from", i), fmt.Sprint("to", i)
				k.create(from, set[0])
				k.create(to, set[1])
				for _, g := range k.spread() {
					k.sendGroup(from, g, numbered("m", 30)...)
				}
				_, err := k.StartMove(ctx(), queue.Move{Source: from, Destination: to, Rate: 100})
				require.NoError(k, err)
				for k.latest(from).Phase == queue.MoveRunning {
					moved := k.latest(from).Moved
					k.pass(10 * time.Millisecond)
					require.GreaterOrEqual(k, k.stats(to).Ready, moved)
				}
				require.EqualValues(k, 480, k.stats(to).Ready)
			}
		},
		"a queue deleted meanwhile gets nothing, and nobody is held up": func(k *kit) {
			for i, set := range places() {
				q, dead := fmt.Sprint("q", i), fmt.Sprint("dead", i)
				set[0].MaxReceives, set[0].DeadLetter = 1, dead
				k.create(dead, set[1])
				k.create(q, set[0])
				for _, g := range k.spread() {
					k.sendGroup(q, g, "1")
				}
				for _, r := range k.take(q, 100) {
					b := new(queue.Batch)
					b.Retry(r.Handle, time.Time{}, false)
					b.After(func() { _ = k.DeleteQueue(ctx(), dead) }) // with the first
					_, err := k.Commit(ctx(), r.Handle.Shard(), b)
					require.NoError(k, err)
				}
				synctest.Wait()
				k.counts(q, 15, 0, 0)
				k.create(dead, set[1])
				k.take(q, 100)
				k.pass(time.Minute)
				k.counts(q, 0, 0, 0)
				require.GreaterOrEqual(k, k.stats(dead).Ready, int64(15))
			}
		},
	}
}
