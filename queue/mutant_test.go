package queue_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// The mutants are stores that are wrong on purpose, made by a log that does not
// do as it is told. The tests are shown to find each of them.

// TestPowerLossMutants shows what TestPowerLoss would find.
func TestPowerLossMutants(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(queue.Log) queue.Log{
		"answer before the sync":        func(l queue.Log) queue.Log { return hasty{l} },
		"no sync":                       func(l queue.Log) queue.Log { return &deaf{Log: l} },
		"acknowledge after failed sync": func(l queue.Log) queue.Log { return &deaf{Log: l, works: 40} },
		"forget deduplication":          without('e'),
		"drop a counter":                without('n'),
		"forget what was deleted":       without('l'),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := queue.Options{Shards: 1}
			queue.WrapLog(&o, wrap)
			for i := range *crashes {
				if len(powerLoss(t, o, true, uint64(2*i))) > 0 {
					return
				}
			}
			t.Fatalf("not found in %d power losses", *crashes)
		})
	}
}

// TestMoveMutants shows what TestPowerLossOfMove would find.
func TestMoveMutants(t *testing.T) {
	t.Parallel()
	for name, mutant := range map[string]func(queue.Log) queue.Log{
		"forget how far a move came": without('v'),
		"leave what was moved": func(l queue.Log) queue.Log {
			return changed{l, func(key, value []byte) ([]byte, bool) {
				return value, key[tableAt] != 'm' || len(value) > 0 // a deletion has none
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong, _ := moveCut(t, 1, moveSettings(1)[0], &cut{begin: 3}, mutant)
			require.NotEmpty(t, wrong)
		})
	}
}

// TestOutboxMutant shows that TestPowerLossOfOutbox would find an outbox entry
// that is applied twice: its destination forgets what it applied.
func TestOutboxMutant(t *testing.T) {
	t.Parallel()
	cutFinds(t, func(c *cut) ([]string, bool) { return outboxCut(t, 1, c, without('p')) })
}

// hasty writes durably but does not wait for it.
type hasty struct{ queue.Log }

func (h hasty) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	wait, err := h.Log.Append(shard, b, durable)
	if wait != nil && shard != queue.Registry { // which Close waits for
		go func(wait func() error) { _ = wait() }(wait)
		wait = func() error { return nil }
	}
	return wait, err
}

// deaf syncs nothing any more when some syncs have worked, and does not say so.
type deaf struct {
	queue.Log
	works int
}

func (d *deaf) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	d.works--
	_, err := d.Log.Append(shard, b, d.works >= 0 || shard == queue.Registry) // the definition of the queue must be there
	return func() error { return nil }, err
}

// changed is a log that writes something else than it is handed.
type changed struct {
	queue.Log
	value func(key, value []byte) (_ []byte, keep bool)
}

func (c changed) Append(shard int, b *pebble.Batch, durable bool) (func() error, error) {
	var other pebble.Batch
	for r := b.Reader(); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		value, keep := c.value(key, value)
		if !keep {
			continue
		}
		switch kind {
		case pebble.InternalKeyKindSet:
			err = other.Set(key, value, nil)
		case pebble.InternalKeyKindDelete:
			err = other.Delete(key, nil)
		default:
			err = other.DeleteRange(key, value, nil)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := b.SetRepr(bytes.Clone(other.Repr())); err != nil {
		return nil, err
	}
	return c.Log.Append(shard, b, durable)
}

// tableAt is where a key names its table.
const tableAt = 2

// without is a log that does not write one table of the data shards.
func without(table byte) func(queue.Log) queue.Log {
	return func(l queue.Log) queue.Log {
		return changed{l, func(key, value []byte) ([]byte, bool) {
			return value, key[tableAt] != table || bytes.HasPrefix(key, []byte{0, 0}) || bytes.HasPrefix(key, []byte{0, 1})
		}}
	}
}

// modelMutant has TestModel run on a mutant.
const modelMutant = "FANFARE_QUEUE_MUTANT"

// modelMutants are what the log writes instead.
var modelMutants = map[string]func() func(key, value []byte) ([]byte, bool){
	"reuse lease numbers": func() func(key, value []byte) ([]byte, bool) {
		var first []byte
		return func(key, value []byte) ([]byte, bool) {
			if bytes.HasPrefix(key, []byte{0, 0, 'a'}) { // the store's own record, with its epoch
				if first == nil {
					first = bytes.Clone(value)
				}
				value = first
			}
			return value, true
		}
	},
}

// TestModelMutants shows what TestModel would find: in processes of their own,
// since they are to fail.
func TestModelMutants(t *testing.T) {
	t.Parallel()
	run := fmt.Sprintf("TestModel/%d_shards", queuetest.Shards()[0])
	for name := range modelMutants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run="+run, //nolint:gosec // this very binary
				"-rapid.checks=10000", "-rapid.nofailfile", "-rapid.shrinktime=1ms") // it ends with the first that fails
			child.Env = append(os.Environ(), modelMutant+"="+name)
			out, err := child.CombinedOutput()
			require.Error(t, err)
			require.Contains(t, string(out), "--- FAIL: "+run)
			require.Contains(t, string(out), "modelrun_test.go")
		})
	}
}
