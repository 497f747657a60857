package queue_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// messages is how large a backlog the benchmarks here measure. Ten million of
// 1 KiB take about 15 GiB of the disk and half an hour in all.
var messages = flag.Int("messages", 1_000_000, "backlog of the scale benchmarks")

const (
	scaleCallers = 16
	scaleBatch   = 100
)

// backlog sends n messages of 1 KiB.
func backlog(b *testing.B, s *queue.Store, name string, n int, message func(i int) queue.Message) {
	b.Helper()
	var random [1 << 20]byte // a disk that compresses gains nothing
	_, _ = rand.NewChaCha8([32]byte{}).Read(random[:])
	queuetest.Callers(scaleCallers, n/scaleBatch, func(_, i int) {
		msgs := make([]queue.Message, scaleBatch)
		for j := range msgs {
			n := (i-1)*scaleBatch + j
			msgs[j] = message(n)
			msgs[j].Body = random[n*queuetest.BodySize%len(random):][:queuetest.BodySize]
		}
		if _, err := s.Send(context.Background(), name, msgs...); err != nil {
			b.Error(err)
		}
	})
}

// take receives and deletes n messages.
func take(b *testing.B, s *queue.Store, name string, n int) {
	b.Helper()
	queuetest.Callers(scaleCallers, n/scaleBatch, func(int, int) {
		got, err := s.Receive(context.Background(), name, queue.ReceiveOptions{Max: scaleBatch})
		if err != nil || len(got) != scaleBatch {
			b.Errorf("received %d of %d: %v", len(got), scaleBatch, err)
		}
		for _, err := range s.Delete(context.Background(), name, handles(got)...) {
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func handles(got []queue.Received) []queue.Handle {
	hs := make([]queue.Handle, len(got))
	for i := range got {
		hs[i] = got[i].Handle
	}
	return hs
}

// resident is how much memory this process holds, in MiB.
func resident(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("resident memory is known on Linux only")
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	require.NoError(b, err)
	return float64(kib) / 1024
}

// timed is how long do takes, in milliseconds.
func timed(do func()) float64 {
	start := time.Now()
	do()
	return float64(time.Since(start)) / float64(time.Millisecond)
}

func openScale(b *testing.B, dir string) (s *queue.Store) {
	b.Helper()
	b.ReportMetric(timed(func() {
		var err error
		s, err = queue.Open(dir, queue.Options{Shards: 1})
		require.NoError(b, err)
	}), "open-ms")
	return s
}

func receiveOne(b *testing.B, s *queue.Store, name string) queue.Received {
	b.Helper()
	got, err := s.Receive(context.Background(), name, queue.ReceiveOptions{})
	require.NoError(b, err)
	require.Len(b, got, 1)
	return got[0]
}

// BenchmarkBacklog prints what a backlog costs while it is there, and what it
// leaves behind when it was taken: memory, disk, the time from Open to the first
// receive and count, and how fast its queue is beside a new one. One message
// stays at its head all the while.
func BenchmarkBacklog(b *testing.B) {
	sizes := []int{1_000_000}
	if *messages != sizes[0] {
		sizes = append(sizes, *messages)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) { benchBacklog(b, n) })
	}
}

func benchBacklog(b *testing.B, n int) {
	debug.FreeOSMemory()
	ctx, dir := context.Background(), b.TempDir()
	s := openScale(b, dir)
	for _, name := range []string{"old", "new"} {
		_, err := s.CreateQueue(ctx, name, queue.Settings{Visibility: time.Hour})
		require.NoError(b, err)
	}
	sent := timed(func() { backlog(b, s, "old", n, func(int) queue.Message { return queue.Message{} }) })
	b.ReportMetric(float64(n)/sent*1000, "sent/s")
	reportStore(b, s, "queued", n)
	require.NoError(b, s.Close())

	s = openScale(b, dir)
	stuck := reportFirst(b, s, "queued")
	taken := timed(func() { take(b, s, "old", n-scaleBatch) })
	b.ReportMetric(float64(n)/taken*1000, "taken/s")
	rest, err := s.Receive(ctx, "old", queue.ReceiveOptions{Max: scaleBatch})
	require.NoError(b, err)
	require.Len(b, rest, scaleBatch-1)
	s.Delete(ctx, "old", handles(rest)...)
	reportStore(b, s, "taken", n)
	b.ReportMetric(lifeTime(b, s, "new")/lifeTime(b, s, "old"), "old/new-speed")
	require.NoError(b, s.ChangeVisibility(ctx, "old", stuck, 0))
	_, err = s.Send(ctx, "old", queue.Message{})
	require.NoError(b, err)
	require.NoError(b, s.Close())

	s = openScale(b, dir)
	reportFirst(b, s, "taken")
	b.ReportMetric(timed(func() { receiveOne(b, s, "old") }), "taken-second-receive-ms")
	b.ReportMetric(settledSize(b, s), "settled-disk-MiB")
	require.NoError(b, s.Close())
	b.ReportMetric(0, "ns/op")
}

// reportStore prints what a store holds of memory and disk, and how many bytes
// it wrote for each of n messages' bytes.
func reportStore(b *testing.B, s *queue.Store, when string, n int) {
	b.Helper()
	b.ReportMetric(resident(b), when+"-resident-MiB")
	m, err := s.Metrics()
	require.NoError(b, err)
	b.ReportMetric(float64(m.Size)/(1<<20), when+"-disk-MiB")
	b.ReportMetric(float64(m.Size)/float64(n), when+"-disk-B/msg")
	b.ReportMetric(float64(s.Written())/float64(n)/queuetest.BodySize, when+"-write-amplification")
}

// reportFirst prints how long the first count and the first
// receive of a store just opened take.
func reportFirst(b *testing.B, s *queue.Store, when string) queue.Handle {
	b.Helper()
	b.ReportMetric(timed(func() {
		_, err := s.Stats("old")
		require.NoError(b, err)
	}), when+"-first-stats-ms")
	var got queue.Received
	b.ReportMetric(timed(func() { got = receiveOne(b, s, "old") }), when+"-first-receive-ms")
	return got.Handle
}

// lifeTime is how long messages take from send to delete, in milliseconds.
func lifeTime(b *testing.B, s *queue.Store, name string) float64 {
	const n = 50_000
	return timed(func() {
		for range n / 5000 {
			backlog(b, s, name, 5000, func(int) queue.Message { return queue.Message{} })
			take(b, s, name, 5000)
		}
	})
}

// settledSize is the store's size in MiB once it has not changed for 5 seconds.
func settledSize(b *testing.B, s *queue.Store) float64 {
	size, since := uint64(0), time.Now()
	for time.Since(since) < 5*time.Second {
		m, err := s.Metrics()
		require.NoError(b, err)
		if m.Size != size {
			size, since = m.Size, time.Now()
		}
		<-time.After(100 * time.Millisecond)
	}
	return float64(size) / (1 << 20)
}
