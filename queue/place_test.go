package queue_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// TestQueueOfVersion1 is a FIFO queue made before placement was noted: its groups
// stay where they are, so that each keeps its order.
func TestQueueOfVersion1(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewMem()
	s := open(t, queue.Options{FS: fs, Shards: 8})
	_, err := s.CreateQueue(ctx, "q", queue.Settings{FIFO: true})
	require.NoError(t, err)
	require.NoError(t, s.PlaceAsVersion1("q"))
	for round := range 2 {
		for g := range 20 {
			_, err := s.Send(ctx, "q", queue.Message{Group: fmt.Sprint(g), Body: fmt.Append(nil, round)})
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
		s = open(t, queue.Options{FS: fs})
	}
	for g := range 20 {
		group, found := fmt.Sprint(g), ""
		require.NoError(t, s.Messages("q", s.ShardOf(group), 0, func(m queue.Peeked) bool {
			if m.Group == group {
				found += string(m.Body)
			}
			return true
		}))
		require.Equal(t, "01", found, group)
	}
	require.NoError(t, s.Close())
}
