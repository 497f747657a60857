// Package queuetest is the suite of behaviours that every way of running the
// queue engine passes.
package queuetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Run runs the suite. Open must open a store with the options given; those name
// an in-memory file system, so that a second open finds what the first wrote.
// Each behaviour runs in a synctest bubble: an hour's wait takes no time.
func Run(t *testing.T, open func(t *testing.T, o queue.Options) *queue.Store) {
	for _, shards := range Shards() {
		for _, group := range suite() {
			t.Run(fmt.Sprintf("%d_shards/%s", shards, group.name), func(t *testing.T) {
				for _, name := range slices.Sorted(maps.Keys(group.behaviours)) {
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							k := &kit{T: t, open: open, options: queue.Options{FS: vfs.NewMem(), Shards: shards, MemTable: 1 << 20}}
							k.Store = open(t, k.options)
							defer func() { require.NoError(t, k.Close()) }()
							group.behaviours[name](k)
						})
					})
				}
			})
		}
	}
}

type behaviours map[string]func(k *kit)

type group struct {
	name       string
	behaviours behaviours
}

func suite() []group {
	return []group{
		{"standard", standard()},
		{"leases", leases()},
		{"fair", fair()},
		{"fifo", fifo()},
		{"placement", placement()},
		{"waiting", waiting()},
		{"dead_letters", deadLetters()},
		{"moves", moves()},
		{"outbox", outbox()},
		{"queues", queues()},
		{"records", records()},
		{"store", stores()},
	}
}

// kit is a store under test and short words for what tests do with it.
type kit struct {
	*testing.T
	*queue.Store
	open    func(t *testing.T, o queue.Options) *queue.Store
	options queue.Options
}

func ctx() context.Context { return context.Background() }

// restart closes the store and opens it again.
func (k *kit) restart() {
	k.Helper()
	require.NoError(k, k.Close())
	k.Store = k.open(k.T, k.options)
}

func (k *kit) create(name string, set queue.Settings) {
	k.Helper()
	_, err := k.CreateQueue(ctx(), name, set)
	require.NoError(k, err)
}

// send sends one message a body.
func (k *kit) send(name string, bodies ...string) []queue.Sent {
	k.Helper()
	return k.sendGroup(name, "", bodies...)
}

func (k *kit) sendGroup(name, group string, bodies ...string) []queue.Sent {
	k.Helper()
	var out []queue.Sent
	for _, b := range bodies {
		out = append(out, k.put(name, queue.Message{Group: group, Body: []byte(b)}))
	}
	return out
}

func (k *kit) put(name string, m queue.Message) queue.Sent {
	k.Helper()
	sent, err := k.Send(ctx(), name, m)
	require.NoError(k, err)
	require.Len(k, sent, 1)
	return sent[0]
}

// fill sends n messages to one shard, many at once.
func (k *kit) fill(name string, shard, n int, message func(i int) queue.Message) {
	k.Helper()
	var msgs []queue.Message
	for i := range n {
		m := message(i)
		m.ID = k.NewID(shard)
		if msgs = append(msgs, m); len(msgs) == 500 || i == n-1 {
			_, err := k.Send(ctx(), name, msgs...)
			require.NoError(k, err)
			msgs = nil
		}
	}
}

func (k *kit) take(name string, max int) []queue.Received {
	k.Helper()
	return k.receive(name, queue.ReceiveOptions{Max: max})
}

func (k *kit) receive(name string, o queue.ReceiveOptions) []queue.Received {
	k.Helper()
	got, err := k.Receive(ctx(), name, o)
	require.NoError(k, err)
	return got
}

// one receives exactly one message.
func (k *kit) one(name string) queue.Received {
	k.Helper()
	got := k.take(name, 1)
	require.Len(k, got, 1)
	return got[0]
}

func (k *kit) none(name string) {
	k.Helper()
	require.Empty(k, k.take(name, 10))
}

func (k *kit) remove(name string, rs ...queue.Received) {
	k.Helper()
	for _, r := range rs {
		for _, err := range k.Delete(ctx(), name, r.Handle) {
			require.NoError(k, err)
		}
	}
}

func (k *kit) stats(name string) queue.Stats {
	k.Helper()
	st, err := k.Stats(name)
	require.NoError(k, err)
	return st
}

// counts checks ready, in flight and delayed, and that a walk agrees.
func (k *kit) counts(name string, ready, inFlight, delayed int) {
	k.Helper()
	synctest.Wait()
	st := k.stats(name)
	require.Equal(k, []int64{int64(ready), int64(inFlight), int64(delayed)}, []int64{st.Ready, st.InFlight, st.Delayed},
		"ready, in flight, delayed")
	total, flying := 0, 0
	for shard := range k.Shards() {
		require.NoError(k, k.Messages(name, shard, 0, func(m queue.Peeked) bool {
			total++
			if m.InFlight {
				flying++
			}
			return true
		}))
	}
	require.Equal(k, ready+inFlight+delayed, total, "messages seen")
	require.Equal(k, inFlight, flying, "messages seen in flight")
}

func (k *kit) commit(shard int, change func(b *queue.Batch)) uint64 {
	k.Helper()
	rev, err := k.try(shard, change)
	require.NoError(k, err)
	return rev
}

func (k *kit) try(shard int, change func(b *queue.Batch)) (uint64, error) {
	b := new(queue.Batch)
	change(b)
	return k.Commit(ctx(), shard, b)
}

// pass lets time go by, and what comes due in it happen.
func (k *kit) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func bodies(rs []queue.Received) []string {
	out := []string{}
	for _, r := range rs {
		out = append(out, string(r.Body))
	}
	return out
}

func numbered(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return out
}
