package queuetest

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
)

// BodySize is the size of a benchmark's messages in bytes.
const BodySize = 1024

// Spent is what a run took: of the clock, and of all cores.
type Spent struct{ Wall, CPU time.Duration }

func (s *Spent) add(more Spent) {
	s.Wall += more.Wall
	s.CPU += more.CPU
}

// Callers runs call n times in all from as many goroutines, i from 1, and tells
// what that took of this process.
func Callers(goroutines, n int, call func(goroutine, i int)) Spent {
	var next atomic.Int64
	var wg sync.WaitGroup
	start, cpu := time.Now(), cpuTime()
	for g := range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				call(g, int(i))
			}
		})
	}
	wg.Wait()
	return Spent{time.Since(start), cpuTime() - cpu}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Raw is what the engine is measured against: a call for Callers that puts
// perBatch values of BodySize into a Pebble with the options of a store, in a
// synced commit, and deletes them in a second one if it is to.
func Raw(b *testing.B, perBatch int, remove bool) func(goroutine, i int) {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{
		MemTableSize: 64 << 20, FormatMajorVersion: pebble.FormatValueSeparation, Logger: Quiet{},
	})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	body := make([]byte, BodySize)
	commit := func(first uint64, change func(batch *pebble.Batch, key []byte) error) {
		batch := db.NewBatch()
		for i := range uint64(perBatch) {
			if err := change(batch, binary.BigEndian.AppendUint64(make([]byte, 8, 16), first+i)); err != nil {
				b.Error(err)
			}
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			b.Error(err)
		}
	}
	var next atomic.Uint64
	return func(int, int) {
		first := next.Add(uint64(perBatch))
		commit(first, func(batch *pebble.Batch, key []byte) error { return batch.Set(key, body, nil) })
		if remove {
			commit(first, func(batch *pebble.Batch, key []byte) error { return batch.Delete(key, nil) })
		}
	}
}

// Quiet is a logger for a Pebble without the engine: it says nothing, and what
// is fatal panics.
type Quiet struct{}

// Infof is part of pebble.Logger.
func (Quiet) Infof(string, ...any) {}

// Errorf is part of pebble.Logger.
func (Quiet) Errorf(string, ...any) {}

// Fatalf is part of pebble.Logger.
func (Quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// Compare prints how fast n messages go by call, perBatch each time, beside raw:
// the rates, the ratio of the times, and the processor time a message takes, the
// load's included, as it is and compared to raw's. They take turns, so that what
// else the machine and its disk do meets both.
func Compare(b *testing.B, goroutines, n, perBatch int, raw, call func(goroutine, i int)) {
	b.Helper()
	const rounds = 20
	calls := max(n/perBatch/rounds, 1)
	n = rounds * calls * perBatch
	var ours, base Spent
	for range rounds {
		base.add(Callers(goroutines, calls, raw))
		ours.add(Callers(goroutines, calls, call))
	}
	b.ReportMetric(float64(n)/ours.Wall.Seconds(), "msg/s")
	b.ReportMetric(float64(n)/base.Wall.Seconds(), "raw/s")
	b.ReportMetric(base.Wall.Seconds()/ours.Wall.Seconds(), "ratio")
	b.ReportMetric(float64(ours.CPU.Microseconds())/float64(n), "cpu-µs/msg")
	b.ReportMetric(float64(ours.CPU)/float64(base.CPU), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}
