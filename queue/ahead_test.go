package queue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// BenchmarkAhead prints how many receives it takes until a message of group b
// comes, sent behind all those of group a, and how long they take: right away
// and after a restart, of a standard queue, and of a FIFO queue whose group a is
// locked.
func BenchmarkAhead(b *testing.B) {
	for _, fifo := range []bool{false, true} {
		b.Run(fmt.Sprintf("messages=%d/fifo=%v", *messages, fifo), func(b *testing.B) {
			ctx, dir := context.Background(), b.TempDir()
			s := openScale(b, dir)
			_, err := s.CreateQueue(ctx, "q", queue.Settings{FIFO: fifo, Visibility: time.Hour})
			require.NoError(b, err)
			sent := timed(func() {
				backlog(b, s, "q", *messages, func(i int) queue.Message { return queue.Message{Group: "a", DedupID: fmt.Sprint(i)} })
			})
			b.ReportMetric(float64(*messages)/sent*1000, "sent/s")
			reportStore(b, s, "queued", *messages)
			if fifo {
				require.Equal(b, "a", receiveOne(b, s, "q").Group)
			}
			for _, when := range []string{"", "opened-"} {
				_, err = s.Send(ctx, "q", queue.Message{Group: "b", DedupID: "b" + when})
				require.NoError(b, err)
				receives := 1
				b.ReportMetric(timed(func() {
					got := receiveOne(b, s, "q")
					for ; got.Group != "b"; receives++ {
						got = receiveOne(b, s, "q")
					}
					require.NoError(b, s.Delete(ctx, "q", got.Handle)[0])
				}), when+"until-b-ms")
				b.ReportMetric(float64(receives), when+"until-b-receives")
				require.LessOrEqual(b, receives, 10)
				require.NoError(b, s.Close())
				s = openScale(b, dir)
			}
			require.NoError(b, s.Close())
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkDelayed prints how long after their second the messages delayed to it
// are all ready, and all received. One that comes early is an error.
func BenchmarkDelayed(b *testing.B) {
	const n = 100_000
	ctx := context.Background()
	s := benchStore(b, 1)
	due := time.Now().Add(15 * time.Second).Truncate(time.Second)
	backlog(b, s, "q", n, func(int) queue.Message { return queue.Message{At: due} })
	require.True(b, time.Now().Before(due), "the messages are sent before their time")
	first, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: scaleBatch, Wait: time.Minute})
	require.NoError(b, err)
	require.False(b, time.Now().Before(due), "early by %v", time.Until(due))
	b.ReportMetric(float64(time.Since(due).Milliseconds()), "first-received-ms")
	for st := (queue.Stats{Delayed: n}); st.Delayed > 0; <-time.After(time.Millisecond) {
		st, err = s.Stats("q")
		require.NoError(b, err)
	}
	b.ReportMetric(float64(time.Since(due).Milliseconds()), "all-ready-ms")
	take(b, s, "q", (n-len(first))/scaleBatch*scaleBatch)
	b.ReportMetric(float64(time.Since(due).Milliseconds()), "all-taken-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkHot prints how much longer a queue's messages take when 10,000 idle
// queues are beside it, each with a message, than alone.
func BenchmarkHot(b *testing.B) {
	ctx := context.Background()
	alone, crowd := benchStore(b, 1), benchStore(b, 1)
	queuetest.Callers(scaleCallers, 10_000, func(_, i int) {
		name := fmt.Sprint("idle", i)
		_, err := crowd.CreateQueue(ctx, name, queue.Settings{Retention: time.Hour})
		if err == nil {
			_, err = crowd.Send(ctx, name, queue.Message{})
		}
		if err != nil {
			b.Error(err)
		}
	})
	var a, c float64
	for range 4 { // in turn, so that a busy machine is so for both
		a += lifeTime(b, alone, "q")
		c += lifeTime(b, crowd, "q")
	}
	b.ReportMetric(c/a, "crowd/alone-time")
	b.ReportMetric(0, "ns/op")
}
