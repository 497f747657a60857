package queue_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	s := open(t, queue.Options{FS: vfs.NewMem(), Shards: 2, DiskFree: func() (uint64, uint64, error) { return 40 << 30, 100 << 30, nil }})
	before, err := s.Metrics()
	require.NoError(t, err)
	require.Equal(t, []uint64{40 << 30, 100 << 30}, []uint64{before.DiskFree, before.DiskTotal})

	const commits = 20
	var errs [commits]error
	var wg sync.WaitGroup
	for i := range commits {
		wg.Go(func() {
			b := new(queue.Batch)
			b.Put([]byte("key"), make([]byte, 1000))
			_, errs[i] = s.Commit(t.Context(), i%2, b)
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs[:]...))
	m, err := s.Metrics()
	require.NoError(t, err)
	require.EqualValues(t, commits, m.Requests-before.Requests)
	groups := m.Groups - before.Groups
	require.Positive(t, groups)
	require.LessOrEqual(t, groups, uint64(commits))
	require.Equal(t, groups, m.Sync.Count-before.Sync.Count, "each was synced")
	require.Positive(t, m.Sync.Sum)
	require.Greater(t, m.LogBytes, before.LogBytes+commits*1000)
	require.Positive(t, m.Size)
	last := uint64(0)
	for _, bound := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 5 * time.Second} {
		require.Contains(t, m.Sync.Within, bound)
		require.GreaterOrEqual(t, m.Sync.Within[bound], last, "buckets are cumulative")
		last = m.Sync.Within[bound]
	}
	require.LessOrEqual(t, last, m.Sync.Count)

	require.NoError(t, s.Close())
	_, err = s.Metrics()
	require.ErrorIs(t, err, queue.ErrClosed)
}

func TestAfterIsCalledForWhatWasCommitted(t *testing.T) {
	t.Parallel()
	s := open(t, queue.Options{FS: vfs.NewMem(), Shards: 1})
	defer s.Close()
	called := 0
	commit := func(expect uint64) error {
		b := new(queue.Batch)
		b.Expect([]byte("key"), expect)
		b.Put([]byte("key"), nil)
		b.After(func() { called++ })
		_, err := s.Commit(t.Context(), 0, b)
		return err
	}
	require.NoError(t, commit(0))
	require.Equal(t, 1, called)
	require.ErrorIs(t, commit(0), queue.ErrConflict)
	require.Equal(t, 1, called, "nothing was written")
}

// TestSyncsOfOneCaller counts what a message's life costs of the scarcest thing:
// a sync for the send and one for the delete. A lease that must be durable costs
// one more.
func TestSyncsOfOneCaller(t *testing.T) {
	t.Parallel()
	const cycles = 20
	for _, c := range []struct {
		name string
		set  queue.Settings
		most int64
	}{{"standard", queue.Settings{}, 2 * cycles}, {"fifo", queue.Settings{FIFO: true}, 3 * cycles}} {
		for _, shards := range queuetest.Shards() {
			t.Run(fmt.Sprintf("%s/%d_shards", c.name, shards), func(t *testing.T) {
				t.Parallel()
				var syncs atomic.Int64
				s := open(t, queue.Options{FS: countSyncs(&syncs), Shards: shards})
				defer func() { require.NoError(t, s.Close()) }()
				_, err := s.CreateQueue(t.Context(), "q", c.set)
				require.NoError(t, err)
				before := syncs.Load()
				for range cycles {
					_, err := s.Send(t.Context(), "q", queue.Message{})
					require.NoError(t, err)
					got, err := s.Receive(t.Context(), "q", queue.ReceiveOptions{})
					require.NoError(t, err)
					require.Len(t, got, 1)
					require.NoError(t, s.Delete(t.Context(), "q", got[0].Handle)[0])
				}
				require.LessOrEqual(t, syncs.Load()-before, c.most)
				require.GreaterOrEqual(t, syncs.Load()-before, int64(cycles), "they were counted")
			})
		}
	}
}

// countSyncs is a file system that counts the syncs of the write-ahead log.
func countSyncs(n *atomic.Int64) vfs.FS {
	return errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch op.Kind {
		case errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpFileSyncTo:
			if strings.HasSuffix(op.Path, ".log") {
				n.Add(1)
			}
		}
		return nil
	}))
}
