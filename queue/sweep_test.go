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

// TestMessagesThatStayBehind has a few messages stay while all others are sent
// and deleted: the store knows where there are none, and finds those that stayed
// and those that come later, before and after a restart.
func TestMessagesThatStayBehind(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		t.Run(fmt.Sprintf("%d_shards", shards), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { stayBehind(t, shards) })
		})
	}
}

func stayBehind(t *testing.T, shards int) {
	ctx := context.Background()
	o := queue.Options{FS: vfs.NewMem(), Shards: shards}
	queue.SmallMemory(&o)
	s := open(t, o)
	_, err := s.CreateQueue(ctx, "q", queue.Settings{Visibility: time.Hour})
	require.NoError(t, err)
	staying := map[string]bool{}
	for round := range 3 {
		for i := range 60 {
			_, err := s.Send(ctx, "q", queue.Message{ID: s.NewID(i % shards), Body: fmt.Appendf(nil, "%d/%d", round, i)})
			require.NoError(t, err)
		}
		pass(time.Second)
		got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 60})
		require.NoError(t, err)
		require.Len(t, got, 60)
		var hs []queue.Handle
		for _, r := range got {
			if string(r.Body) == fmt.Sprintf("%d/0", round) || string(r.Body) == fmt.Sprintf("%d/32", round) {
				staying[string(r.Body)] = true
				continue
			}
			hs = append(hs, r.Handle)
		}
		for _, err := range s.Delete(ctx, "q", hs...) {
			require.NoError(t, err)
		}
		pass(2 * time.Second)
		require.Equal(t, 2+2*round, s.Gaps("q", 0), "stretches without a message")
	}
	for i := range 5 {
		_, err := s.Send(ctx, "q", queue.Message{ID: s.NewID(0), Body: fmt.Append(nil, "late", i)})
		require.NoError(t, err)
		staying[fmt.Sprint("late", i)] = true
	}
	require.Empty(t, s.Recount())
	pass(time.Hour) // the leases end
	require.NoError(t, s.Close())
	s = open(t, o)
	got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 60})
	require.NoError(t, err)
	require.Len(t, got, len(staying))
	for _, r := range got {
		require.True(t, staying[string(r.Body)], "%s", r.Body)
		require.NoError(t, s.Delete(ctx, "q", r.Handle)[0])
	}
	pass(2 * time.Second)
	require.Empty(t, s.Recount())
	st, err := s.Stats("q")
	require.NoError(t, err)
	require.Zero(t, st)
	require.NoError(t, s.Close())
}
