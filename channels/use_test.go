package channels_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

// closer is a channel that holds connections; it needs a second for an attempt.
type closer struct {
	*channel
	running, closed, cut atomic.Int32
}

func newCloser() *closer {
	c := &closer{}
	c.channel = answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
		c.running.Add(1)
		defer c.running.Add(-1)
		<-time.After(time.Second)
		if c.closed.Load() > 0 {
			c.cut.Add(1)
		}
		return channels.Receipt{}, nil
	})
	return c
}

func (c *closer) Close() error {
	c.closed.Add(1)
	return nil
}

// fate says how often it was closed, and how many attempts that met.
func (c *closer) fate() []int32 { return []int32{c.closed.Load(), c.cut.Load()} }

func TestReplacedChannelIsClosedAfterItsAttempts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		first, second, third := newCloser(), newCloser(), newCloser()
		b.put(first, limits(channels.Limits{Concurrency: 4, PerGroup: 4}))
		b.send(channels.Bulk, "g", 100)
		b.start()
		b.pass(1500 * time.Millisecond)
		b.put(first, limits(channels.Limits{Concurrency: 4, PerGroup: 4, Rate: 100}))
		b.put(second, limits(channels.Limits{Concurrency: 4, PerGroup: 4}))
		synctest.Wait()
		require.EqualValues(b, 4, first.running.Load())
		require.Equal(b, []int32{0, 0}, first.fate())
		b.pass(500 * time.Millisecond)
		require.Equal(b, []int32{1, 0}, first.fate())
		b.pass(time.Second)
		require.NoError(b, b.Pause("a", "so that nothing runs"))
		b.pass(time.Second)
		require.Equal(b, []int32{0, 0}, second.fate())
		b.put(third)
		require.Equal(b, []int32{1, 0}, second.fate(), "at once, as nothing runs")
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Positive(b, third.running.Load())
		b.Remove("a")
		require.Equal(b, []int32{0, 0}, third.fate())
		b.pass(time.Second)
		require.Equal(b, []int32{1, 0}, third.fate())
		b.halt()
		for _, c := range []*closer{first, second, third} {
			require.Equal(b, []int32{1, 0}, c.fate())
		}
	})
}

func TestEndClosesChannels(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		c := newCloser()
		b.put(c)
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.stop()
		synctest.Wait()
		require.Equal(b, []int32{0, 0}, c.fate(), "the attempt that runs is finished")
		b.halt()
		require.Equal(b, []int32{1, 0}, c.fate())
		b.Remove("a")
		require.Equal(b, []int32{1, 0}, c.fate())
	})
}

// probing is a closer whose probe takes a second.
type probing struct{ *closer }

func (p probing) Probe(context.Context) error {
	_, err := p.Deliver(context.Background(), channels.Delivery{})
	return err
}

func TestProbeKeepsItsChannelOpen(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		c := newCloser()
		slow := c.answer
		c.answer = func(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "g" {
				return channels.Receipt{}, errFault
			}
			return slow(ctx, d)
		}
		b.put(probing{c})
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.pass(30 * time.Second)
		require.EqualValues(b, 1, c.running.Load(), "the probe")
		b.put(answering(nil))
		synctest.Wait()
		require.Equal(b, []int32{0, 0}, c.fate())
		b.pass(time.Second)
		require.Equal(b, []int32{1, 0}, c.fate())
		require.Len(b, b.settled, 1)
	})
}
