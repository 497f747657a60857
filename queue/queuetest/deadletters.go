package queuetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func deadLetters() behaviours {
	set := queue.Settings{Visibility: time.Minute, MaxReceives: 2, DeadLetter: "dead"}
	return behaviours{
		"a message received too often moves": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", set)
			id := k.NewID(0)
			sentAt := k.Now()
			k.put("q", queue.Message{ID: id, Group: "g", Body: []byte("m"), Attributes: []byte("a")})
			k.one("q")
			k.pass(time.Minute)
			k.counts("q", 1, 0, 0)
			k.one("q")
			k.pass(time.Minute)
			k.counts("q", 0, 0, 0)
			k.counts("dead", 1, 0, 0)
			k.restart()
			r := k.one("dead")
			require.Equal(k, id, r.ID)
			require.Equal(k, "q", r.SourceQueue)
			require.Equal(k, "m", string(r.Body))
			require.Equal(k, "a", string(r.Attributes))
			require.Equal(k, "g", r.Group)
			require.Equal(k, sentAt, r.SentAt)
			require.Equal(k, 3, r.Receives)
			k.remove("dead", r)
			k.counts("dead", 0, 0, 0)
		},
		"receives in the queues before are told, and do not count in the next": func(k *kit) {
			k.create("last", queue.Settings{})
			k.create("dead", queue.Settings{Visibility: time.Minute, MaxReceives: 2, DeadLetter: "last"})
			k.create("q", set)
			k.send("q", "m")
			for receives, name := range []string{"q", "q", "dead", "dead", "last"} {
				require.Equal(k, receives+1, k.one(name).Receives)
				k.pass(time.Minute)
			}
		},
		"a counted retry moves, a given-back one does not": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", set)
			k.send("q", "m")
			for range 3 {
				r := k.one("q")
				k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Retry(r.Handle, time.Time{}, true) })
			}
			for range 2 {
				r := k.one("q")
				k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Retry(r.Handle, time.Time{}, false) })
			}
			k.counts("q", 0, 0, 0)
			require.Equal(k, "m", string(k.one("dead").Body))
		},
		"a last receive without a lease gets the message": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", set)
			k.send("q", "m")
			for range 2 {
				got := k.receive("q", queue.ReceiveOptions{Visibility: -1})
				require.Len(k, got, 1)
				require.Equal(k, "m", string(got[0].Body))
			}
			k.counts("q", 0, 0, 0)
			require.Equal(k, "m", string(k.one("dead").Body))
		},
		"an ended visibility moves": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", set)
			k.send("q", "m")
			for range 2 {
				require.NoError(k, k.ChangeVisibility(ctx(), "q", k.one("q").Handle, 0))
			}
			k.counts("dead", 1, 0, 0)
		},
		"a deleted message does not move": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", set)
			k.send("q", "m")
			k.one("q")
			k.pass(time.Minute)
			k.remove("q", k.one("q"))
			k.pass(time.Hour)
			k.counts("dead", 0, 0, 0)
		},
		"without its dead-letter queue a message stays": func(k *kit) {
			k.create("q", set)
			k.send("q", "m")
			for range 5 {
				k.one("q")
				k.pass(time.Minute)
			}
			k.counts("q", 1, 0, 0)
			k.create("dead", queue.Settings{})
			k.one("q")
			k.pass(time.Minute)
			k.counts("dead", 1, 0, 0)
		},
		"FIFO keeps groups and order": func(k *kit) {
			k.create("dead", queue.Settings{FIFO: true})
			fifo := set
			fifo.FIFO = true
			k.create("q", fifo)
			k.sendGroup("q", "g", "a", "b")
			for range 2 {
				require.Equal(k, "a", string(k.one("q").Body))
				k.pass(time.Minute)
			}
			require.Equal(k, "b", string(k.one("q").Body))
			k.pass(time.Minute)
			k.one("q")
			k.pass(time.Minute)
			got := k.take("dead", 10)
			require.Equal(k, []string{"a", "b"}, bodies(got))
			require.Equal(k, "g", got[0].Group)
			k.counts("q", 0, 0, 0)
		},
		"a dead letter wakes one who waits": func(k *kit) {
			k.create("dead", queue.Settings{})
			one := set
			one.MaxReceives = 1
			k.create("q", one)
			k.send("q", "m")
			k.one("q")
			a := <-k.wait(ctx(), "dead", queue.ReceiveOptions{Wait: time.Hour})
			require.Len(k, a.got, 1)
		},
	}
}
