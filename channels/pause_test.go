package channels_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// again is another pool on the store, as after a restart.
func (b *bench) again(ch channels.Channel) {
	b.Helper()
	if b.stop != nil {
		b.halt()
	}
	b.Pool = channels.NewPool(channels.PoolOptions{Store: b.store})
	b.SetDesk(b.desk)
	b.put(ch)
	b.start()
}

func TestPauseOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.put(answering(nil))
		b.start()
		require.NoError(b, b.Pause("a", "maintenance"))
		since := b.account().Since
		b.pass(time.Minute)
		require.NoError(b, b.Pause("a", "long maintenance"))
		ch := answering(nil)
		b.again(ch)
		b.send(channels.Critical, "g", 3)
		b.pass(time.Minute)
		s := b.account()
		require.Equal(b, channels.Paused, s.State)
		require.Equal(b, channels.ByOperator, s.By)
		require.Equal(b, "long maintenance", s.Reason)
		require.True(b, since.Equal(s.Since), "since it was first paused")
		require.NotEmpty(b, s.Advice)
		require.Empty(b, ch.calls())

		b.Remove("a")
		b.put(ch)
		require.Equal(b, channels.Paused, b.account().State, "nor does a removal end it")
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Len(b, ch.calls(), 3)
		b.again(ch)
		require.Equal(b, channels.Active, b.account().State)
	})
}

func TestPauseThatCannotBeKeptIsAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.put(answering(nil))
		require.NoError(b, b.store.Close())
		require.ErrorIs(b, b.Pause("a", "maintenance"), queue.ErrClosed)
		require.Equal(b, channels.Active, b.account().State)
	})
}
