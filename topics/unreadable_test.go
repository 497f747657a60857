package topics_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// TestWhatCannotBeReadEndsNothing: a broken block in a table of records is told,
// and what else there is goes on.
func TestWhatCannotBeReadEndsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  func(id queue.ID) []byte
		told []string // which work cannot go on
	}{
		"open publishes":  {func(id queue.ID) []byte { return append([]byte{'o'}, id.Prefix()...) }, []string{"completion", "audit"}},
		"held deliveries": {func(id queue.ID) []byte { return append([]byte{'h'}, id[:]...) }, []string{"release", "audit"}},
		"an archive":      {func(id queue.ID) []byte { return append([]byte("z0/local/x\x00"), id.Prefix()...) }, []string{"archives"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			breakRecords(t, fs, c.key)
			b := open(t, fs)
			b.AuditEvery(time.Millisecond)
			ctx, cancel := context.WithCancel(t.Context())
			var work errgroup.Group
			work.Go(func() error { return b.Run(ctx) })
			work.Go(func() error { return b.pool.Run(ctx) })
			for _, told := range c.told {
				b.until(func() bool { return b.log.unreadable(told) })
			}
			for range 4 { // in every shard
				id := b.publish(topics.Request{To: to("+1"), Message: "x"})
				require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
			}
			cancel()
			require.NoError(t, work.Wait())
			require.NoError(t, b.store.Close())
		})
	}
}

// unreadable tells whether some work told that it met what cannot be read.
func (j *journal) unreadable(work string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.ContainsFunc(j.lines, func(line map[string]any) bool {
		err, _ := line["error"].(error)
		return line["work"] == work && errors.Is(err, queue.ErrUnreadable)
	})
}

// breakRecords makes a store with one table of records in one shard, and breaks a
// byte in its middle.
func breakRecords(t *testing.T, fs vfs.FS, key func(id queue.ID) []byte) {
	t.Helper()
	s, err := queue.Open("store", queue.Options{FS: fs, Shards: 2, MemTable: 64 << 10})
	require.NoError(t, err)
	random, c := rand.NewChaCha8([32]byte{}), &queue.Batch{}
	for range 60 {
		value := make([]byte, 2<<10)
		_, _ = random.Read(value)
		c.Put(key(s.NewID(0)), value)
	}
	_, err = s.Commit(t.Context(), 0, c) // more than memory may hold: one flush
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		m, err := s.Metrics()
		return err == nil && m.L0Files >= 1
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	names, err := fs.List("store")
	require.NoError(t, err)
	for _, n := range names {
		if strings.HasSuffix(n, ".sst") {
			breakFile(t, fs, fs.PathJoin("store", n))
		}
	}
}

// breakFile changes a byte in the middle of a file of much data.
func breakFile(t *testing.T, fs vfs.FS, name string) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	if len(b) > 60<<10 {
		b[len(b)/2] ^= 0xff
		_, err = f.WriteAt(b, 0)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}
