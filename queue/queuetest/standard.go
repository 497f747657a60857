package queuetest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func standard() behaviours {
	return behaviours{
		"a message comes out as it went in": func(k *kit) {
			k.create("q", queue.Settings{})
			id := k.NewID(k.Shards() - 1).WithOrdinal(7)
			at := k.Now()
			sent := k.put("q", queue.Message{ID: id, Group: "g\x00h", Body: []byte("body"), Attributes: []byte("attrs")})
			require.Equal(k, id, sent.ID)
			require.False(k, sent.Duplicate)
			k.pass(time.Second)
			r := k.one("q")
			require.Equal(k, id, r.ID)
			require.Equal(k, "g\x00h", r.Group)
			require.Equal(k, "body", string(r.Body))
			require.Equal(k, "attrs", string(r.Attributes))
			require.Equal(k, "q", r.Queue)
			require.Equal(k, 1, r.Receives)
			require.Equal(k, at, r.SentAt)
			require.Equal(k, at.Add(time.Second), r.FirstReceive)
			require.Equal(k, at.Add(31*time.Second), r.VisibleAt)
			require.Empty(k, r.SourceQueue)
			require.Equal(k, k.Shards()-1, r.Handle.Shard())
		},
		"empty bodies and large ones": func(k *kit) {
			k.create("q", queue.Settings{})
			k.put("q", queue.Message{})
			require.Empty(k, k.one("q").Body)
			k.put("q", queue.Message{Body: make([]byte, queue.MaxMessage)})
			require.Len(k, k.one("q").Body, queue.MaxMessage)
		},
		"ids are assigned and grow": func(k *kit) {
			k.create("q", queue.Settings{})
			seen := map[queue.ID]bool{}
			for range 100 {
				seen[k.send("q", "x")[0].ID] = true
			}
			require.Len(k, seen, 100)
			last := k.NewID(0)
			for range 100 {
				next := k.NewID(0)
				require.Less(k, last.String(), next.String())
				last = next
			}
		},
		"a batch goes in at once": func(k *kit) {
			k.create("q", queue.Settings{})
			sent, err := k.Send(ctx(), "q", queue.Message{Body: []byte("a")}, queue.Message{Body: []byte("b")})
			require.NoError(k, err)
			require.Len(k, sent, 2)
			require.Equal(k, sent[0].ID.Shard(), sent[1].ID.Shard())
			require.ElementsMatch(k, []string{"a", "b"}, bodies(k.take("q", 10)))
		},
		"each message is had once": func(k *kit) {
			k.create("q", queue.Settings{})
			want := numbered("m", 300)
			k.send("q", want...)
			var got []string
			for range 100 {
				got = append(got, bodies(k.take("q", 7))...)
			}
			require.ElementsMatch(k, want, got)
			k.counts("q", 0, 300, 0)
		},
		"a delay hides a message": func(k *kit) {
			k.create("q", queue.Settings{Delay: time.Minute})
			k.put("q", queue.Message{Body: []byte("queue's")})
			k.put("q", queue.Message{Body: []byte("own"), Delay: 2 * time.Minute})
			k.put("q", queue.Message{Body: []byte("none"), Delay: -1})
			k.put("q", queue.Message{Body: []byte("at"), At: k.Now().Add(400 * 24 * time.Hour)})
			k.put("q", queue.Message{Body: []byte("past"), At: k.Now().Add(-time.Hour)})
			k.counts("q", 2, 0, 3)
			require.ElementsMatch(k, []string{"none", "past"}, bodies(k.take("q", 10)))
			k.pass(time.Minute - time.Millisecond)
			require.NotContains(k, bodies(k.take("q", 10)), "queue's")
			k.pass(time.Millisecond)
			require.Contains(k, bodies(k.take("q", 10)), "queue's")
			k.pass(time.Minute)
			require.Contains(k, bodies(k.take("q", 10)), "own")
			k.pass(400*24*time.Hour - 2*time.Minute - time.Millisecond)
			require.NotContains(k, bodies(k.take("q", 10)), "at")
			k.pass(time.Millisecond)
			require.Contains(k, bodies(k.take("q", 10)), "at")
		},
		"a restart keeps delays": func(k *kit) {
			k.create("q", queue.Settings{})
			k.put("q", queue.Message{Body: []byte("m"), Delay: time.Hour})
			k.restart()
			k.counts("q", 0, 0, 1)
			k.pass(time.Hour)
			k.counts("q", 1, 0, 0)
			require.Equal(k, "m", string(k.one("q").Body))
		},
		"many messages come due together": func(k *kit) {
			k.create("q", queue.Settings{})
			const n = 1000 + 4000/Slowdown
			k.fill("q", 0, n, func(int) queue.Message { return queue.Message{Delay: time.Hour} })
			k.pass(time.Hour + time.Second)
			k.counts("q", n, 0, 0)
			require.Len(k, k.take("q", 1000), 1000)
		},
		"groups take turns": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 3000, func(i int) queue.Message {
				return queue.Message{Group: "loud", Body: fmt.Appendf(nil, "loud%d", i)}
			})
			k.put("q", queue.Message{ID: k.NewID(0), Group: "quiet", Body: []byte("quiet")})
			got := append(bodies(k.take("q", 5)), bodies(k.take("q", 5))...)
			require.Contains(k, got, "quiet")
			require.Len(k, k.take("q", 1000), 1000)
			k.put("q", queue.Message{ID: k.NewID(0), Group: "quiet", Body: []byte("quiet2")})
			require.Contains(k, bodies(k.take("q", 2)), "quiet2")
		},
		"groups beyond memory take turns after a restart": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 2500, func(i int) queue.Message {
				return queue.Message{Group: fmt.Sprintf("g%04d", i), Body: fmt.Appendf(nil, "%d", i)}
			})
			k.restart()
			seen := map[string]bool{}
			for range 5 {
				for _, r := range k.take("q", 500) {
					require.False(k, seen[r.Group])
					seen[r.Group] = true
				}
			}
			require.Len(k, seen, 2500)
			k.none("q")
		},
		"a skipped group is passed over without a trace": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 2000, func(i int) queue.Message {
				return queue.Message{Group: fmt.Sprintf("blocked%d", i%1500), Body: []byte("no")}
			})
			k.put("q", queue.Message{ID: k.NewID(0), Group: "zopen", Body: []byte("yes")})
			rev := k.Revision(0)
			skip := func(g string) bool { return strings.HasPrefix(g, "blocked") }
			got := k.receive("q", queue.ReceiveOptions{Max: 10, Skip: skip})
			require.Equal(k, []string{"yes"}, bodies(got))
			require.Empty(k, k.receive("q", queue.ReceiveOptions{Max: 10, Skip: skip}))
			require.Equal(k, rev, k.Revision(0))
			k.counts("q", 2000, 1, 0)
			total := 0
			for range 10 {
				total += len(k.take("q", 500))
			}
			require.Equal(k, 2000, total)
		},
		"per group bounds what one receive takes of it": func(k *kit) {
			k.create("q", queue.Settings{})
			for range 10 {
				k.put("q", queue.Message{ID: k.NewID(0), Group: "a"})
				k.put("q", queue.Message{ID: k.NewID(0), Group: "b"})
			}
			require.Len(k, k.receive("q", queue.ReceiveOptions{Max: 10, PerGroup: 2}), 4)
			require.Len(k, k.receive("q", queue.ReceiveOptions{Max: 3, PerGroup: 2}), 3)
		},
		"retention deletes by the current setting": func(k *kit) {
			k.create("q", queue.Settings{Retention: time.Hour})
			k.send("q", "old")
			k.put("q", queue.Message{Body: []byte("delayed"), Delay: 30 * time.Minute})
			k.pass(30 * time.Minute)
			k.send("q", "new")
			require.Len(k, k.take("q", 1), 1)
			k.pass(30*time.Minute + time.Second)
			k.counts("q", 2, 0, 0)
			k.restart()
			k.pass(30*time.Minute + time.Second)
			k.counts("q", 0, 0, 0)
			k.send("q", "kept")
			require.NoError(k, k.ConfigureQueue(ctx(), "q", queue.Settings{Retention: 3 * time.Hour}))
			k.pass(2 * time.Hour)
			k.counts("q", 1, 0, 0)
			require.NoError(k, k.ConfigureQueue(ctx(), "q", queue.Settings{Retention: time.Minute}))
			k.pass(time.Second)
			k.counts("q", 0, 0, 0)
		},
		"retention also takes what is in flight": func(k *kit) {
			k.create("q", queue.Settings{Retention: time.Minute})
			k.send("q", "m")
			r := k.receive("q", queue.ReceiveOptions{Visibility: time.Hour})[0]
			k.pass(61 * time.Second)
			k.counts("q", 0, 0, 0)
			k.remove("q", r)
			k.pass(2 * time.Hour)
			k.none("q")
		},
		"the oldest message is known": func(k *kit) {
			k.create("q", queue.Settings{})
			require.Zero(k, k.stats("q").Oldest)
			first := k.Now()
			k.send("q", "a")
			k.pass(time.Minute)
			second := k.Now()
			k.send("q", "b")
			k.put("q", queue.Message{Delay: time.Hour})
			require.Equal(k, first, k.stats("q").Oldest)
			got := k.take("q", 10)
			require.Equal(k, first, k.stats("q").Oldest)
			for _, r := range got {
				if string(r.Body) == "a" {
					k.remove("q", r)
				}
			}
			require.Equal(k, second, k.stats("q").Oldest)
			k.restart()
			require.Equal(k, second, k.stats("q").Oldest)
		},
		"bad messages are refused whole": func(k *kit) {
			k.create("q", queue.Settings{})
			other := queue.MakeID(k.Now(), k.Shards(), 1, 0)
			bad := map[string]queue.Message{
				"body":       {Body: make([]byte, queue.MaxMessage+1)},
				"attributes": {Attributes: make([]byte, queue.MaxMessage+1)},
				"group":      {Group: strings.Repeat("g", queue.MaxName+1)},
				"dedup id":   {DedupID: strings.Repeat("g", queue.MaxName+1)},
				"delay":      {Delay: queue.MaxDelay + 1},
				"at":         {At: k.Now().Add(queue.MaxDelay + time.Hour)},
				"far at":     {At: time.Unix(1<<62, 0)},
				"farther at": {At: time.Unix(math.MaxInt64/1000+1, 0)},
				"shard":      {ID: other},
			}
			for what, m := range bad {
				_, err := k.Send(ctx(), "q", queue.Message{Body: []byte("good")}, m)
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			_, err := k.Send(ctx(), "q")
			require.ErrorIs(k, err, queue.ErrInvalid)
			_, err = k.Send(ctx(), "q", make([]queue.Message, queue.MaxBatch+1)...)
			require.ErrorIs(k, err, queue.ErrInvalid)
			_, err = k.Send(ctx(), "unknown", queue.Message{})
			require.ErrorIs(k, err, queue.ErrNotFound)
			require.ErrorContains(k, err, "unknown")
			k.counts("q", 0, 0, 0)
		},
		"bad receives are refused": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			for what, o := range map[string]queue.ReceiveOptions{
				"max":        {Max: queue.MaxBatch + 1},
				"negative":   {Max: -1},
				"wait":       {Wait: -1},
				"visibility": {Visibility: queue.MaxVisibility + 1},
				"per group":  {PerGroup: -1},
				"attempt":    {AttemptID: strings.Repeat("a", queue.MaxName+1)},
			} {
				_, err := k.Receive(ctx(), "q", o)
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			_, err := k.Receive(ctx(), "unknown", queue.ReceiveOptions{})
			require.ErrorIs(k, err, queue.ErrNotFound)
			k.counts("q", 1, 0, 0)
		},
	}
}
