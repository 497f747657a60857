package queue_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

const benchBody = 1024

// spent is what a run took.
type spent struct{ wall, cpu time.Duration }

// cpuTime is what this process has used of all cores.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // cannot fail for oneself
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// callers runs call n times in all from as many goroutines, and tells what
// that took.
func callers(b *testing.B, goroutines, n int, call func(i int64)) spent {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	start, cpu := time.Now(), cpuTime()
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				call(i)
			}
		})
	}
	wg.Wait()
	return spent{time.Since(start), cpuTime() - cpu}
}

// rawPebble is what the engine is measured against: the same options as a store.
func rawPebble(b *testing.B) *pebble.DB {
	b.Helper()
	db, err := pebble.Open(b.TempDir(), &pebble.Options{
		MemTableSize: 64 << 20, FormatMajorVersion: pebble.FormatValueSeparation, Logger: quiet{},
	})
	require.NoError(b, err)
	return db
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// rawPut sets n values of 1 KiB, perBatch to a synced commit.
func rawPut(b *testing.B, goroutines, n, perBatch int) spent {
	db := rawPebble(b)
	defer func() { require.NoError(b, db.Close()) }()
	body := make([]byte, benchBody)
	return callers(b, goroutines, n/perBatch, func(i int64) {
		batch := db.NewBatch()
		for j := range perBatch {
			var key [16]byte
			binary.BigEndian.PutUint64(key[8:], uint64(i)*uint64(perBatch)+uint64(j))
			_ = batch.Set(key[:], body, nil)
		}
		if err := batch.Commit(pebble.Sync); err != nil {
			b.Error(err)
		}
	})
}

// rawLife is rawPut and a delete of each in a second synced commit.
func rawLife(b *testing.B, goroutines, n, perBatch int) spent {
	db := rawPebble(b)
	defer func() { require.NoError(b, db.Close()) }()
	body := make([]byte, benchBody)
	return callers(b, goroutines, n/perBatch, func(i int64) {
		for _, set := range []bool{true, false} {
			batch := db.NewBatch()
			for j := range perBatch {
				var key [16]byte
				binary.BigEndian.PutUint64(key[8:], uint64(i)*uint64(perBatch)+uint64(j))
				if set {
					_ = batch.Set(key[:], body, nil)
				} else {
					_ = batch.Delete(key[:], nil)
				}
			}
			if err := batch.Commit(pebble.Sync); err != nil {
				b.Error(err)
			}
		}
	})
}

func benchStore(b *testing.B, shards int) *queue.Store {
	b.Helper()
	s, err := queue.Open(b.TempDir(), queue.Options{Shards: shards})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	_, err = s.CreateQueue(context.Background(), "q", queue.Settings{})
	require.NoError(b, err)
	return s
}

// report prints the rates, their ratio, and how much more processor time a
// message takes than raw.
func report(b *testing.B, took, raw spent, n int) {
	b.ReportMetric(float64(n)/took.wall.Seconds(), "msg/s")
	b.ReportMetric(float64(n)/raw.wall.Seconds(), "raw/s")
	b.ReportMetric(raw.wall.Seconds()/took.wall.Seconds(), "ratio")
	b.ReportMetric(float64(took.cpu)/float64(raw.cpu), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSend prints how fast messages of 1 KiB are sent, as a ratio of raw
// Pebble putting the same bytes with as many callers in the same run.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct{ shards, callers, perBatch int }{{1, 1, 1}, {1, 64, 1}, {8, 64, 1}, {1, 512, 1}, {1, 16, 10}} {
		b.Run(fmt.Sprintf("shards=%d/callers=%d/batch=%d", c.shards, c.callers, c.perBatch), func(b *testing.B) {
			n := max(b.N, 1000)
			body := make([]byte, benchBody)
			raw := rawPut(b, c.callers, n, c.perBatch)
			s := benchStore(b, c.shards)
			msgs := make([]queue.Message, c.perBatch)
			for i := range msgs {
				msgs[i].Body = body
			}
			took := callers(b, c.callers, n/c.perBatch, func(int64) {
				if _, err := s.Send(context.Background(), "q", msgs...); err != nil {
					b.Error(err)
				}
			})
			report(b, took, raw, n)
		})
	}
}

// BenchmarkLife prints the same for a message's whole life: send, receive and
// delete in batches of 10.
func BenchmarkLife(b *testing.B) {
	const goroutines, perBatch = 16, 10
	for _, shards := range []int{1, 8} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			n := max(b.N, 10_000)
			raw := rawLife(b, goroutines, n, perBatch)
			s := benchStore(b, shards)
			msgs := make([]queue.Message, perBatch)
			for i := range msgs {
				msgs[i].Body = make([]byte, benchBody)
			}
			took := callers(b, goroutines, n/perBatch, func(int64) {
				if _, err := s.Send(context.Background(), "q", msgs...); err != nil {
					b.Error(err)
				}
				got, err := s.Receive(context.Background(), "q", queue.ReceiveOptions{Max: perBatch})
				if err != nil {
					b.Error(err)
				}
				hs := make([]queue.Handle, len(got))
				for i := range got {
					hs[i] = got[i].Handle
				}
				for _, err := range s.Delete(context.Background(), "q", hs...) {
					if err != nil {
						b.Error(err)
					}
				}
			})
			report(b, took, raw, n)
		})
	}
}
