package queuetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

func swapCase(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z':
		return r - 'a' + 'A'
	case 'A' <= r && r <= 'Z':
		return r - 'A' + 'a'
	}
	return r
}

func leases() behaviours {
	return behaviours{
		"a lease ends and the message is back": func(k *kit) {
			k.create("q", queue.Settings{Visibility: 10 * time.Second})
			k.send("q", "m")
			first := k.one("q")
			k.none("q")
			k.counts("q", 0, 1, 0)
			k.pass(10*time.Second - time.Millisecond)
			k.none("q")
			k.pass(time.Millisecond)
			second := k.one("q")
			require.Equal(k, 2, second.Receives)
			require.Equal(k, first.FirstReceive, second.FirstReceive)
			require.Equal(k, first.SentAt, second.SentAt)
			require.NotEqual(k, first.Handle, second.Handle)
		},
		"deletes are for ever": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			k.remove("q", r)
			k.counts("q", 0, 0, 0)
			k.remove("q", r) // again: no error, no effect
			k.restart()
			k.pass(time.Hour)
			k.none("q")
			k.counts("q", 0, 0, 0)
		},
		"a late delete counts if nobody leased since": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Second})
			k.send("q", "m")
			r := k.one("q")
			k.pass(time.Second)
			k.counts("q", 1, 0, 0)
			k.remove("q", r)
			k.counts("q", 0, 0, 0)
			k.none("q")
		},
		"a stale delete has no effect while somebody has the message": func(k *kit) {
			for _, fifo := range []bool{false, true} {
				name := fmt.Sprint("fifo-", fifo)
				k.create(name, queue.Settings{FIFO: fifo, Visibility: time.Second})
				k.send(name, "m")
				stale := k.one(name)
				k.pass(time.Second)
				fresh := k.one(name)
				k.remove(name, stale)
				k.counts(name, 0, 1, 0)
				k.pass(time.Second)
				k.remove(name, stale)
				if !fifo {
					k.counts(name, 0, 0, 0)
					continue
				}
				k.counts(name, 1, 0, 0)
				k.remove(name, fresh)
				k.counts(name, 0, 0, 0)
			}
		},
		"visibility is changed": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Hour))
			k.pass(time.Hour - time.Millisecond)
			k.counts("q", 0, 1, 0)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Second))
			k.pass(time.Second)
			k.counts("q", 1, 0, 0)
			r = k.one("q")
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, 0))
			k.counts("q", 1, 0, 0)
			require.Equal(k, 3, k.one("q").Receives)
		},
		"visibility is changed after the lease": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Second})
			k.create("fifo", queue.Settings{FIFO: true, Visibility: time.Second})
			k.send("q", "m")
			k.send("fifo", "m")
			r, inOrder := k.one("q"), k.one("fifo")
			k.pass(time.Second)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "fifo", inOrder.Handle, time.Minute), queue.ErrNotInFlight)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, 0))
			k.counts("q", 1, 0, 0)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Minute))
			k.counts("q", 0, 1, 0)
			k.restart()
			k.pass(time.Minute)
			again := k.one("q")
			require.Equal(k, 2, again.Receives)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Minute), "somebody else has it")
			k.pass(time.Minute - time.Second)
			k.counts("q", 0, 1, 0)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, 0))
			k.remove("q", again)
			k.counts("q", 0, 0, 0)
		},
		"visibility has bounds": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", r.Handle, -1), queue.ErrInvalid)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", r.Handle, queue.MaxVisibility+1), queue.ErrInvalid)
			k.pass(time.Second)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", r.Handle, queue.MaxVisibility), queue.ErrInvalid)
			require.NoError(k, k.ChangeVisibility(ctx(), "q", r.Handle, queue.MaxVisibility-time.Second))
			k.remove("q", r)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", r.Handle, time.Second), queue.ErrNotInFlight)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "unknown", r.Handle, time.Second), queue.ErrNotFound)
			require.ErrorIs(k, k.ChangeVisibility(ctx(), "q", queue.Handle{}, time.Second), queue.ErrInvalidHandle)
		},
		"visibility is changed in a batch, each change for itself": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("other", queue.Settings{})
			for i := range 8 {
				k.send("q", fmt.Sprint(i))
			}
			k.send("other", "m")
			got := k.receive("q", queue.ReceiveOptions{Max: 8})
			require.Len(k, got, 8)
			k.remove("q", got[7])
			errs := k.ChangeVisibilities(ctx(), "q",
				queue.Visibility{Handle: got[0].Handle, For: time.Hour},
				queue.Visibility{Handle: k.one("other").Handle, For: time.Hour},
				queue.Visibility{Handle: got[1].Handle, For: time.Hour},
				queue.Visibility{Handle: got[2].Handle, For: -1},
				queue.Visibility{Handle: got[7].Handle, For: time.Hour},
				queue.Visibility{Handle: got[3].Handle, For: 0},
				queue.Visibility{Handle: got[4].Handle, For: queue.MaxVisibility + 1},
			)
			require.Len(k, errs, 7)
			for i, want := range []error{nil, queue.ErrInvalidHandle, nil, queue.ErrInvalid, queue.ErrNotInFlight, nil, queue.ErrInvalid} {
				require.ErrorIs(k, errs[i], want, "change %d", i)
			}
			k.counts("q", 1, 6, 0) // got[3] is back
			k.pass(30 * time.Second)
			k.counts("q", 5, 2, 0) // the refused ones ended when they had to
			k.pass(time.Hour - 30*time.Second)
			k.counts("q", 7, 0, 0)
			errs = k.ChangeVisibilities(ctx(), "unknown", queue.Visibility{Handle: got[0].Handle}, queue.Visibility{})
			require.Len(k, errs, 2)
			for _, err := range errs {
				require.ErrorIs(k, err, queue.ErrNotFound)
			}
			require.Empty(k, k.ChangeVisibilities(ctx(), "q"))
		},
		"a receive of no visibility only counts": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			got := k.receive("q", queue.ReceiveOptions{Visibility: -1})
			require.Len(k, got, 1)
			k.counts("q", 1, 0, 0)
			k.remove("q", got...)
			k.counts("q", 0, 0, 0)
		},
		"a retry comes back when it says": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Retry(r.Handle, k.Now().Add(24*time.Hour), false) })
			k.counts("q", 0, 0, 1)
			k.pass(24*time.Hour - time.Millisecond)
			k.none("q")
			k.pass(time.Millisecond)
			r = k.one("q")
			require.Equal(k, 2, r.Receives)
			k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Retry(r.Handle, time.Time{}, true) })
			r = k.one("q")
			require.Equal(k, 2, r.Receives, "the given-back receive does not count")
		},
		"batches refuse stale handles whole": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Second})
			k.send("q", "m")
			stale := k.one("q")
			k.pass(time.Second)
			shard := stale.Handle.Shard()
			for _, change := range []func(b *queue.Batch){
				func(b *queue.Batch) { b.Delete(stale.Handle) },
				func(b *queue.Batch) { b.Retry(stale.Handle, time.Time{}, false) },
			} {
				_, err := k.try(shard, func(b *queue.Batch) {
					b.Put([]byte("k"), []byte("v"))
					b.Add([]byte("n"), 1)
					b.Send("q", queue.Message{})
					change(b)
				})
				require.ErrorIs(k, err, queue.ErrStaleHandle)
			}
			_, err := k.Get(shard, []byte("k"))
			require.ErrorIs(k, err, queue.ErrNotFound)
			k.counts("q", 1, 0, 0)
			fresh := k.one("q")
			_, err = k.try(shard, func(b *queue.Batch) { b.Delete(fresh.Handle); b.Delete(fresh.Handle) })
			require.ErrorIs(k, err, queue.ErrStaleHandle, "twice in one batch")
			k.commit(shard, func(b *queue.Batch) { b.Delete(fresh.Handle) })
			_, err = k.try(shard, func(b *queue.Batch) { b.Delete(fresh.Handle) })
			require.ErrorIs(k, err, queue.ErrStaleHandle)
			n, err := k.Counter(shard, []byte("n"))
			require.NoError(k, err)
			require.Zero(k, n)
		},
		"handles as text": func(k *kit) {
			k.create("q", queue.Settings{})
			k.create("other", queue.Settings{})
			k.send("q", "m")
			r := k.one("q")
			text := k.HandleText(r.Handle)
			k.restart()
			h, err := k.ParseHandle("q", text)
			require.NoError(k, err)
			require.Equal(k, r.Handle, h)
			require.False(k, h.IsZero())
			for _, bad := range []string{"", "x", text[:len(text)-1], text + "A", "B" + text[1:], text[:len(text)-3] + "~~~", strings.Map(swapCase, text)} {
				_, err := k.ParseHandle("q", bad)
				require.ErrorIs(k, err, queue.ErrInvalidHandle, bad)
			}
			_, err = k.ParseHandle("other", text)
			require.ErrorIs(k, err, queue.ErrInvalidHandle)
			_, err = k.ParseHandle("unknown", text)
			require.ErrorIs(k, err, queue.ErrNotFound)
			for _, err := range k.Delete(ctx(), "other", h, queue.Handle{}) {
				require.ErrorIs(k, err, queue.ErrInvalidHandle)
			}
			_, err = k.try(queue.Registry, func(b *queue.Batch) { b.Delete(h) })
			require.ErrorIs(k, err, queue.ErrInvalidHandle)
			k.remove("q", queue.Received{Handle: h})
			k.counts("q", 0, 0, 0)
		},
		"handles of another store are refused": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			text := k.HandleText(k.one("q").Handle)
			other := k.other()
			defer func() { require.NoError(k, other.Close()) }()
			_, err := other.CreateQueue(ctx(), "q", queue.Settings{})
			require.NoError(k, err)
			_, err = other.ParseHandle("q", text)
			require.ErrorIs(k, err, queue.ErrInvalidHandle)
		},
		"a repeated attempt has the same messages": func(k *kit) {
			k.create("q", queue.Settings{FIFO: true})
			k.sendGroup("q", "g", "a", "b", "c")
			o := queue.ReceiveOptions{Max: 2, AttemptID: "1"}
			first := k.receive("q", o)
			require.Equal(k, []string{"a", "b"}, bodies(first))
			again := k.receive("q", o)
			require.Equal(k, first, again)
			require.Empty(k, k.receive("q", queue.ReceiveOptions{Max: 2, AttemptID: "2"}))
			k.remove("q", first[0])
			k.restart()
			require.Equal(k, first[1:], k.receive("q", o))
			k.pass(31 * time.Second)
			require.Equal(k, []string{"b", "c"}, bodies(k.receive("q", o)), "its leases ended: it receives anew")
		},
		"orphans are leases of an earlier open": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Hour})
			k.send("q", numbered("m", 20)...)
			old := k.take("q", 12)
			require.Len(k, old, 12)
			k.remove("q", old[:2]...)
			none, err := k.Orphans(ctx(), "q", 100, time.Minute)
			require.NoError(k, err)
			require.Empty(k, none)
			k.restart()
			fresh := k.take("q", 3)
			require.Len(k, fresh, 3)
			var got []queue.Received
			for {
				part, err := k.Orphans(ctx(), "q", 4, time.Minute)
				require.NoError(k, err)
				if len(part) == 0 {
					break
				}
				got = append(got, part...)
			}
			require.ElementsMatch(k, bodies(old[2:]), bodies(got))
			require.Equal(k, 1, got[0].Receives)
			_, err = k.try(old[3].Handle.Shard(), func(b *queue.Batch) { b.Delete(old[3].Handle) })
			require.ErrorIs(k, err, queue.ErrStaleHandle)
			for _, r := range got {
				k.commit(r.Handle.Shard(), func(b *queue.Batch) { b.Delete(r.Handle) })
			}
			k.counts("q", 5, 3, 0)
			for what, call := range map[string]func() error{
				"max":        func() error { _, err := k.Orphans(ctx(), "q", 0, time.Minute); return err },
				"visibility": func() error { _, err := k.Orphans(ctx(), "q", 1, 0); return err },
			} {
				require.ErrorIs(k, call(), queue.ErrInvalid, what)
			}
			_, err = k.Orphans(ctx(), "unknown", 1, time.Minute)
			require.ErrorIs(k, err, queue.ErrNotFound)
		},
	}
}
