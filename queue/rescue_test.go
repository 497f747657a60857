package queue_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// atShards runs a test in a bubble at one shard and at eight, on a store in memory.
// Blocks take thousands of keys to fill: the race detector has one shard's only.
func atShards(t *testing.T, test func(t *testing.T, o queue.Options, told *journal)) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		if queuetest.Slowdown > 1 && shards > 1 {
			continue
		}
		t.Run(fmt.Sprintf("shards=%d", shards), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var told journal
				log := slog.New(slog.NewTextHandler(&told, nil))
				test(t, queue.Options{FS: vfs.NewMem(), Shards: shards, MemTable: 16 << 20, Logger: log}, &told)
				n := strings.Count(told.String(), "store cannot read a part of a file")
				require.Contains(t, []int{1, 2}, n, "once an open")
			})
		})
	}
}

// broken closes a store, breaks a block of a table of its last shard, and opens it.
func broken(t *testing.T, s *queue.Store, o queue.Options, table byte) *queue.Store {
	t.Helper()
	require.NoError(t, s.Compact())
	require.NoError(t, s.Close())
	flipTable(t, o.FS, o.Shards-1, table)
	return open(t, o)
}

// TestCorruptTimers breaks timers: what waits, is in backoff or leased comes back
// at its time all the same, none early, over a restart too.
func TestCorruptTimers(t *testing.T) {
	atShards(t, func(t *testing.T, o queue.Options, told *journal) {
		const each, spread = 6000, 50 * time.Millisecond
		ctx := context.Background()
		s := open(t, o)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{})
		require.NoError(t, err)
		due := make(map[string]time.Time)
		start := s.Now().Add(time.Minute)
		for i := 0; i < each; i += 500 {
			msgs := make([]queue.Message, 1000)
			for j := range msgs {
				msgs[j].Body = strconv.AppendInt(nil, int64(2*i+j), 10)
				if j%2 == 0 {
					msgs[j].At = start.Add(time.Duration(i+j/2) * spread)
					due[string(msgs[j].Body)] = msgs[j].At
				}
			}
			_, err := s.Send(ctx, "q", msgs...)
			require.NoError(t, err)
			for n := 0; n < 500; {
				ends := start.Add(time.Duration(i+n) * spread)
				got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 10, Visibility: ends.Sub(s.Now())})
				require.NoError(t, err)
				for _, r := range got {
					due[string(r.Body)] = r.VisibleAt
				}
				n += len(got)
			}
		}
		s = broken(t, s, o, 't')
		pass(time.Minute)
		for seconds := 0; len(due) > 0; seconds++ {
			require.Less(t, seconds, 2*60+int(each*spread/time.Second), "%d never came", len(due))
			if seconds == 100 {
				require.NoError(t, s.Close())
				s = open(t, o)
			}
			for {
				got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 1000})
				require.NoError(t, err)
				if len(got) == 0 {
					break
				}
				hs := make([]queue.Handle, len(got))
				for i, r := range got {
					hs[i] = r.Handle
					at, ok := due[string(r.Body)]
					require.True(t, ok, "twice")
					require.False(t, s.Now().Before(at), "early by %v", at.Sub(s.Now()))
					require.WithinDuration(t, at, s.Now(), 3*time.Second)
					delete(due, string(r.Body))
				}
				for _, err := range s.Delete(ctx, "q", hs...) {
					require.NoError(t, err)
				}
			}
			pass(time.Second)
		}
		require.Contains(t, told.String(), fmt.Sprintf("first=%04x74", 1+o.Shards))
		st, err := s.Stats("q")
		require.NoError(t, err)
		require.Zero(t, st)
		require.NoError(t, s.Close())
	})
}

// TestCorruptLeases breaks leases: timers and the ready index tell as much, so
// that messages can be deleted, hidden, and expire as ever.
func TestCorruptLeases(t *testing.T) {
	atShards(t, func(t *testing.T, o queue.Options, told *journal) {
		const each = 4000
		ctx := context.Background()
		s := open(t, o)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{Visibility: 2 * time.Hour, Retention: time.Hour})
		require.NoError(t, err)
		sendMany(t, s, 0, 2*each, func(i int) string { return fmt.Sprint(i % 10) })
		got := takeAll(t, s)
		require.Len(t, got, 2*each)
		slices.SortFunc(got, func(a, b queue.Received) int { return cmp.Compare(a.Sequence, b.Sequence) })
		back := make(map[uint64]bool)
		for _, r := range got[each:] {
			require.NoError(t, s.ChangeVisibility(ctx, "q", r.Handle, 0))
			back[r.Sequence] = true
		}
		s = broken(t, s, o, 'l')
		again := takeAll(t, s)
		require.Len(t, again, each)
		for _, r := range again {
			require.True(t, back[r.Sequence], "leased already")
			require.Equal(t, 2, r.Receives)
		}
		hs := make([]queue.Handle, 0, each/2)
		for i := 0; i < each; i += 2 {
			hs = append(hs, got[i].Handle)
			require.NoError(t, s.ChangeVisibility(ctx, "q", got[i+1].Handle, time.Minute))
		}
		for _, err := range s.Delete(ctx, "q", hs...) {
			require.NoError(t, err)
		}
		for shard := range o.Shards {
			require.NoError(t, s.Messages("q", shard, 0, func(queue.Peeked) bool { return true }))
		}
		require.Contains(t, told.String(), fmt.Sprintf("first=%04x6c", 1+o.Shards))
		pass(2 * time.Minute)
		require.Len(t, takeAll(t, s), each/2)
		pass(time.Hour)
		st, err := s.Stats("q")
		require.NoError(t, err)
		require.Zero(t, st)
		require.NoError(t, s.Close())
	})
}

// TestCorruptOrphans: the leases of a process that is gone are taken over as far
// as they can be read.
func TestCorruptOrphans(t *testing.T) {
	atShards(t, func(t *testing.T, o queue.Options, _ *journal) {
		ctx := context.Background()
		s := open(t, o)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{Visibility: time.Minute})
		require.NoError(t, err)
		sendMany(t, s, 0, 8000, func(i int) string { return fmt.Sprint(i % 10) })
		require.Len(t, takeAll(t, s), 8000)
		s = broken(t, s, o, 'l')
		n := 0
		for {
			got, err := s.Orphans(ctx, "q", 1000, time.Hour)
			require.NoError(t, err)
			if len(got) == 0 {
				break
			}
			n += len(got)
		}
		require.Less(t, n, 8000)
		require.Greater(t, n, 7000)
		pass(2 * time.Minute)
		require.Len(t, takeAll(t, s), 8000-n, "the others come back at their time")
		require.NoError(t, s.Close())
	})
}

// TestCorruptLocks breaks the locks of FIFO groups: they hold all the same.
func TestCorruptLocks(t *testing.T) {
	atShards(t, func(t *testing.T, o queue.Options, _ *journal) {
		const groups = 3000
		ctx := context.Background()
		s := open(t, o)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{FIFO: true, DedupPerGroup: true, Visibility: time.Hour})
		require.NoError(t, err)
		group := func(i int) string { return fmt.Sprintf("group%05d", i%groups) }
		sendMany(t, s, 0, groups, group)
		first := takeAll(t, s)
		require.Len(t, first, groups)
		sendMany(t, s, groups, 2*groups, group)
		s = broken(t, s, o, 'k')
		require.Empty(t, takeAll(t, s), "every group is locked")
		hs := make([]queue.Handle, len(first))
		for i, r := range first {
			hs[i] = r.Handle
		}
		for _, err := range s.Delete(ctx, "q", hs...) {
			require.NoError(t, err)
		}
		require.Len(t, takeAll(t, s), groups)
		require.NoError(t, s.Close())
	})
}

// TestCorruptDeduplication breaks deduplication ids: a send that needs one is
// refused and told why, until the ids are over.
func TestCorruptDeduplication(t *testing.T) {
	atShards(t, func(t *testing.T, o queue.Options, _ *journal) {
		ctx := context.Background()
		s := open(t, o)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{FIFO: true, DedupPerGroup: true})
		require.NoError(t, err)
		group := func(i int) string { return fmt.Sprint(i % 100) }
		sendMany(t, s, 0, 8000, group)
		s = broken(t, s, o, 'e')
		const step = min(queuetest.Slowdown, 8)
		send := func() (failed int) {
			for i := 0; i < 8000; i += step {
				sent, err := s.Send(ctx, "q", queue.Message{Group: group(i), DedupID: fmt.Sprint(i)})
				if err == nil {
					require.True(t, sent[0].Duplicate)
					continue
				}
				require.ErrorIs(t, err, queue.ErrUnreadable)
				require.ErrorContains(t, err, "send with another, or again in 10m0s")
				failed++
			}
			return failed
		}
		failed := send()
		require.Positive(t, failed)
		require.Less(t, failed*step, 1000)
		pass(11 * time.Minute)
		for i := 0; i < 8000; i += step {
			_, err := s.Send(ctx, "q", queue.Message{Group: group(i), DedupID: fmt.Sprint(i)})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
		s = open(t, o)
		require.NoError(t, s.Close())
	})
}

// sendMany sends messages to queue q; the deduplication id is the number.
func sendMany(t *testing.T, s *queue.Store, from, to int, group func(i int) string) {
	t.Helper()
	for i := from; i < to; i += 500 {
		msgs := make([]queue.Message, 500)
		for j := range msgs {
			msgs[j] = queue.Message{Group: group(i + j), DedupID: fmt.Sprint(i + j)}
		}
		_, err := s.Send(context.Background(), "q", msgs...)
		require.NoError(t, err)
	}
}

// takeAll receives until queue q gives none.
func takeAll(t *testing.T, s *queue.Store) (all []queue.Received) {
	t.Helper()
	for {
		got, err := s.Receive(context.Background(), "q", queue.ReceiveOptions{Max: 1000})
		require.NoError(t, err)
		if len(got) == 0 {
			return all
		}
		all = append(all, got...)
	}
}
