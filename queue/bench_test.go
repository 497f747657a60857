package queue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

func benchStore(b *testing.B, shards int) *queue.Store {
	b.Helper()
	s, err := queue.Open(b.TempDir(), queue.Options{Shards: shards})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	_, err = s.CreateQueue(context.Background(), "q", queue.Settings{})
	require.NoError(b, err)
	return s
}

// BenchmarkSend prints how fast messages of 1 KiB are sent, as a ratio of raw
// Pebble putting the same bytes with as many callers in the same run.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct{ shards, callers, perBatch int }{{1, 1, 1}, {1, 64, 1}, {8, 64, 1}, {1, 512, 1}, {1, 16, 10}} {
		b.Run(fmt.Sprintf("shards=%d/callers=%d/batch=%d", c.shards, c.callers, c.perBatch), func(b *testing.B) {
			n := max(b.N, 1000)
			body := make([]byte, queuetest.BodySize)
			s := benchStore(b, c.shards)
			msgs := make([]queue.Message, c.perBatch)
			for i := range msgs {
				msgs[i].Body = body
			}
			queuetest.Compare(b, c.callers, n, c.perBatch, queuetest.Raw(b, c.perBatch, false), func(int, int) {
				if _, err := s.Send(context.Background(), "q", msgs...); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkWake prints how long after a send one of 10,000 long polls has the
// message, its sync included: the median and the longest of a thousand sends or
// more, and the median as a ratio of raw Pebble's synced put in the same run.
func BenchmarkWake(b *testing.B) {
	const waiting = 10_000
	s := benchStore(b, 1)
	ctx, cancel := context.WithCancel(context.Background())
	woken := make(chan time.Time)
	var all sync.WaitGroup
	for range waiting {
		all.Go(func() {
			for {
				got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Wait: 20 * time.Second})
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					b.Error(err)
					return
				case len(got) > 0:
					woken <- time.Now()
				}
			}
		})
	}
	raw := queuetest.Raw(b, 1, false)
	times, puts := make([]time.Duration, max(b.N, 1000)), make([]time.Duration, max(b.N, 1000))
	for i := range times {
		start := time.Now()
		raw(0, i)
		puts[i] = time.Since(start)
		start = time.Now()
		_, err := s.Send(ctx, "q", queue.Message{Body: make([]byte, queuetest.BodySize)})
		require.NoError(b, err)
		times[i] = (<-woken).Sub(start)
	}
	cancel()
	all.Wait()
	slices.Sort(times)
	slices.Sort(puts)
	middle := len(times) / 2
	b.ReportMetric(float64(times[middle].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, "longest-ms")
	b.ReportMetric(float64(times[middle])/float64(puts[middle]), "put-ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLife prints the same for a message's whole life: send, receive and
// delete in batches of 10.
func BenchmarkLife(b *testing.B) {
	const goroutines, perBatch = 16, 10
	for _, shards := range []int{1, 8} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			n := max(b.N, 10_000)
			s := benchStore(b, shards)
			msgs := make([]queue.Message, perBatch)
			for i := range msgs {
				msgs[i].Body = make([]byte, queuetest.BodySize)
			}
			queuetest.Compare(b, goroutines, n, perBatch, queuetest.Raw(b, perBatch, true), func(int, int) {
				if _, err := s.Send(context.Background(), "q", msgs...); err != nil {
					b.Error(err)
				}
				got, err := s.Receive(context.Background(), "q", queue.ReceiveOptions{Max: perBatch})
				if err != nil {
					b.Error(err)
				}
				for _, err := range s.Delete(context.Background(), "q", handles(got)...) {
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
