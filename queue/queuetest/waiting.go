package queuetest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

type answer struct {
	got []queue.Received
	err error
	at  time.Time
}

// wait receives in the background.
func (k *kit) wait(c context.Context, name string, o queue.ReceiveOptions) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		got, err := k.Receive(c, name, o)
		ch <- answer{got, err, time.Now()}
	}()
	synctest.Wait()
	return ch
}

func waiting() behaviours {
	long := queue.ReceiveOptions{Max: 10, Wait: 20 * time.Second}
	return behaviours{
		"a send wakes one who waits": func(k *kit) {
			k.create("q", queue.Settings{})
			ch := k.wait(ctx(), "q", long)
			k.pass(5 * time.Second)
			start := time.Now()
			k.send("q", "m")
			a := <-ch
			require.NoError(k, a.err)
			require.Equal(k, []string{"m"}, bodies(a.got))
			require.Equal(k, start, a.at)
		},
		"a timer wakes one who waits": func(k *kit) {
			k.create("q", queue.Settings{})
			k.put("q", queue.Message{Body: []byte("m"), Delay: 5 * time.Second})
			start := time.Now()
			a := <-k.wait(ctx(), "q", long)
			require.Equal(k, []string{"m"}, bodies(a.got))
			require.WithinDuration(k, start.Add(5*time.Second), a.at, 50*time.Millisecond)
		},
		"an ended lease wakes one who waits": func(k *kit) {
			k.create("q", queue.Settings{Visibility: 3 * time.Second})
			k.send("q", "m")
			k.one("q")
			require.Len(k, (<-k.wait(ctx(), "q", long)).got, 1)
		},
		"an unlocked group wakes one who waits": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b")
			a := k.one("q")
			ch := k.wait(ctx(), "q", long)
			k.remove("q", a)
			require.Equal(k, []string{"b"}, bodies((<-ch).got))
		},
		"nothing comes": func(k *kit) {
			k.create("q", queue.Settings{})
			start := time.Now()
			a := <-k.wait(ctx(), "q", long)
			require.NoError(k, a.err)
			require.Empty(k, a.got)
			require.Equal(k, start.Add(20*time.Second), a.at)
		},
		"ten thousand wait and each has one": func(k *kit) {
			k.create("q", queue.Settings{})
			const n = 10_000 / Slowdown
			all := make(chan answer, n)
			for range n {
				go func() {
					got, err := k.Receive(ctx(), "q", queue.ReceiveOptions{Max: 1, Wait: time.Hour})
					all <- answer{got, err, time.Now()}
				}()
			}
			synctest.Wait()
			seen := map[string]bool{}
			for i := range 10 {
				msgs := make([]queue.Message, n/10)
				for j := range msgs {
					msgs[j].Body = fmt.Appendf(nil, "%d/%d", i, j)
				}
				_, err := k.Send(ctx(), "q", msgs...)
				require.NoError(k, err)
				for range msgs {
					a := <-all
					require.NoError(k, a.err)
					require.Len(k, a.got, 1)
					seen[string(a.got[0].Body)] = true
				}
			}
			require.Len(k, seen, n)
		},
		"one who passes a message lets another have it": func(k *kit) {
			k.create("q", queue.Settings{})
			picky := long
			picky.Skip = func(string) bool { return true }
			first := k.wait(ctx(), "q", picky)
			second := k.wait(ctx(), "q", long)
			k.send("q", "m")
			require.Len(k, (<-second).got, 1)
			require.Empty(k, (<-first).got)
		},
		"waiting ends": func(k *kit) {
			k.create("q", queue.Settings{})
			c, cancel := context.WithCancel(ctx())
			ch := k.wait(c, "q", long)
			cancel()
			require.ErrorIs(k, (<-ch).err, context.Canceled)
			ch = k.wait(ctx(), "q", long)
			require.NoError(k, k.DeleteQueue(ctx(), "q"))
			require.ErrorIs(k, (<-ch).err, queue.ErrNotFound)
			k.create("q", queue.Settings{})
			ch = k.wait(ctx(), "q", long)
			require.NoError(k, k.Close())
			require.ErrorIs(k, (<-ch).err, queue.ErrClosed)
			k.Store = k.open(k.T, k.options)
			_, err := k.Receive(c, "q", long)
			require.ErrorIs(k, err, context.Canceled)
		},
		"arrivals signal whatever becomes ready": func(k *kit) {
			k.create("q", queue.Settings{Visibility: 3 * time.Second})
			arrived, stop := k.Arrivals("q")
			rings := func() bool {
				synctest.Wait()
				select {
				case <-arrived:
					return true
				default:
					return false
				}
			}
			require.False(k, rings())
			k.send("q", "a", "b")
			require.True(k, rings(), "sent")
			require.False(k, rings(), "several are one signal")
			k.put("q", queue.Message{Body: []byte("c"), Delay: 5 * time.Second})
			require.False(k, rings(), "delayed")
			k.pass(5*time.Second + 100*time.Millisecond)
			require.True(k, rings(), "come due")
			leased := k.take("q", 3)
			require.Len(k, leased, 3)
			require.False(k, rings(), "leased")
			k.commit(leased[0].Handle.Shard(), func(b *queue.Batch) { b.Retry(leased[0].Handle, time.Time{}, true) })
			require.True(k, rings(), "retried")
			k.pass(3*time.Second + 100*time.Millisecond)
			require.True(k, rings(), "leases ended")
			stop()
			k.send("q", "d")
			require.False(k, rings(), "stopped")
			_, stop = k.Arrivals("nowhere")
			stop()
		},
		"an idle store does not write": func(k *kit) {
			k.create("q", queue.Settings{Retention: 30 * 24 * time.Hour})
			k.put("q", queue.Message{Delay: 10 * 24 * time.Hour})
			k.send("q", "m")
			k.one("q")
			k.pass(time.Hour)
			before := k.changes()
			k.pass(24 * time.Hour)
			require.Equal(k, before, k.changes())
		},
	}
}
