package topics_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// BenchmarkReplay replays archives of 10,000 and 100,000 messages of 1 KiB to a
// queue, on disk, and tells how fast, and by how much the heap grew at most
// beside what the store's own caches hold: ten times the archive needs no more.
func BenchmarkReplay(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				rate, heap := replay(b, n)
				b.ReportMetric(rate, "messages/s")
				b.ReportMetric(float64(heap)/(1<<20), "MiB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func replay(b *testing.B, n int) (rate float64, heap uint64) {
	store, err := queue.Open(b.TempDir(), queue.Options{Shards: 2})
	require.NoError(b, err)
	room, err := topics.New(b.Context(), topics.Options{Store: store, Accounts: channels.NewPool(channels.PoolOptions{Store: store})})
	require.NoError(b, err)
	_, err = room.CreateTopic(b.Context(), owner, topics.Topic{Name: "news", ArchiveDays: 1})
	require.NoError(b, err)
	began := store.Now()
	body := strings.Repeat("x", 1<<10)
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for range n / 256 {
				if _, _, err := room.Publish(b.Context(), topics.Request{Owner: owner, Topic: "news", Message: body}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, err = store.CreateQueue(b.Context(), topics.QueueName(owner, "work"), queue.Settings{})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- room.Run(ctx) }()
	before := live()
	s, err := room.Subscribe(b.Context(), owner, topics.Subscription{Topic: "news", Protocol: topics.SQS, Endpoint: "work", Replay: &topics.Replay{From: began}})
	require.NoError(b, err)
	begin := time.Now()
	require.Eventually(b, func() bool {
		now := live()
		heap = max(heap, now-min(now, before))
		s, err = room.Subscription(owner, s.ID)
		require.NoError(b, err)
		return s.Replay.State == topics.ReplayCompleted
	}, 10*time.Minute, 200*time.Millisecond)
	rate = float64(n) / time.Since(begin).Seconds()
	cancel()
	require.NoError(b, <-ended)
	require.NoError(b, store.Close())
	return rate, heap
}

// live is how much of the heap is in use, once what is not is collected.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
