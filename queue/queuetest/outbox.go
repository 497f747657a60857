package queuetest

import (
	"context"
	"fmt"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// outbox is what batches forward to other shards.
func outbox() behaviours {
	return behaviours{
		"changes reach another shard": func(k *kit) {
			k.create("q", queue.Settings{})
			k.commit(0, func(b *queue.Batch) { b.Put([]byte("old"), nil) })
			id := k.NewID(0)
			at := k.Now().Add(time.Hour)
			k.commit(queue.Registry, func(b *queue.Batch) {
				b.Put([]byte("here"), []byte("v"))
				changes := new(queue.Batch)
				changes.Put([]byte("there"), []byte("w"))
				changes.Add([]byte("n"), -3)
				changes.Remove([]byte("old"))
				changes.Send("q", queue.Message{ID: id, Group: "g", Body: []byte("body"), Attributes: []byte("attrs")})
				changes.Send("q", queue.Message{Body: []byte("later"), At: at})
				changes.Send("q", queue.Message{Body: []byte("delayed"), Delay: time.Minute})
				b.Forward(0, changes)
			})
			synctest.Wait()
			r, err := k.Get(0, []byte("there"))
			require.NoError(k, err)
			require.Equal(k, "w", string(r.Value))
			k.missing(0, "old")
			n, err := k.Counter(0, []byte("n"))
			require.NoError(k, err)
			require.EqualValues(k, -3, n)
			m := k.one("q")
			require.Equal(k, id, m.ID)
			require.Equal(k, []string{"g", "body", "attrs"}, []string{m.Group, string(m.Body), string(m.Attributes)})
			k.counts("q", 0, 1, 2)
			k.remove("q", m)
			k.pass(time.Minute)
			require.Equal(k, "delayed", string(k.one("q").Body))
			k.pass(time.Until(at) - time.Millisecond)
			k.counts("q", 1, 0, 1)
			k.pass(time.Millisecond)
			k.counts("q", 2, 0, 0)
		},
		"changes for the own shard are part of the batch": func(k *kit) {
			k.create("q", queue.Settings{})
			for shard := range k.Shards() {
				k.commit(shard, func(b *queue.Batch) {
					changes := new(queue.Batch)
					changes.Send("q", queue.Message{Body: []byte("m")})
					b.Forward(shard, changes)
				})
				k.remove("q", k.one("q"))
			}
		},
		"a time long ago is one": func(k *kit) {
			k.create("q", queue.Settings{Delay: time.Hour})
			k.commit(queue.Registry, func(b *queue.Batch) {
				changes := new(queue.Batch)
				changes.Send("q", queue.Message{At: time.Unix(0, 0)})
				b.Forward(0, changes)
			})
			synctest.Wait()
			k.counts("q", 1, 0, 0)
		},
		"one who waits for it sees it applied, in order": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			group := "g"
			to := k.FIFOShard(group, false)
			for i := range 500 {
				b := new(queue.Batch)
				changes := new(queue.Batch)
				changes.Send("q", queue.Message{Group: group, Body: fmt.Append(nil, i)})
				changes.Put([]byte("last"), fmt.Append(nil, i))
				b.Forward(to, changes)
				if i%100 != 99 {
					_, err := k.Commit(ctx(), queue.Registry, b)
					require.NoError(k, err)
					continue
				}
				rev, err := k.CommitApplied(ctx(), queue.Registry, b)
				require.NoError(k, err)
				require.NotZero(k, rev)
				r, err := k.Get(to, []byte("last"))
				require.NoError(k, err)
				require.Equal(k, fmt.Sprint(i), string(r.Value))
				if i == 299 {
					k.restart()
				}
			}
			require.Equal(k, numbered("", 500), bodies(k.take("q", 1000)))
		},
		"the wait is bounded": func(k *kit) {
			short, cancel := context.WithCancel(ctx())
			cancel()
			b := new(queue.Batch)
			b.Forward(0, new(queue.Batch))
			rev, err := k.CommitApplied(short, queue.Registry, b)
			require.ErrorIs(k, err, context.Canceled)
			require.Zero(k, rev, "nothing was committed")
		},
		"what has become impossible is left out": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("gone", queue.Settings{})
			b := new(queue.Batch)
			changes := new(queue.Batch)
			changes.Send("gone", queue.Message{})
			changes.Send("q", queue.Message{Body: []byte("m")})
			b.Forward(0, changes)
			b.After(func() { require.NoError(k, k.DeleteQueue(ctx(), "gone")) })
			_, err := k.CommitApplied(ctx(), queue.Registry, b)
			require.NoError(k, err)
			require.Equal(k, "m", string(k.one("q").Body))
		},
		"bad forwards": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			h := k.one("q").Handle
			for what, change := range map[string]func(b *queue.Batch){
				"delete":       func(b *queue.Batch) { b.Delete(h) },
				"retry":        func(b *queue.Batch) { b.Retry(h, time.Time{}, false) },
				"expect":       func(b *queue.Batch) { b.Expect([]byte("k"), 0) },
				"prefix":       func(b *queue.Batch) { b.RemovePrefix([]byte("k")) },
				"forward":      func(b *queue.Batch) { b.Forward(queue.Registry, new(queue.Batch)) },
				"empty key":    func(b *queue.Batch) { b.Put(nil, nil) },
				"other's id":   func(b *queue.Batch) { b.Send("q", queue.Message{ID: queue.MakeID(k.Now(), 200, 1, 0)}) },
				"long message": func(b *queue.Batch) { b.Send("q", queue.Message{Body: make([]byte, queue.MaxMessage+1)}) },
			} {
				_, err := k.try(queue.Registry, func(b *queue.Batch) {
					b.Put([]byte("k"), nil)
					changes := new(queue.Batch)
					change(changes)
					b.Forward(0, changes)
				})
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			_, err := k.try(0, func(b *queue.Batch) { b.Forward(queue.MaxShards, new(queue.Batch)) })
			require.ErrorIs(k, err, queue.ErrInvalid)
			_, err = k.try(0, func(b *queue.Batch) { b.Forward(queue.Registry, nil) })
			require.ErrorIs(k, err, queue.ErrInvalid)
			k.missing(queue.Registry, "k")
		},
	}
}
