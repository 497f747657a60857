package queue_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

const forwardedBatches = 10

// TestPowerLossOfOutbox cuts the power after each batch written while batches
// are forwarded: at the source, at the destination, between the two. Whatever
// was committed is applied once, in order.
func TestPowerLossOfOutbox(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("shards=%d/torn=%v", shards, torn), func(t *testing.T) {
				t.Parallel()
				batches := cutEach(t, torn, func(c *cut) ([]string, bool) { return outboxCut(t, shards, c, nil) })
				require.GreaterOrEqual(t, batches, 3*forwardedBatches)
			})
		}
	}
}

// outboxCut forwards batches, cuts the power after a batch and tells what is
// wrong when the forwarder has gone on; last: there are not so many batches.
func outboxCut(t *testing.T, shards int, c *cut, mutant func(queue.Log) queue.Log) (wrong []string, last bool) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := c.open(t, shards, mutant)
		_, err := s.CreateQueue(ctx, "q", queue.Settings{})
		require.NoError(t, err)
		to := shards - 1
		c.loseAt(c.begin)
		for i := range forwardedBatches {
			b, changes := new(queue.Batch), new(queue.Batch)
			b.Add([]byte("sent"), 1)
			changes.Add([]byte("applied"), 1)
			changes.Send("q", queue.Message{Body: fmt.Appendf(nil, "%04d", i)})
			b.Forward(to, changes)
			_, err := s.CommitApplied(ctx, queue.Registry, b)
			require.NoError(t, err)
		}
		require.NoError(t, s.Close())
		if last = c.disk() == nil; last {
			return
		}
		s = open(t, queue.Options{FS: c.disk()})
		synctest.Wait()
		sent, err := s.Counter(queue.Registry, []byte("sent"))
		require.NoError(t, err)
		applied, err := s.Counter(to, []byte("applied"))
		require.NoError(t, err)
		n := int64(0)
		require.NoError(t, s.Messages("q", to, 0, func(m queue.Peeked) bool {
			if want := fmt.Sprintf("%04d", n); string(m.Body) != want {
				wrong = append(wrong, fmt.Sprintf("%s in the place of %s", m.Body, want))
			}
			n++
			return true
		}))
		if applied != sent || n != sent {
			wrong = append(wrong, fmt.Sprintf("%d sent, %d applied, %d messages", sent, applied, n))
		}
		wrong = append(wrong, s.Recount()...)
		require.NoError(t, s.Close())
	})
	return wrong, last
}

// open opens a store under the log that cuts.
func (c *cut) open(t *testing.T, shards int, mutant func(queue.Log) queue.Log) *queue.Store {
	c.fs = vfs.NewCrashableMem()
	o := queue.Options{FS: c.fs, Shards: shards, MemTable: 64 << 10}
	queue.WrapLog(&o, func(l queue.Log) queue.Log {
		if mutant != nil {
			l = mutant(l)
		}
		c.Log = l
		return c
	})
	return open(t, o)
}

// cutEach cuts the power after each batch that run writes, one a run, and gives
// how many there are. run tells what is wrong once the store has gone on, and
// that the power was not cut because there are not so many batches.
func cutEach(t *testing.T, torn bool, run func(c *cut) (wrong []string, last bool)) (batches int) {
	for ; ; batches++ {
		wrong, last := run(&cut{begin: batches + 1, torn: torn})
		require.Empty(t, wrong, "after batch %d", batches+1)
		if last {
			return batches
		}
	}
}

// cutFinds has cuts find what a mutant breaks.
func cutFinds(t *testing.T, run func(c *cut) (wrong []string, last bool)) {
	for batch := 1; ; batch++ {
		wrong, last := run(&cut{begin: batch})
		if len(wrong) > 0 {
			return
		}
		require.False(t, last, "not found")
	}
}
