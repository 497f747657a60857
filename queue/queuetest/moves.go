package queuetest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// move starts a move and waits until all is done that takes no time.
func (k *kit) move(m queue.Move) queue.Move {
	k.Helper()
	started, err := k.StartMove(ctx(), m)
	require.NoError(k, err)
	require.False(k, started.ID.IsZero())
	require.Equal(k, queue.MoveRunning, started.Phase)
	synctest.Wait()
	return k.latest(m.Source)
}

// latest is the newest move of a queue.
func (k *kit) latest(source string) queue.Move {
	k.Helper()
	ms, err := k.Moves(source)
	require.NoError(k, err)
	require.NotEmpty(k, ms)
	return ms[0]
}

// bury makes messages dead letters of a queue that keeps none.
func (k *kit) bury(name, group string, bodies ...string) {
	k.Helper()
	k.sendGroup(name, group, bodies...)
	for _, b := range bodies {
		r := k.one(name)
		require.Equal(k, b, string(r.Body))
		k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Retry(r.Handle, time.Time{}, false) })
	}
}

func moves() behaviours {
	all := behaviours{}
	for _, part := range []behaviours{movesOfMessages(), movesInTime(), movesRefused()} {
		for name, fn := range part {
			all[name] = fn
		}
	}
	return all
}

func movesOfMessages() behaviours {
	once := queue.Settings{Visibility: time.Minute, MaxReceives: 1, DeadLetter: "dead"}
	return behaviours{
		"dead letters go back where they came from, as new messages": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("a", once)
			k.create("b", once)
			id := k.NewID(0)
			k.put("a", queue.Message{ID: id, Group: "g", Body: []byte("of a"), Attributes: []byte("attrs")})
			k.one("a")
			k.pass(time.Minute)
			k.bury("b", "", "of b")
			k.pass(time.Hour)
			m := k.move(queue.Move{Source: "dead"})
			require.Equal(k, queue.MoveCompleted, m.Phase)
			require.EqualValues(k, 2, m.Moved)
			require.EqualValues(k, 2, m.ToMove)
			require.Equal(k, k.Now(), m.Started)
			require.Equal(k, k.Now(), m.Ended)
			k.counts("dead", 0, 0, 0)
			r := k.one("a")
			require.Equal(k, "of a", string(r.Body))
			require.Equal(k, "attrs", string(r.Attributes))
			require.Equal(k, "g", r.Group)
			require.NotEqual(k, id, r.ID)
			require.Equal(k, r.Handle.Shard(), r.ID.Shard())
			require.Equal(k, k.Now(), r.SentAt)
			require.Equal(k, 1, r.Receives)
			require.Empty(k, r.SourceQueue)
			require.Equal(k, "of b", string(k.one("b").Body))
		},
		"to a queue that is named go all, whatever they are": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("a", once)
			k.create("to", queue.Settings{})
			k.bury("a", "g", "buried")
			k.send("dead", "sent")
			m := k.move(queue.Move{Source: "dead", Destination: "to"})
			require.Equal(k, queue.MoveCompleted, m.Phase)
			require.ElementsMatch(k, []string{"buried", "sent"}, bodies(k.take("to", 10)))
		},
		"what a receiver could not get stays": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Hour})
			k.create("to", queue.Settings{})
			k.send("q", "leased")
			r := k.one("q")
			k.put("q", queue.Message{Body: []byte("delayed"), Delay: time.Minute})
			k.send("q", "ready")
			m := k.move(queue.Move{Source: "q", Destination: "to"})
			require.EqualValues(k, 1, m.Moved)
			k.counts("q", 0, 1, 1)
			require.Equal(k, "ready", string(k.one("to").Body))
			k.remove("q", r)
			k.counts("q", 0, 0, 1)
		},
		"FIFO keeps order, leaves locked groups and starts deduplication anew": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true, Visibility: time.Hour})
			k.create("to", queue.Settings{FIFO: true})
			k.sendGroup("q", "locked", "l0", "l1")
			require.Equal(k, "l0", string(k.one("q").Body))
			for i := range 300 {
				for _, g := range []string{"a", "b", "c"} {
					k.put("q", queue.Message{Group: g, DedupID: fmt.Sprint(g, i), Body: []byte(fmt.Sprint(g, i))})
				}
			}
			k.put("to", queue.Message{Group: "z", DedupID: "a0", Body: []byte("had that id")})
			m := k.move(queue.Move{Source: "q", Destination: "to"})
			require.EqualValues(k, 900, m.Moved)
			k.counts("q", 1, 1, 0)
			got := map[string][]string{}
			for range 4 { // a receive may stop within a group
				for _, r := range k.take("to", 1000) {
					got[r.Group] = append(got[r.Group], string(r.Body))
					if r.Group != "z" {
						require.Equal(k, r.ID.String(), r.DedupID)
					}
				}
			}
			for _, g := range []string{"a", "b", "c"} {
				require.Equal(k, numbered(g, 300), got[g])
			}
		},
		"a filter by the time of sending": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.send("q", "early")
			k.pass(time.Minute)
			from := k.Now()
			k.send("q", "first")
			k.pass(time.Minute - time.Millisecond)
			k.send("q", "last")
			k.pass(time.Millisecond)
			k.send("q", "late")
			m := k.move(queue.Move{Source: "q", Destination: "to", SentFrom: from, SentBefore: from.Add(time.Minute)})
			require.EqualValues(k, 2, m.Moved)
			require.Equal(k, from, m.SentFrom)
			require.ElementsMatch(k, []string{"first", "last"}, bodies(k.take("to", 10)))
			require.ElementsMatch(k, []string{"early", "late"}, bodies(k.take("q", 10)))
		},
		"messages sent after the start stay": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", once)
			k.bury("q", "", "a", "b", "c")
			k.move(queue.Move{Source: "dead", Rate: 1})
			k.pass(time.Millisecond)
			k.bury("q", "", "a") // the one that is back already
			k.pass(time.Minute)
			require.EqualValues(k, 3, k.latest("dead").Moved)
			k.counts("dead", 1, 0, 0)
		},
		"large messages go in small batches": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.fill("q", 0, 20, func(int) queue.Message { return queue.Message{Body: make([]byte, 512<<10)} })
			require.EqualValues(k, 20, k.move(queue.Move{Source: "q", Destination: "to"}).Moved)
			k.counts("to", 20, 0, 0)
		},
		"one who waits is woken": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.send("q", "m")
			a := k.wait(ctx(), "to", queue.ReceiveOptions{Wait: time.Hour})
			k.move(queue.Move{Source: "q", Destination: "to"})
			require.Equal(k, []string{"m"}, bodies((<-a).got))
		},
	}
}

func movesInTime() behaviours {
	return behaviours{
		"a rate is kept": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.fill("q", 0, 500, func(int) queue.Message { return queue.Message{} })
			m := k.move(queue.Move{Source: "q", Destination: "to", Rate: 50})
			require.Equal(k, 50, m.Rate)
			for i := range 9 {
				k.pass(time.Second)
				require.InDelta(k, 50*(i+1), k.latest("q").Moved, 6)
			}
			require.Equal(k, queue.MoveRunning, k.latest("q").Phase)
			k.pass(2 * time.Second)
			require.Equal(k, queue.MoveCompleted, k.latest("q").Phase)
			k.counts("to", 500, 0, 0)
		},
		"a move goes on after a restart": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			for shard := range k.Shards() {
				k.fill("q", shard, 100, func(i int) queue.Message { return queue.Message{Body: fmt.Append(nil, shard, "/", i)} })
			}
			n := 100 * k.Shards()
			started := k.move(queue.Move{Source: "q", Destination: "to", Rate: 20})
			for range 3 {
				k.pass(time.Second)
				k.restart()
			}
			m := k.latest("q")
			require.Equal(k, started.ID, m.ID)
			require.Equal(k, queue.MoveRunning, m.Phase)
			require.InDelta(k, 60, m.Moved, 15)
			k.pass(time.Duration(n) * time.Second / 20)
			m = k.latest("q")
			require.Equal(k, queue.MoveCompleted, m.Phase)
			require.EqualValues(k, n, m.Moved)
			k.counts("q", 0, 0, 0)
			seen := map[string]bool{}
			for range k.Shards() {
				for _, r := range k.take("to", 1000) {
					require.False(k, seen[string(r.Body)], "twice: %s", r.Body)
					seen[string(r.Body)] = true
				}
			}
			require.Len(k, seen, n)
		},
		"a cancelled move leaves the rest": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.fill("q", 0, 100, func(int) queue.Message { return queue.Message{} })
			started := k.move(queue.Move{Source: "q", Destination: "to", Rate: 10})
			k.pass(5 * time.Second)
			m, err := k.CancelMove(ctx(), started.ID)
			require.NoError(k, err)
			require.Equal(k, queue.MoveCancelled, m.Phase)
			require.InDelta(k, 50, m.Moved, 2)
			k.pass(time.Minute)
			k.restart()
			require.Equal(k, m, k.latest("q"))
			k.counts("to", int(m.Moved), 0, 0)
			k.counts("q", 100-int(m.Moved), 0, 0)
			_, err = k.CancelMove(ctx(), started.ID)
			require.ErrorIs(k, err, queue.ErrNotFound)
			k.move(queue.Move{Source: "q", Destination: "to"})
			k.counts("to", 100, 0, 0)
		},
		"the ten newest are listed": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			ms, err := k.Moves("q")
			require.NoError(k, err)
			require.Empty(k, ms)
			var want []queue.ID
			for i := range 13 {
				k.send("q", "m")
				m := k.move(queue.Move{Source: "q", Destination: "to"})
				require.EqualValues(k, 1, m.Moved, i)
				want = append(want, m.ID)
			}
			k.restart()
			ms, err = k.Moves("q")
			require.NoError(k, err)
			require.Len(k, ms, queue.MovesKept)
			slices.Reverse(want)
			for i, m := range ms {
				require.Equal(k, want[i], m.ID)
				require.EqualValues(k, 1, m.Moved)
			}
		},
		"a purge ends a move, and so does the end of its source": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.fill("q", 0, 100, func(int) queue.Message { return queue.Message{} })
			k.move(queue.Move{Source: "q", Destination: "to", Rate: 10})
			require.NoError(k, k.Purge(ctx(), "q"))
			k.pass(time.Second)
			require.Equal(k, queue.MoveCompleted, k.latest("q").Phase)
			k.fill("q", 0, 100, func(int) queue.Message { return queue.Message{} })
			m := k.move(queue.Move{Source: "q", Destination: "to", Rate: 10})
			require.NoError(k, k.DeleteQueue(ctx(), "q"))
			_, err := k.CancelMove(ctx(), m.ID)
			require.ErrorIs(k, err, queue.ErrNotFound)
			k.create("q", queue.Settings{})
			ms, err := k.Moves("q")
			require.NoError(k, err)
			require.Empty(k, ms, "of the queue that had its name before")
		},
		"a move waits while the disk is nearly full": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.send("q", "m")
			var free atomic.Uint64
			k.options.DiskFree = func() (uint64, uint64, error) { return free.Load(), 100 << 30, nil }
			k.restart()
			require.Equal(k, queue.MoveRunning, k.move(queue.Move{Source: "q", Destination: "to"}).Phase)
			k.counts("q", 1, 0, 0)
			free.Store(50 << 30)
			k.pass(3 * time.Second)
			require.Equal(k, queue.MoveCompleted, k.latest("q").Phase)
			k.counts("to", 1, 0, 0)
		},
	}
}

func movesRefused() behaviours {
	once := queue.Settings{Visibility: time.Minute, MaxReceives: 1, DeadLetter: "dead"}
	return behaviours{
		"a message without a source fails the move": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.send("dead", "m")
			m := k.move(queue.Move{Source: "dead"})
			require.Equal(k, queue.MoveFailed, m.Phase)
			require.Contains(k, m.Reason, "came from no other queue")
			k.counts("dead", 1, 0, 0)
			k.restart()
			require.Equal(k, m, k.latest("dead"))
		},
		"a destination that is gone fails the move": func(k *kit) {
			k.create("dead", queue.Settings{})
			k.create("q", once)
			k.bury("q", "", "m")
			require.NoError(k, k.DeleteQueue(ctx(), "q"))
			m := k.move(queue.Move{Source: "dead"})
			require.Equal(k, queue.MoveFailed, m.Phase)
			require.Contains(k, m.Reason, `"q": not found`)
			k.create("q", queue.Settings{FIFO: true})
			require.Contains(k, k.move(queue.Move{Source: "dead"}).Reason, "FIFO")
			k.counts("dead", 1, 0, 0)
		},
		"one move of a source at a time": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("r", queue.Settings{})
			k.create("to", queue.Settings{})
			k.fill("q", 0, 100, func(int) queue.Message { return queue.Message{} })
			k.move(queue.Move{Source: "q", Destination: "to", Rate: 10})
			for range 2 {
				_, err := k.StartMove(ctx(), queue.Move{Source: "q", Destination: "to"})
				require.ErrorIs(k, err, queue.ErrMoveInProgress)
				require.ErrorContains(k, err, `"q"`)
				k.restart()
			}
			k.move(queue.Move{Source: "r", Destination: "to"})
			k.pass(time.Minute)
			k.counts("to", 100, 0, 0)
		},
		"bad moves": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("to", queue.Settings{})
			k.create("fifo", queue.Settings{FIFO: true})
			for what, m := range map[string]queue.Move{
				"rate":      {Source: "q", Destination: "to", Rate: -1},
				"itself":    {Source: "q", Destination: "q"},
				"fifo":      {Source: "q", Destination: "fifo"},
				"from fifo": {Source: "fifo", Destination: "q"},
				"times":     {Source: "q", Destination: "to", SentFrom: k.Now(), SentBefore: k.Now()},
			} {
				_, err := k.StartMove(ctx(), m)
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			for _, m := range []queue.Move{{Source: "no", Destination: "to"}, {Source: "q", Destination: "no"}} {
				_, err := k.StartMove(ctx(), m)
				require.ErrorIs(k, err, queue.ErrNotFound)
				require.ErrorContains(k, err, `"no"`)
			}
			_, err := k.Moves("no")
			require.ErrorIs(k, err, queue.ErrNotFound)
			_, err = k.CancelMove(ctx(), k.NewID(0))
			require.ErrorIs(k, err, queue.ErrNotFound)
			ms, err := k.Moves("q")
			require.NoError(k, err)
			require.Empty(k, ms)
		},
	}
}
