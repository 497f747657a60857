package queue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// TestCorruptLevel0 breaks the oldest table of level 0, so that neither it nor
// what comes after it can be compacted: sends and receives go on over a hundred
// flushes, and after a restart, and only what the block held is lost.
func TestCorruptLevel0(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const flushes = 100
		w := &waves{seen: map[string]bool{}, random: rand.NewChaCha8([32]byte{})}
		o := queue.Options{FS: vfs.NewMem(), Shards: 1, MemTable: 64 << 10}
		w.Store = open(t, o)
		_, err := w.CreateQueue(context.Background(), "q", queue.Settings{Visibility: time.Hour})
		require.NoError(t, err)
		for w.tables(t) == 0 { // a second one would have both compacted
			w.send(t)
		}
		require.NoError(t, w.Close())
		flip(t, o.FS, 0.5)
		w.Store = open(t, o)
		for rounds := 0; w.tables(t) < flushes; rounds++ {
			require.Less(t, rounds, 10*flushes, "what came later was compacted")
			w.send(t)
			w.receive(t)
			pass(time.Second) // in which the compaction is tried again
		}
		m, err := w.Metrics()
		require.NoError(t, err)
		require.EqualValues(t, 1, m.BrokenFiles)
		require.NoError(t, w.Close())
		w.Store = open(t, o)
		w.send(t)
		for w.receive(t) > 0 {
		}
		lost := w.sent - len(w.seen)
		require.Positive(t, lost)
		require.Less(t, lost, 10)
		require.NoError(t, w.Close())
	})
}

// waves sends messages and receives them, each once.
type waves struct {
	*queue.Store
	random *rand.ChaCha8
	sent   int
	seen   map[string]bool
}

func (w *waves) send(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // a stall would not end
	defer cancel()
	msgs := make([]queue.Message, 10)
	for i := range msgs {
		body := fmt.Appendf(make([]byte, 0, 2<<10), "%08d", w.sent)
		_, _ = w.random.Read(body[len(body):cap(body)]) // a table that compresses is never full
		msgs[i].Body = body[:cap(body)]
		w.sent++
	}
	_, err := w.Send(ctx, "q", msgs...)
	require.NoError(t, err)
}

func (w *waves) receive(t *testing.T) int {
	got, err := w.Receive(context.Background(), "q", queue.ReceiveOptions{Max: 20})
	require.NoError(t, err)
	for _, r := range got {
		id := string(r.Body[:8])
		require.False(t, w.seen[id], "twice")
		w.seen[id] = true
	}
	for _, err := range w.Delete(context.Background(), "q", handles(got)...) {
		require.NoError(t, err)
	}
	return len(got)
}

// tables is how many tables level 0 has once flushes and compactions are done.
func (w *waves) tables(t *testing.T) int64 {
	synctest.Wait()
	m, err := w.Metrics()
	require.NoError(t, err)
	return m.L0Files
}
