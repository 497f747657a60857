package queue_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// TestTake takes messages from the middle of a queue, visible ones and those
// that wait: nobody else gets them, the others stay as they are.
func TestTake(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		t.Run(fmt.Sprintf("%d_shards", shards), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { takeSome(t, shards) })
		})
	}
}

func takeSome(t *testing.T, shards int) {
	ctx := context.Background()
	o := queue.Options{FS: vfs.NewMem(), Shards: shards}
	queue.SmallMemory(&o)
	s := open(t, o)
	defer func() { require.NoError(t, s.Close()) }()
	for _, name := range []string{"q", "q.fifo"} {
		_, err := s.CreateQueue(ctx, name, queue.Settings{Visibility: time.Minute, FIFO: name == "q.fifo"})
		require.NoError(t, err)
	}
	const n = 100
	for i := range n {
		m := queue.Message{ID: s.NewID(shards - 1), Group: fmt.Sprint(i % 7), Body: fmt.Appendf(nil, "%d", i)}
		if i%4 == 1 {
			m.At = s.Now().Add(time.Hour)
		}
		_, err := s.Send(ctx, "q", m)
		require.NoError(t, err)
	}
	pass(time.Second)
	early, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 4})
	require.NoError(t, err)
	retried := early[0] // waits after a lease
	b := &queue.Batch{}
	b.Retry(retried.Handle, s.Now().Add(30*time.Minute), false)
	_, err = s.Commit(ctx, shards-1, b)
	require.NoError(t, err)
	others := map[string]bool{string(early[1].Body): true, string(early[2].Body): true, string(early[3].Body): true}

	var positions []uint64
	want := map[string]bool{}
	require.NoError(t, s.Messages("q", shards-1, 0, func(m queue.Peeked) bool {
		if m.InFlight || len(positions)%2 == 0 || string(m.Body) == string(retried.Body) {
			positions = append(positions, m.Position) // those that are leased too
			if !m.InFlight {
				want[string(m.Body)] = true
			}
		} else {
			positions = append(positions, 1<<60) // no message is there
			others[string(m.Body)] = true
		}
		return true
	}))
	got, err := s.Take(ctx, "q", shards-1, positions[:min(len(positions), queue.MaxBatch)], time.Minute)
	require.NoError(t, err)
	taken := map[string]bool{}
	for _, r := range got {
		taken[string(r.Body)] = true
		require.Equal(t, s.Now().Add(time.Minute), r.VisibleAt)
	}
	require.Equal(t, want, taken)
	for _, err := range s.Delete(ctx, "q", got[0].Handle) {
		require.NoError(t, err)
	}
	delete(want, string(got[0].Body))
	require.Empty(t, s.Recount())

	// The leases end as others do.
	pass(2 * time.Hour)
	for len(want)+len(others) > 0 {
		got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 10, Visibility: time.Hour})
		require.NoError(t, err)
		require.NotEmpty(t, got)
		for _, r := range got {
			require.NotEqual(t, want[string(r.Body)], others[string(r.Body)], "once each")
			delete(want, string(r.Body))
			delete(others, string(r.Body))
		}
	}
	require.Empty(t, s.Recount())

	_, err = s.Take(ctx, "q.fifo", 0, []uint64{1}, time.Minute)
	require.ErrorIs(t, err, queue.ErrInvalid)
	_, err = s.Take(ctx, "q", shards, []uint64{1}, time.Minute)
	require.ErrorIs(t, err, queue.ErrInvalid)
	_, err = s.Take(ctx, "nope", 0, []uint64{1}, time.Minute)
	require.ErrorIs(t, err, queue.ErrNotFound)
}
