package channels_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

// batches is a channel that takes several in one call, which takes as long as
// the slowest of them.
type batches struct {
	*channel
	sizes []int
}

func (c *batches) DeliverBatch(ctx context.Context, ds []channels.Delivery) []channels.Result {
	c.mu.Lock()
	c.sizes = append(c.sizes, len(ds))
	c.mu.Unlock()
	out := make([]channels.Result, len(ds))
	var all sync.WaitGroup
	for i, d := range ds {
		all.Go(func() { out[i].Receipt, out[i].Err = c.answer(ctx, d) })
	}
	all.Wait()
	return out
}

func TestBatches(t *testing.T) {
	t.Parallel()
	inShards(t, 2, func(b *bench) {
		ch := &batches{channel: answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if strings.HasPrefix(d.Content.Text, "bulk/bad") {
				return channels.Receipt{}, errTemp
			}
			return channels.Receipt{}, nil
		})}
		b.desk.render = func(_ channels.Entry, d *channels.Delivery) { d.Endpoint = "one" }
		b.put(ch, limits(channels.Limits{Concurrency: 50, PerGroup: 50}))
		b.send(channels.Bulk, "good", 30)
		b.send(channels.Bulk, "bad", 2)
		b.start()
		require.Len(b, b.settled, 30)
		total := 0
		for _, n := range ch.sizes {
			require.LessOrEqual(b, n, 10)
			total += n
		}
		require.Equal(b, 32, total+len(ch.calls()))
		require.EqualValues(b, 2, b.stats(channels.Bulk).Delayed)
	})
}

func TestBatchConflictsGoOneByOne(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := &batches{channel: answering(nil)}
		b.put(ch, limits(channels.Limits{Concurrency: 50, PerGroup: 50}))
		b.send(channels.Bulk, "good", 5)
		b.desk.conflict = 1
		b.start()
		require.Equal(b, []int{5}, ch.sizes, "one intent was in conflict, all went")
		require.Len(b, b.settled, 5)
		require.Equal(b, 5+5, b.desk.intents)
	})
}

// All entries are of one group, as the queues of one AWS account are.
func TestAnEndpointThatHangsHasItsOwnCall(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(func(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "hangs" {
				<-ctx.Done()
			}
			return channels.Receipt{}, ctx.Err()
		})
		b.desk.render = func(e channels.Entry, d *channels.Delivery) {
			if d.Endpoint = "well"; strings.HasSuffix(string(e.Body), "0") {
				d.Endpoint = "hangs"
			}
		}
		b.put(&batches{channel: ch}, limits(channels.Limits{Concurrency: 10, PerGroup: 10}))
		b.send(channels.Bulk, "g", 10)
		b.start()
		require.Len(b, b.settled, 9, "nobody waits for the one that hangs")
		s, _ := b.Account("a")
		require.Equal(b, 1, s.InFlight, "their slots are free again")
		b.send(channels.Bulk, "g", 9)
		b.pass(time.Second)
		require.Len(b, b.settled, 9+8)
		b.pass(30 * time.Second)
		for _, o := range b.desk.outcomes {
			if o.Endpoint == "well" {
				require.Equal(b, channels.Done, o.Verdict.Action)
			} else {
				require.Equal(b, channels.Retry, o.Verdict.Action)
			}
		}
	})
}

func TestADeadlineIsThatOfItsDeliveryAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := &batches{channel: taking(10 * time.Second)}
		b.desk.render = func(e channels.Entry, d *channels.Delivery) {
			switch string(e.Body) {
			case "bulk/g/0":
				d.Expires = e.SentAt.Add(7 * time.Second)
			case "bulk/g/1":
				d.Timeout = 5 * time.Second
			case "bulk/g/2":
				d.Expires = e.SentAt.Add(31 * time.Second)
			}
		}
		b.put(ch, limits(channels.Limits{Concurrency: 10, PerGroup: 10}))
		b.send(channels.Bulk, "g", 5)
		b.start()
		b.pass(9 * time.Second)
		require.Equal(b, []channels.Action{channels.Retry, channels.Expire}, b.desk.actions(), "what their own time allows")
		b.pass(time.Second)
		require.Equal(b, []int{3}, ch.sizes, "the others go together, with all the time they have")
		require.Len(b, b.settled, 1+3)
	})
}
