package queuetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func fifo() behaviours {
	return behaviours{
		"a group keeps its order and is locked while leased": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			sent := k.sendGroup("q", "g", "a", "b", "c")
			require.Less(k, sent[0].Sequence, sent[1].Sequence)
			require.Less(k, sent[1].Sequence, sent[2].Sequence)
			a := k.one("q")
			require.Equal(k, "a", string(a.Body))
			require.Equal(k, sent[0].Sequence, a.Sequence)
			k.none("q")
			k.remove("q", a)
			rest := k.take("q", 10)
			require.Equal(k, []string{"b", "c"}, bodies(rest))
			k.remove("q", rest[1])
			k.none("q")
			k.remove("q", rest[0])
			k.counts("q", 0, 0, 0)
		},
		"groups do not hold each other up": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			for i := range 40 {
				k.sendGroup("q", fmt.Sprintf("g%d", i), "1", "2")
			}
			seen := map[string]bool{}
			for range 40 {
				r := k.one("q")
				require.Equal(k, "1", string(r.Body))
				require.False(k, seen[r.Group])
				seen[r.Group] = true
			}
			k.none("q")
			k.counts("q", 40, 40, 0)
		},
		"a receive takes what a group has before the next": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			for _, m := range []struct{ group, body string }{{"a", "1"}, {"b", "4"}, {"a", "2"}, {"b", "5"}, {"a", "3"}} {
				k.sendGroup("q", m.group, m.body)
			}
			require.Equal(k, []string{"1", "2"}, bodies(k.receive("q", queue.ReceiveOptions{Max: 2, Visibility: -1})))
			require.Equal(k, []string{"4", "5", "1", "2"}, bodies(k.take("q", 4)), "and the other group is next")
		},
		"an ended lease keeps the order": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true, Visibility: time.Minute})
			k.sendGroup("q", "g", "a", "b", "c")
			require.Equal(k, []string{"a", "b"}, bodies(k.take("q", 2)))
			k.pass(time.Minute)
			got := k.take("q", 10)
			require.Equal(k, []string{"a", "b", "c"}, bodies(got))
			require.Equal(k, 2, got[0].Receives)
			require.Equal(k, 1, got[2].Receives)
		},
		"a message in backoff holds its group": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b")
			k.sendGroup("q", "h", "c")
			a := k.receive("q", queue.ReceiveOptions{Max: 1, Skip: func(g string) bool { return g != "g" }})[0]
			k.commit(a.Handle.Shard(), func(b *queue.Batch) { b.Retry(a.Handle, k.Now().Add(time.Hour), false) })
			require.Equal(k, []string{"c"}, bodies(k.take("q", 10)))
			k.restart()
			k.none("q")
			k.pass(time.Hour)
			require.Equal(k, "a", bodies(k.receive("q", queue.ReceiveOptions{Max: 2, Skip: func(g string) bool { return g != "g" }}))[0])
		},
		"the lock survives a restart": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b")
			a := k.one("q")
			k.restart()
			k.none("q")
			k.counts("q", 1, 1, 0)
			k.remove("q", a)
			require.Equal(k, "b", string(k.one("q").Body))
		},
		"an early delete of one keeps the lock of the other": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b", "c")
			got := k.take("q", 2)
			k.remove("q", got[0])
			k.none("q")
			k.remove("q", got[1])
			require.Equal(k, []string{"c"}, bodies(k.take("q", 10)))
		},
		"the first of a group is given again while others are out": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b", "c", "d")
			got := k.take("q", 3)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", got[1].Handle, 0))
			k.none("q")
			require.NoError(k, k.ChangeVisibility(ctx(), "q", got[0].Handle, 0))
			k.restart()
			again := k.take("q", 10)
			require.Equal(k, []string{"a"}, bodies(again), "b comes after it, and before c")
			k.none("q")
			k.remove("q", again...)
			k.none("q")
			k.remove("q", got[2])
			require.Equal(k, []string{"b", "d"}, bodies(k.take("q", 10)))
		},
		"messages without a group are one group": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.send("q", "a", "b")
			require.Equal(k, "a", string(k.one("q").Body))
			k.none("q")
		},
		"a deduplication id counts for 5 minutes": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			m := queue.Message{Group: "g", DedupID: "1", Body: []byte("a")}
			first := k.put("q", m)
			m.Body = []byte("b")
			again := k.put("q", m)
			require.True(k, again.Duplicate)
			require.Equal(k, first.ID, again.ID)
			require.Equal(k, first.Sequence, again.Sequence)
			k.remove("q", k.one("q"))
			k.restart()
			k.pass(queue.DedupWindow - time.Second)
			require.True(k, k.put("q", m).Duplicate)
			k.none("q")
			k.pass(time.Second)
			require.False(k, k.put("q", m).Duplicate)
			require.Equal(k, "b", string(k.one("q").Body))
		},
		"deduplication within one batch": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			sent, err := k.Send(ctx(), "q", queue.Message{DedupID: "1"}, queue.Message{DedupID: "1"}, queue.Message{DedupID: "2"})
			require.NoError(k, err)
			require.Equal(k, []bool{false, true, false}, []bool{sent[0].Duplicate, sent[1].Duplicate, sent[2].Duplicate})
			k.counts("q", 2, 0, 0)
		},
		"deduplication scopes": func(k *kit) {
			k.create("content", queue.Settings{FIFO: true, ContentDedup: true})
			k.create("grouped", queue.Settings{FIFO: true, DedupPerGroup: true})
			k.create("standard", queue.Settings{})
			for range 2 {
				k.put("content", queue.Message{Body: []byte("same")})
				k.put("content", queue.Message{Body: []byte("same"), DedupID: "own"})
				k.put("content", queue.Message{Body: []byte("other"), DedupID: "0967115f2813a3541eaef77de9d9d5773f1c0c04314b0bbfe4ff3b3b1c55b5d5"})
				k.put("grouped", queue.Message{Group: "a", DedupID: "1"})
				k.put("grouped", queue.Message{Group: "b", DedupID: "1"})
				k.put("standard", queue.Message{DedupID: "1"})
			}
			k.counts("content", 2, 0, 0)
			k.counts("grouped", 2, 0, 0)
			k.counts("standard", 2, 0, 0)
		},
		"old deduplication ids leave no trace": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			for i := range 50 {
				k.put("q", queue.Message{DedupID: fmt.Sprint(i)})
				k.pass(time.Minute)
			}
			require.False(k, k.put("q", queue.Message{DedupID: "0"}).Duplicate)
			require.True(k, k.put("q", queue.Message{DedupID: "49"}).Duplicate)
		},
		"a delayed queue keeps the order": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true, Delay: time.Minute})
			k.sendGroup("q", "g", numbered("m", 20)...)
			k.none("q")
			k.pass(time.Minute)
			require.Equal(k, numbered("m", 20), bodies(k.take("q", 100)))
		},
	}
}
