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

// Raw is what the engine is measured against: how long Pebble takes, with the
// options of a store, to put n values of BodySize, perBatch to a synced commit,
// and to delete each in a second one if it is to.
func Raw(b *testing.B, goroutines, n, perBatch int, remove bool) Spent {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{
		MemTableSize: 64 << 20, FormatMajorVersion: pebble.FormatValueSeparation, Logger: Quiet{},
	})
	require.NoError(b, err)
	defer func() { require.NoError(b, db.Close()) }()
	body := make([]byte, BodySize)
	commit := func(i int, change func(batch *pebble.Batch, key []byte) error) {
		batch := db.NewBatch()
		for j := range perBatch {
			if err := change(batch, binary.BigEndian.AppendUint64(make([]byte, 8, 16), uint64(i*perBatch+j))); err != nil {
				b.Error(err)
			}
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			b.Error(err)
		}
	}
	return Callers(goroutines, n/perBatch, func(_, i int) {
		commit(i, func(batch *pebble.Batch, key []byte) error { return batch.Set(key, body, nil) })
		if remove {
			commit(i, func(batch *pebble.Batch, key []byte) error { return batch.Delete(key, nil) })
		}
	})
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

// Report prints what a benchmark of n messages found: their rate and Pebble's,
// the ratio of the times, and the processor time a message takes, the load's
// included, as it is and compared to Pebble's.
func Report(b *testing.B, took, raw Spent, n int) {
	b.Helper()
	b.ReportMetric(float64(n)/took.Wall.Seconds(), "msg/s")
	b.ReportMetric(float64(n)/raw.Wall.Seconds(), "raw/s")
	b.ReportMetric(raw.Wall.Seconds()/took.Wall.Seconds(), "ratio")
	b.ReportMetric(float64(took.CPU.Microseconds())/float64(n), "cpu-µs/msg")
	b.ReportMetric(float64(took.CPU)/float64(raw.CPU), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}
