package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// cut is a log that takes a copy of the disk as a power loss would leave it,
// right after a batch was written that may or may not be synced.
type cut struct {
	queue.Log
	mu    sync.Mutex
	fs    *vfs.MemFS
	begin int // the batch to lose power after, from when the test says so
	batch int // how many are left until then
	torn  bool
	after *vfs.MemFS
}

func (c *cut) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	wait, err := c.Log.Append(shard, b, durable)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.batch--; c.batch == 0 {
		cfg := vfs.CrashCloneCfg{}
		if c.torn {
			cfg = vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(uint64(shard), 1))}
		}
		c.after = c.fs.CrashClone(cfg)
	}
	return wait, err
}

// loseAt has the power lost when so many more batches were written.
func (c *cut) loseAt(batch int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batch = batch
}

func (c *cut) disk() *vfs.MemFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.after
}

const movedMessages = max(500/queuetest.Slowdown, 150) // a few batches of a move

// TestPowerLossOfMove cuts the power after each batch a move writes: it goes on
// where it was, and every message is there once.
func TestPowerLossOfMove(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		for _, torn := range []bool{false, true} {
			for _, set := range moveSettings(shards) {
				t.Run(fmt.Sprintf("shards=%d/torn=%v/spread=%v,%v", shards, torn, set[0].DedupPerGroup, set[1].DedupPerGroup), func(t *testing.T) {
					t.Parallel()
					batches := cutEach(t, torn, func(c *cut) ([]string, bool) { return moveCut(t, shards, set, c, nil) })
					require.GreaterOrEqual(t, batches, 4)
				})
			}
		}
	}
}

// moveSettings are those of a source and a destination: in one shard, and
// between one shard and many.
func moveSettings(shards int) [][2]queue.Settings {
	whole, spread := queue.Settings{FIFO: true}, queue.Settings{FIFO: true, DedupPerGroup: true}
	if shards == 1 {
		return [][2]queue.Settings{{whole, whole}}
	}
	return [][2]queue.Settings{{spread, spread}, {whole, spread}, {spread, whole}}
}

// moveCut moves messages, cuts the power after a batch and tells what is wrong
// when the move has gone on; last: there are not so many batches. A mutant
// changes what is written.
func moveCut(t *testing.T, shards int, set [2]queue.Settings, c *cut, mutant func(queue.Log) queue.Log) (wrong []string, last bool) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := c.open(t, shards, mutant)
		for i, name := range []string{"q", "to"} {
			_, err := s.CreateQueue(ctx, name, set[i])
			require.NoError(t, err)
		}
		var msgs []queue.Message
		for i := range movedMessages {
			msgs = append(msgs, queue.Message{Group: fmt.Sprint(i % 3), Body: fmt.Appendf(nil, "%04d", i)})
		}
		_, err := s.Send(ctx, "q", msgs...)
		require.NoError(t, err)
		c.loseAt(c.begin)
		_, err = s.StartMove(ctx, queue.Move{Source: "q", Destination: "to"})
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, s.Close())
		if last = c.disk() == nil; last {
			return
		}
		s = open(t, queue.Options{FS: c.disk()})
		synctest.Wait()
		wrong = afterMove(t, s)
		require.NoError(t, s.Close())
	})
	return wrong, last
}

// afterMove tells what is not as a move that ended, or never began, leaves it.
func afterMove(t *testing.T, s *queue.Store) (wrong []string) {
	there, order := map[string]int{}, map[string]string{}
	for shard := range s.Shards() {
		for _, name := range []string{"q", "to"} {
			require.NoError(t, s.Messages(name, shard, 0, func(m queue.Peeked) bool {
				there[string(m.Body)]++
				if name == "to" {
					if order[m.Group] >= string(m.Body) {
						wrong = append(wrong, fmt.Sprintf("%s behind %s", m.Body, order[m.Group]))
					}
					order[m.Group] = string(m.Body)
				}
				return true
			}))
		}
	}
	for i := range movedMessages {
		if n := there[fmt.Sprintf("%04d", i)]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("message %d is there %d times", i, n))
		}
	}
	ms, err := s.Moves("q")
	require.NoError(t, err)
	if len(ms) > 0 && (ms[0].Phase != queue.MoveCompleted || ms[0].Moved != movedMessages) {
		wrong = append(wrong, fmt.Sprintf("%d moved, %s", ms[0].Moved, ms[0].Phase))
	}
	return append(wrong, s.Recount()...)
}
