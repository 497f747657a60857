package queuetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func (k *kit) record(shard int, key string) (string, uint64) {
	k.Helper()
	r, err := k.Get(shard, []byte(key))
	require.NoError(k, err)
	require.Equal(k, key, string(r.Key))
	return string(r.Value), r.Revision
}

func (k *kit) missing(shard int, key string) {
	k.Helper()
	_, err := k.Get(shard, []byte(key))
	require.ErrorIs(k, err, queue.ErrNotFound)
}

func (k *kit) counter(shard int, key string) int64 {
	k.Helper()
	n, err := k.Counter(shard, []byte(key))
	require.NoError(k, err)
	return n
}

func records() behaviours {
	return behaviours{
		"a view is of one moment": func(k *kit) {
			k.create("q", queue.Settings{})
			change := func(n int64) {
				k.commit(0, func(b *queue.Batch) {
					b.Send("q", queue.Message{ID: k.NewID(0), Body: []byte("m")})
					b.Put(fmt.Appendf(nil, "r%d", n), nil)
					b.Add([]byte("c"), 1)
				})
			}
			change(1)
			require.NoError(k, k.View(0, func(v *queue.View) error {
				for n := range 3 { // what is written meanwhile is not in it
					change(int64(n + 2))
					var records, messages, count int64
					require.NoError(k, v.Scan([]byte("r"), nil, func(queue.Record) bool { records++; return true }))
					require.NoError(k, v.Messages("q", 0, func(queue.Peeked) bool { messages++; return true }))
					require.NoError(k, v.Counters([]byte("c"), func(_ []byte, n int64) bool { count = n; return true }))
					require.Equal(k, []int64{1, 1, 1}, []int64{records, messages, count})
				}
				require.ErrorIs(k, v.Messages("unknown", 0, nil), queue.ErrNotFound)
				return nil
			}))
			require.EqualValues(k, 4, k.counter(0, "c"))
			require.ErrorIs(k, k.View(k.Shards(), nil), queue.ErrInvalid)
			require.ErrorIs(k, k.View(queue.Registry, nil), queue.ErrInvalid)
		},
		"a batch is all or none": func(k *kit) {
			k.create("q", queue.Settings{})
			rev := k.commit(0, func(b *queue.Batch) {
				b.Send("q", queue.Message{Body: []byte("m")})
				b.Put([]byte("a"), []byte("1"))
				b.Add([]byte("a"), 5)
			})
			_, err := k.try(0, func(b *queue.Batch) {
				b.Send("q", queue.Message{})
				b.Put([]byte("a"), []byte("2"))
				b.Remove([]byte("a"))
				b.Add([]byte("a"), 7)
				b.Expect([]byte("a"), rev+100)
			})
			require.ErrorIs(k, err, queue.ErrConflict)
			_, err = k.try(0, func(b *queue.Batch) {
				b.Put([]byte("a"), []byte("2"))
				b.Send("unknown", queue.Message{})
			})
			require.ErrorIs(k, err, queue.ErrNotFound)
			k.counts("q", 1, 0, 0)
			v, r := k.record(0, "a")
			require.Equal(k, "1", v)
			require.Equal(k, rev, r)
			require.EqualValues(k, 5, k.counter(0, "a"))
			require.Equal(k, rev, k.Revision(0))
		},
		"revisions grow and guard": func(k *kit) {
			for _, shard := range []int{0, k.Shards() - 1, queue.Registry} {
				key := []byte("key")
				first := k.commit(shard, func(b *queue.Batch) { b.Expect(key, 0); b.Put(key, nil) })
				_, err := k.try(shard, func(b *queue.Batch) { b.Expect(key, 0); b.Put(key, nil) })
				if shard == 0 || k.Shards() > 1 || shard == queue.Registry {
					require.ErrorIs(k, err, queue.ErrConflict)
				}
				second := k.commit(shard, func(b *queue.Batch) { b.Expect(key, first); b.Put(key, []byte("x")) })
				require.Greater(k, second, first)
				_, err = k.try(shard, func(b *queue.Batch) { b.Expect(key, first); b.Put(key, nil) })
				require.ErrorIs(k, err, queue.ErrConflict)
				k.commit(shard, func(b *queue.Batch) { b.Expect(key, second); b.Remove(key) })
				k.missing(shard, "key")
			}
		},
		"revisions and records survive a restart": func(k *kit) {
			rev := k.commit(0, func(b *queue.Batch) { b.Put([]byte("a"), []byte("1")); b.Add([]byte("n"), -3) })
			k.restart()
			require.Equal(k, rev, k.Revision(0))
			v, r := k.record(0, "a")
			require.Equal(k, "1", v)
			require.Equal(k, rev, r)
			require.EqualValues(k, -3, k.counter(0, "n"))
			require.Greater(k, k.commit(0, func(b *queue.Batch) { b.Put([]byte("b"), nil) }), rev)
		},
		"concurrent batches see each other in order": func(k *kit) {
			const n = 64
			var wg sync.WaitGroup
			wins := make(chan int, n)
			for i := range n {
				wg.Go(func() {
					_, err := k.try(0, func(b *queue.Batch) {
						b.Expect([]byte("one"), 0)
						b.Put([]byte("one"), fmt.Append(nil, i))
						b.Add([]byte("n"), 1)
					})
					if err == nil {
						wins <- i
						return
					}
					require.ErrorIs(k, err, queue.ErrConflict)
				})
			}
			wg.Wait()
			require.Len(k, wins, 1)
			v, _ := k.record(0, "one")
			require.Equal(k, fmt.Sprint(<-wins), v)
			require.EqualValues(k, 1, k.counter(0, "n"))
		},
		"a handle is deleted once among concurrent batches": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					_, _ = k.try(r.Handle.Shard(), func(b *queue.Batch) { b.Delete(r.Handle); b.Add([]byte("deleted"), 1) })
				})
			}
			wg.Wait()
			require.EqualValues(k, 1, k.counter(r.Handle.Shard(), "deleted"))
			k.counts("q", 0, 0, 0)
		},
		"counters add up": func(k *kit) {
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					k.commit(0, func(b *queue.Batch) { b.Add([]byte("sum"), int64(i)); b.Add(fmt.Appendf(nil, "c%02d", i), 1) })
				})
			}
			wg.Wait()
			require.EqualValues(k, 49*50/2, k.counter(0, "sum"))
			k.commit(0, func(b *queue.Batch) { b.Add([]byte("c07"), -1) })
			var keys []string
			require.NoError(k, k.Counters(0, []byte("c"), func(key []byte, n int64) bool {
				require.EqualValues(k, 1, n)
				keys = append(keys, string(key))
				return true
			}))
			require.Len(k, keys, 49)
			require.IsIncreasing(k, keys)
			require.Zero(k, k.counter(0, "c07"))
			require.Zero(k, k.counter(0, "unknown"))
		},
		"scans walk in order and from where they stopped": func(k *kit) {
			k.commit(0, func(b *queue.Batch) {
				for i := range 30 {
					b.Put(fmt.Appendf(nil, "p/%02d", i), fmt.Append(nil, i))
				}
				b.Put([]byte("p"), nil)
				b.Put([]byte("q"), nil)
			})
			var got []string
			var after []byte
			for {
				n := 0
				require.NoError(k, k.Scan(0, []byte("p/"), after, func(r queue.Record) bool {
					got = append(got, string(r.Key))
					after = append([]byte(nil), r.Key...)
					n++
					return n < 8
				}))
				if n < 8 {
					break
				}
			}
			require.Len(k, got, 30)
			require.IsIncreasing(k, got)
			require.NoError(k, k.Scan(0, []byte("p/"), []byte("a"), func(r queue.Record) bool {
				require.Equal(k, "p/00", string(r.Key))
				return false
			}))
		},
		"scans walk back": func(k *kit) {
			k.commit(0, func(b *queue.Batch) {
				for _, key := range []string{"o/9", "p/1", "p/2", "p/3", "q"} {
					b.Put([]byte(key), []byte("v"+key))
				}
			})
			back := func(prefix, before []byte, most int) (got []string) {
				require.NoError(k, k.ScanBack(0, prefix, before, func(r queue.Record) bool {
					require.Equal(k, "v"+string(r.Key), string(r.Value))
					got = append(got, string(r.Key))
					return len(got) < most
				}))
				return got
			}
			p := []byte("p/")
			require.Equal(k, []string{"p/3", "p/2", "p/1"}, back(p, nil, 9))
			require.Equal(k, []string{"p/3"}, back(p, nil, 1))
			require.Equal(k, []string{"p/2", "p/1"}, back(p, []byte("p/3"), 9), "before is left out")
			require.Equal(k, []string{"p/3", "p/2", "p/1"}, back(p, []byte("q"), 9))
			require.Empty(k, back(p, []byte("p/1"), 9))
			require.Empty(k, back(p, []byte("a"), 9))
			require.Equal(k, []string{"q", "p/3", "p/2", "p/1", "o/9"}, back(nil, nil, 9))
		},
		"a prefix is removed with its counters": func(k *kit) {
			k.commit(0, func(b *queue.Batch) {
				for i := range 10 {
					b.Put(fmt.Appendf(nil, "x/%d", i), nil)
					b.Add(fmt.Appendf(nil, "x/%d", i), 1)
				}
				b.Put([]byte("y"), nil)
				b.Add([]byte("y"), 1)
			})
			k.commit(0, func(b *queue.Batch) {
				b.Put([]byte("x/in"), nil)
				b.Add([]byte("x/3"), 5)
				b.RemovePrefix([]byte("x/"))
				b.Put([]byte("x/after"), nil)
				b.Add([]byte("x/3"), 2)
			})
			var got []string
			require.NoError(k, k.Scan(0, nil, nil, func(r queue.Record) bool { got = append(got, string(r.Key)); return true }))
			require.Equal(k, []string{"x/after", "y"}, got)
			sums := map[string]int64{}
			require.NoError(k, k.Counters(0, nil, func(key []byte, n int64) bool { sums[string(key)] = n; return true }))
			require.Equal(k, map[string]int64{"x/3": 2, "y": 1}, sums)
			k.restart()
			require.EqualValues(k, 2, k.counter(0, "x/3"))
		},
		"a watch tells of changes under its prefix": func(k *kit) {
			changed, stop := k.Watch(queue.Registry, []byte("topic/"))
			defer stop()
			told := func() bool {
				synctest.Wait()
				select {
				case <-changed:
					return true
				default:
					return false
				}
			}
			k.commit(queue.Registry, func(b *queue.Batch) { b.Put([]byte("account/1"), nil) })
			k.commit(0, func(b *queue.Batch) { b.Put([]byte("topic/1"), nil) })
			require.False(k, told())
			k.commit(queue.Registry, func(b *queue.Batch) { b.Put([]byte("topic/1"), nil) })
			k.commit(queue.Registry, func(b *queue.Batch) { b.Put([]byte("topic/2"), nil) })
			require.True(k, told())
			require.False(k, told())
			k.commit(queue.Registry, func(b *queue.Batch) { b.RemovePrefix([]byte("topic/")) })
			require.True(k, told())
			stop()
			k.commit(queue.Registry, func(b *queue.Batch) { b.Put([]byte("topic/3"), nil) })
			require.False(k, told())
		},
		"a follower is told of each key before its change is read": func(k *kit) {
			var told []string
			hold := make(chan struct{})
			release := sync.OnceFunc(func() { close(hold) })
			stop := k.Follow(queue.Registry, []byte("topic/"), func(key string) {
				if told = append(told, key); key == "topic/3" {
					<-hold
				}
			})
			defer stop()
			defer release()
			k.commit(0, func(b *queue.Batch) { b.Put([]byte("topic/0"), nil) })
			k.commit(queue.Registry, func(b *queue.Batch) {
				b.Put([]byte("topic/1"), nil)
				b.Put([]byte("account/1"), nil)
				b.Put([]byte("topic/2"), nil)
			})
			require.Equal(k, []string{"topic/1", "topic/2"}, told)
			ended := make(chan error, 2)
			go func() {
				_, err := k.try(queue.Registry, func(b *queue.Batch) { b.Put([]byte("topic/3"), nil) })
				ended <- err
			}()
			synctest.Wait()
			go func() {
				_, err := k.Get(queue.Registry, []byte("topic/3"))
				ended <- err
			}()
			synctest.Wait()
			require.Equal(k, []string{"topic/1", "topic/2", "topic/3"}, told)
			require.Empty(k, ended, "read or answered before the follower knew all")
			release()
			require.NoError(k, errors.Join(<-ended, <-ended))
			k.commit(queue.Registry, func(b *queue.Batch) { b.RemovePrefix([]byte("topic/")) })
			require.ElementsMatch(k, []string{"topic/1", "topic/2", "topic/3"}, told[3:])
			stop()
			k.commit(queue.Registry, func(b *queue.Batch) { b.Put([]byte("topic/4"), nil) })
			require.Len(k, told, 6)
		},
		"the registry holds no messages": func(k *kit) {
			k.create("q", queue.Settings{})
			_, err := k.try(queue.Registry, func(b *queue.Batch) { b.Send("q", queue.Message{}) })
			require.ErrorIs(k, err, queue.ErrInvalid)
			k.commit(queue.Registry, func(b *queue.Batch) { b.Add([]byte("n"), 1); b.Unsynced() })
			require.EqualValues(k, 1, k.counter(queue.Registry, "n"))
		},
		"bad batches are refused": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			h := k.one("q").Handle
			big := make([]byte, queue.MaxValue+1)
			for what, change := range map[string]func(b *queue.Batch){
				"empty key":    func(b *queue.Batch) { b.Put(nil, nil) },
				"long key":     func(b *queue.Batch) { b.Add([]byte(strings.Repeat("k", queue.MaxKey+1)), 1) },
				"long value":   func(b *queue.Batch) { b.Put([]byte("k"), big) },
				"empty prefix": func(b *queue.Batch) { b.RemovePrefix(nil) },
				"empty expect": func(b *queue.Batch) { b.Expect(nil, 0) },
				"far retry":    func(b *queue.Batch) { b.Retry(h, k.Now().Add(queue.MaxDelay+time.Hour), false) },
				"too much": func(b *queue.Batch) {
					for i := range 9 {
						b.Put(fmt.Append(nil, i), big[1:])
					}
				},
			} {
				_, err := k.try(h.Shard(), func(b *queue.Batch) { b.Put([]byte("trace"), nil); change(b) })
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
			for _, shard := range []int{-2, k.Shards()} {
				_, err := k.try(shard, func(b *queue.Batch) {})
				require.ErrorIs(k, err, queue.ErrInvalid)
				_, err = k.Get(shard, []byte("k"))
				require.ErrorIs(k, err, queue.ErrInvalid)
				require.ErrorIs(k, k.Scan(shard, nil, nil, nil), queue.ErrInvalid)
				require.ErrorIs(k, k.ScanBack(shard, nil, nil, nil), queue.ErrInvalid)
				_, err = k.Counter(shard, []byte("k"))
				require.ErrorIs(k, err, queue.ErrInvalid)
			}
			_, err := k.Commit(ctx(), 0, nil)
			require.ErrorIs(k, err, queue.ErrInvalid)
			k.missing(h.Shard(), "trace")
			k.counts("q", 0, 1, 0)
		},
	}
}
