package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

const buriedMessages = 40

// TestPowerLossOfDeadLetters cuts the power after each batch written while the
// messages of a FIFO queue become dead letters in other shards: each is there
// once, in the order of its group.
func TestPowerLossOfDeadLetters(t *testing.T) {
	t.Parallel()
	for _, perGroup := range []bool{false, true} {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("spread=%v/torn=%v", perGroup, torn), func(t *testing.T) {
				t.Parallel()
				batches := cutEach(t, torn, func(c *cut) ([]string, bool) { return buryCut(t, perGroup, c, nil) })
				require.GreaterOrEqual(t, batches, 8)
			})
		}
	}
}

// TestBuryMutants shows what TestPowerLossOfDeadLetters would find.
func TestBuryMutants(t *testing.T) {
	t.Parallel()
	for name, mutant := range map[string]func(queue.Log) queue.Log{
		"forget what was forwarded": without('o'),
		"apply it twice":            without('p'),
		"leave what was buried": func(l queue.Log) queue.Log {
			return changed{l, func(key, value []byte) ([]byte, bool) {
				return value, key[tableAt] != 'm' || len(value) > 0 // a deletion has none
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cutFinds(t, func(c *cut) ([]string, bool) { return buryCut(t, false, c, mutant) })
		})
	}
}

// buryCut has messages of one placement become dead letters of the other, cuts
// the power after a batch and tells what is wrong when all have gone; last:
// there are not so many batches.
func buryCut(t *testing.T, perGroup bool, c *cut, mutant func(queue.Log) queue.Log) (wrong []string, last bool) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		syncs := &outboxSyncs{}
		s := c.open(t, 8, func(l queue.Log) queue.Log {
			if mutant != nil {
				l = mutant(l)
			}
			syncs.Log = l
			return syncs
		})
		_, err := s.CreateQueue(ctx, "dead", queue.Settings{FIFO: true, DedupPerGroup: !perGroup})
		require.NoError(t, err)
		_, err = s.CreateQueue(ctx, "q", queue.Settings{
			FIFO: true, DedupPerGroup: perGroup, Visibility: time.Second, MaxReceives: 1, DeadLetter: "dead",
		})
		require.NoError(t, err)
		for i := range buriedMessages {
			_, err := s.Send(ctx, "q", queue.Message{Group: fmt.Sprint(i % 5), Body: fmt.Appendf(nil, "%04d", i)})
			require.NoError(t, err)
		}
		got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: queue.MaxBatch})
		require.NoError(t, err)
		require.Len(t, got, buriedMessages)
		c.loseAt(c.begin)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.NoError(t, s.Close())
		require.Empty(t, syncs.wrong)
		if last = c.disk() == nil; last {
			return
		}
		s = open(t, queue.Options{FS: c.disk()})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wrong = afterBurial(t, s)
		require.NoError(t, s.Close())
	})
	return wrong, last
}

// afterBurial tells what is not as it is when all have become dead letters.
func afterBurial(t *testing.T, s *queue.Store) (wrong []string) {
	there, order := map[string]int{}, map[string]string{}
	for shard := range s.Shards() {
		require.NoError(t, s.Messages("dead", shard, 0, func(m queue.Peeked) bool {
			there[string(m.Body)]++
			if order[m.Group] >= string(m.Body) {
				wrong = append(wrong, fmt.Sprintf("%s behind %s", m.Body, order[m.Group]))
			}
			order[m.Group] = string(m.Body)
			return true
		}))
	}
	for i := range buriedMessages {
		if n := there[fmt.Sprintf("%04d", i)]; n != 1 {
			wrong = append(wrong, fmt.Sprintf("message %d is there %d times", i, n))
		}
	}
	return append(wrong, s.Recount()...)
}

// outboxSyncs is a log that sees whether what is forwarded is made durable: what
// another shard applies must not be lost at its source.
type outboxSyncs struct {
	queue.Log
	mu    sync.Mutex
	wrong []string
}

func (o *outboxSyncs) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	for r := b.Reader(); !durable; {
		kind, key, _, ok, err := r.Next()
		if err != nil || !ok {
			break
		}
		if kind == pebble.InternalKeyKindSet && key[tableAt] == 'o' {
			o.mu.Lock()
			o.wrong = append(o.wrong, fmt.Sprintf("forwarded by shard %d, not synced", shard))
			o.mu.Unlock()
			break
		}
	}
	return o.Log.Append(shard, b, durable)
}
