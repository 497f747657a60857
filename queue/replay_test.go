package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// recorder keeps every batch that is appended, by shard, in order.
type recorder struct {
	queue.Log
	mu      sync.Mutex
	batches map[int][][]byte
}

func (r *recorder) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	r.mu.Lock()
	r.batches[shard] = append(r.batches[shard], bytes.Clone(b.Repr()))
	r.mu.Unlock()
	return r.Log.Append(shard, b, durable)
}

// TestReplay shows that a shard is a function of its batches: applied to an
// empty database, each shard's alone, they give the same bytes, whatever the
// times and random values of the first run were.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		t.Run(fmt.Sprintf("%d_shards", shards), func(t *testing.T) {
			t.Parallel()
			r := &recorder{batches: map[int][][]byte{}}
			fs := vfs.NewMem()
			o := queue.Options{FS: fs, Shards: shards, MemTable: 64 << 10, Tick: 4 * time.Millisecond}
			queue.WrapLog(&o, func(l queue.Log) queue.Log { r.Log = l; return r })
			for round := range 2 { // the second time on what the first has left
				s := open(t, o)
				work(t, s, fmt.Sprint("purge", round))
				require.NoError(t, s.Close())
			}
			first := contents(t, fs, "store", nil)
			require.Greater(t, len(first), 1000)
			require.Greater(t, len(r.batches[0]), 100)
			var second [][2][]byte
			for shard := range r.batches {
				second = append(second, contents(t, vfs.NewMem(), "replayed", r.batches[shard])...)
			}
			slices.SortFunc(second, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
			require.Len(t, second, len(first))
			for i := range first {
				require.Equal(t, first[i], second[i], "key %x", first[i][0])
			}
		})
	}
}

// work uses all that a store can do.
func work(t *testing.T, s *queue.Store, purged string) {
	ctx := context.Background()
	for name, set := range map[string]queue.Settings{
		"q":      {FIFO: true, Visibility: time.Hour},
		"short":  {Visibility: 5 * time.Millisecond, MaxReceives: 2, DeadLetter: "dead"},
		"dead":   {},
		"spread": {FIFO: true, DedupPerGroup: true, Visibility: 5 * time.Millisecond, MaxReceives: 1, DeadLetter: "buried"},
		"buried": {FIFO: true},
		purged:   {},
	} {
		_, err := s.CreateQueue(ctx, name, set)
		require.NoError(t, err)
	}
	w := newWitness()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for c := range crashCallers {
		wg.Go(func() { w.load(t, s, "q", c, stop) })
	}
	const n = 60 + 140/queuetest.Slowdown
	for i := range n {
		_, err := s.Send(ctx, "short", queue.Message{Body: []byte("b"), Delay: time.Duration(i%7) * time.Millisecond})
		require.NoError(t, err)
		_, err = s.Send(ctx, "spread", queue.Message{Group: fmt.Sprint(i % 5), Body: []byte("b")})
		require.NoError(t, err)
		_, err = s.Receive(ctx, "spread", queue.ReceiveOptions{Max: 2})
		require.NoError(t, err)
		_, err = s.Send(ctx, purged, queue.Message{Body: []byte("b")})
		require.NoError(t, err)
		_, err = s.Receive(ctx, "short", queue.ReceiveOptions{Max: 3, Wait: 3 * time.Millisecond})
		require.NoError(t, err)
		if i == n/2 {
			require.NoError(t, s.Purge(ctx, purged))
		}
		b := &queue.Batch{}
		b.Put(fmt.Appendf(nil, "p%d", i), []byte("v"))
		b.Add([]byte("n"), int64(i))
		if i%50 == 49 {
			b.RemovePrefix([]byte("p1"))
		}
		forwarded := new(queue.Batch)
		forwarded.Add([]byte("forwarded"), 1)
		b.Forward((i+1)%s.Shards(), forwarded)
		_, err = s.Commit(ctx, i%s.Shards(), b)
		require.NoError(t, err)
	}
	_, err := s.StartMove(ctx, queue.Move{Source: "dead", Destination: "short"})
	require.NoError(t, err)
	_, err = s.StartMove(ctx, queue.Move{Source: "buried", Destination: "spread"})
	require.NoError(t, err)
	close(stop)
	wg.Wait()
}

// contents applies batches to a database and gives all its keys and values.
func contents(t *testing.T, fs vfs.FS, dir string, batches [][]byte) (all [][2][]byte) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, Logger: queuetest.Quiet{}})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, repr := range batches {
		b := db.NewBatch()
		require.NoError(t, b.SetRepr(repr))
		require.NoError(t, db.Apply(b, pebble.NoSync))
	}
	it, err := db.NewIter(nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		all = append(all, [2][]byte{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
	}
	return all
}
