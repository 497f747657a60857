package queuetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func queues() behaviours {
	return behaviours{
		"a queue is defined, looked up and changed": func(k *kit) {
			at := k.Now()
			set := queue.Settings{Delay: time.Second, Tags: map[string]string{"a": "b"}}
			q, err := k.CreateQueue(ctx(), "q", set)
			require.NoError(k, err)
			require.Equal(k, "q", q.Name)
			require.Equal(k, at, q.Created)
			require.Equal(k, 30*time.Second, q.Settings.Visibility)
			k.pass(time.Second)
			again, err := k.CreateQueue(ctx(), "q", set)
			require.NoError(k, err)
			require.Equal(k, q, again)
			_, err = k.CreateQueue(ctx(), "q", queue.Settings{})
			require.ErrorIs(k, err, queue.ErrQueueExists)
			require.NoError(k, k.ConfigureQueue(ctx(), "q", queue.Settings{Visibility: time.Minute}))
			k.restart()
			q, err = k.Queue("q")
			require.NoError(k, err)
			require.Equal(k, time.Minute, q.Settings.Visibility)
			require.Equal(k, at, q.Created)
			require.Equal(k, at.Add(time.Second), q.Modified)
		},
		"queues are listed in pages": func(k *kit) {
			for i := range 25 {
				k.create(fmt.Sprintf("a%02d", i), queue.Settings{})
			}
			k.create("b", queue.Settings{})
			var names []string
			after := ""
			for {
				page, err := k.Queues("a", after, 10)
				require.NoError(k, err)
				for _, q := range page {
					names = append(names, q.Name)
				}
				if len(page) < 10 {
					break
				}
				after = page[len(page)-1].Name
			}
			require.Len(k, names, 25)
			require.IsIncreasing(k, names)
			_, err := k.Queues("", "", -1)
			require.ErrorIs(k, err, queue.ErrInvalid)
		},
		"a deleted queue is gone, and its messages with it": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", numbered("m", 50)...)
			k.put("q", queue.Message{Delay: time.Hour})
			r := k.one("q")
			require.NoError(k, k.DeleteQueue(ctx(), "q"))
			_, err := k.Queue("q")
			require.ErrorIs(k, err, queue.ErrNotFound)
			_, err = k.Receive(ctx(), "q", queue.ReceiveOptions{})
			require.ErrorIs(k, err, queue.ErrNotFound)
			_, err = k.Stats("q")
			require.ErrorIs(k, err, queue.ErrNotFound)
			require.ErrorIs(k, k.DeleteQueue(ctx(), "q"), queue.ErrNotFound)
			for _, err := range k.Delete(ctx(), "q", r.Handle) {
				require.ErrorIs(k, err, queue.ErrNotFound)
			}
			_, err = k.try(r.Handle.Shard(), func(b *queue.Batch) { b.Delete(r.Handle) })
			require.ErrorIs(k, err, queue.ErrStaleHandle)
			k.create("q", queue.Settings{})
			k.none("q")
			k.counts("q", 0, 0, 0)
			for _, err := range k.Delete(ctx(), "q", r.Handle) {
				require.ErrorIs(k, err, queue.ErrInvalidHandle)
			}
			k.pass(2 * time.Hour)
			k.restart()
			k.counts("q", 0, 0, 0)
		},
		"a purge forgets deduplication ids": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.put("q", queue.Message{DedupID: "1", Body: []byte("old")})
			require.NoError(k, k.Purge(ctx(), "q"))
			require.False(k, k.put("q", queue.Message{DedupID: "1", Body: []byte("new")}).Duplicate)
			require.True(k, k.put("q", queue.Message{DedupID: "1"}).Duplicate)
			require.Equal(k, "new", string(k.one("q").Body))
		},
		"a purge empties a queue once a minute": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			for i := range 30 {
				k.sendGroup("q", fmt.Sprint(i), "old")
			}
			r := k.one("q")
			require.NoError(k, k.Purge(ctx(), "q"))
			k.counts("q", 0, 0, 0)
			k.none("q")
			k.sendGroup("q", r.Group, "new")
			require.ErrorIs(k, k.Purge(ctx(), "q"), queue.ErrPurgeInProgress)
			k.remove("q", r)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Second), queue.ErrNotInFlight)
			require.Equal(k, []string{"new"}, bodies(k.take("q", 10)))
			k.restart()
			k.pass(60 * time.Second)
			k.counts("q", 1, 0, 0)
			require.NoError(k, k.Purge(ctx(), "q"))
			k.counts("q", 0, 0, 0)
			require.ErrorIs(k, k.Purge(ctx(), "unknown"), queue.ErrNotFound)
		},
		"a purge of many and a restart before they are cleaned": func(k *kit) {
			k.create("q", queue.Settings{})
			for range 13 {
				_, err := k.Send(ctx(), "q", make([]queue.Message, 1000)...)
				require.NoError(k, err)
			}
			require.NoError(k, k.Purge(ctx(), "q"))
			k.restart()
			k.counts("q", 0, 0, 0)
			k.pass(time.Minute)
			k.send("q", "m")
			require.Equal(k, []string{"m"}, bodies(k.take("q", 10)))
		},
		"bad settings are refused": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("fifo", queue.Settings{FIFO: true})
			for what, set := range map[string]queue.Settings{
				"visibility":    {Visibility: queue.MaxVisibility + 1},
				"negative":      {Visibility: -1},
				"delay":         {Delay: -1},
				"long delay":    {Delay: queue.MaxDelay + 1},
				"retention":     {Retention: -1},
				"receives":      {MaxReceives: -1},
				"no dead":       {MaxReceives: 1},
				"no receives":   {DeadLetter: "q"},
				"itself":        {MaxReceives: 1, DeadLetter: "bad"},
				"standard dead": {FIFO: true, MaxReceives: 1, DeadLetter: "q"},
				"FIFO dead":     {MaxReceives: 1, DeadLetter: "fifo"},
				"bytes dead":    {MaxReceives: 1, DeadLetter: "a\xff"},
				"bytes tag":     {Tags: map[string]string{"a": "\xff"}},
			} {
				_, err := k.CreateQueue(ctx(), "bad", set)
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			for _, name := range []string{"", strings.Repeat("x", queue.MaxName+1), "a\xff"} {
				_, err := k.CreateQueue(ctx(), name, queue.Settings{})
				require.ErrorIs(k, err, queue.ErrInvalid)
			}
			require.ErrorIs(k, k.ConfigureQueue(ctx(), "q", queue.Settings{FIFO: true}), queue.ErrInvalid)
			require.ErrorIs(k, k.ConfigureQueue(ctx(), "q", queue.Settings{Delay: -1}), queue.ErrInvalid)
			require.ErrorIs(k, k.ConfigureQueue(ctx(), "unknown", queue.Settings{}), queue.ErrNotFound)
			page, err := k.Queues("", "", 0)
			require.NoError(k, err)
			require.Len(k, page, 2)
		},
		"messages are walked without a lease": func(k *kit) {
			k.create("q", queue.Settings{})
			shard := k.Shards() - 1
			for i := range 20 {
				k.put("q", queue.Message{ID: k.NewID(shard), Group: fmt.Sprint(i), Body: fmt.Appendf(nil, "%02d", i)})
			}
			var got []string
			var after uint64
			for {
				n := 0
				require.NoError(k, k.Messages("q", shard, after, func(m queue.Peeked) bool {
					got = append(got, string(m.Body))
					after = m.Position
					n++
					return n < 7
				}))
				if n < 7 {
					break
				}
			}
			require.Len(k, got, 20)
			require.IsIncreasing(k, got)
			k.counts("q", 20, 0, 0)
			require.ErrorIs(k, k.Messages("q", k.Shards(), 0, nil), queue.ErrInvalid)
			require.ErrorIs(k, k.Messages("q", queue.Registry, 0, nil), queue.ErrInvalid)
			require.ErrorIs(k, k.Messages("unknown", 0, 0, nil), queue.ErrNotFound)
		},
	}
}
