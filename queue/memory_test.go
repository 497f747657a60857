package queue_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Blocks have the cache's size, whatever Pebble takes out of it for memtables:
// two as large as the cache would leave nothing, and while they are small blocks
// have no more.
func TestCache(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	ctx, dir, o := context.Background(), t.TempDir(), queue.Options{Shards: 1, Cache: size, MemTable: size}
	body := make([]byte, 64<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(body)
	s, err := queue.Open(dir, o)
	require.NoError(t, err)
	for _, name := range []string{"grown", "small"} {
		_, err := s.CreateQueue(ctx, name, queue.Settings{Visibility: time.Hour})
		require.NoError(t, err)
		for range 4 * size / len(body) {
			_, err := s.Send(ctx, name, queue.Message{Body: body})
			require.NoError(t, err)
		}
	}
	readAll := func(name string) {
		for range 4 * size / len(body) {
			_, err := s.Receive(ctx, name, queue.ReceiveOptions{})
			require.NoError(t, err)
		}
	}
	fits := func() bool { return s.Cached() > size/2 && s.Cached() < size+int64(len(body)) }
	require.NoError(t, s.Compact()) // later, it would take the blocks that were read
	readAll("grown")
	// Soon after a flush.
	require.Eventually(t, fits, 10*time.Second, time.Millisecond)
	require.NoError(t, s.Close())
	s, err = queue.Open(dir, o)
	require.NoError(t, err)
	readAll("small")
	require.True(t, fits(), "%d bytes of %d", s.Cached(), size)
	require.NoError(t, s.Close())
}
