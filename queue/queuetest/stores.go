package queuetest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// other opens a second store.
func (k *kit) other() *queue.Store {
	o := k.options
	o.FS = vfs.NewMem()
	return k.open(k.T, o)
}

// changes tells how much was written to the file system so far: the sizes of
// its files.
func (k *kit) changes() string {
	k.Helper()
	names, err := k.options.FS.List("store")
	require.NoError(k, err)
	slices.Sort(names)
	out := ""
	for _, n := range names {
		st, err := k.options.FS.Stat("store/" + n)
		require.NoError(k, err)
		out += fmt.Sprintln(n, st.Size())
	}
	return out
}

func stores() behaviours {
	return behaviours{
		"opens are counted": func(k *kit) {
			require.EqualValues(k, 1, k.Epoch())
			k.restart()
			require.EqualValues(k, 2, k.Epoch())
			require.Zero(k, k.Incarnation())
		},
		"time does not go backwards over a restart": func(k *kit) {
			k.pass(time.Hour)
			at := k.Now()
			id := k.NewID(0)
			k.restart()
			require.False(k, k.Now().Before(at))
			require.Less(k, id.String(), k.NewID(0).String())
		},
		"the number of shards is kept": func(k *kit) {
			n := k.Shards()
			require.NoError(k, k.Close())
			o := k.options
			o.Shards = n + 1
			_, err := queue.Open("store", o)
			require.ErrorIs(k, err, queue.ErrInvalid)
			k.options.Shards = 0
			k.Store = k.open(k.T, k.options)
			require.Equal(k, n, k.Shards())
		},
		"places are stable": func(k *kit) {
			seen := map[int]int{}
			places := map[string]int{}
			for i := range 1000 {
				key := fmt.Sprint("key", i)
				places[key] = k.ShardOf(key)
				seen[k.ShardOf(key)]++
			}
			require.Len(k, seen, k.Shards())
			turns := map[int]bool{}
			for range k.Shards() {
				turns[k.NextShard()] = true
			}
			require.Len(k, turns, k.Shards())
			k.restart()
			for key, shard := range places {
				require.Equal(k, shard, k.ShardOf(key))
			}
		},
		"a second opener is refused": func(k *kit) {
			_, err := queue.Open("store", k.options)
			require.ErrorIs(k, err, queue.ErrLocked)
			require.ErrorContains(k, err, "store")
		},
		"a closed store says so": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "m")
			h := k.one("q").Handle
			require.NoError(k, k.Close())
			require.NoError(k, k.Close())
			for what, call := range map[string]func() error{
				"send":    func() error { _, err := k.Send(ctx(), "q", queue.Message{}); return err },
				"receive": func() error { _, err := k.Receive(ctx(), "q", queue.ReceiveOptions{Wait: time.Hour}); return err },
				"delete":  func() error { return k.Delete(ctx(), "q", h)[0] },
				"commit":  func() error { _, err := k.try(0, func(b *queue.Batch) { b.Put([]byte("k"), nil) }); return err },
				"get":     func() error { _, err := k.Get(0, []byte("k")); return err },
				"scan":    func() error { return k.Scan(0, nil, nil, func(queue.Record) bool { return true }) },
				"create":  func() error { _, err := k.CreateQueue(ctx(), "r", queue.Settings{}); return err },
				"stats":   func() error { _, err := k.Stats("q"); return err },
				"walk":    func() error { return k.Messages("q", 0, 0, func(queue.Peeked) bool { return true }) },
				"move":    func() error { _, err := k.StartMove(ctx(), queue.Move{Source: "q"}); return err },
				"moves":   func() error { _, err := k.Moves("q"); return err },
				"backup":  func() error { return k.Backup("elsewhere") },
			} {
				require.ErrorIs(k, call(), queue.ErrClosed, what)
			}
			k.Store = k.open(k.T, k.options)
		},
		"a backup opens as another incarnation": func(k *kit) {
			k.create("q", queue.Settings{})
			k.send("q", "a")
			require.NoError(k, k.Backup("copy"))
			require.ErrorIs(k, k.Backup("copy"), queue.ErrInvalid)
			k.send("q", "b")
			k.counts("q", 2, 0, 0)
			require.NoError(k, queue.MarkRestored("copy", k.options.FS))
			require.Error(k, queue.MarkRestored("nowhere", k.options.FS))
			for want := range 2 {
				c, err := queue.Open("copy", k.options)
				require.NoError(k, err)
				require.EqualValues(k, 1, c.Incarnation())
				require.EqualValues(k, 2+want, c.Epoch())
				st, err := c.Stats("q")
				require.NoError(k, err)
				require.EqualValues(k, 1, st.Ready)
				require.NoError(k, c.Close())
			}
		},
		"above the watermark intake is refused": func(k *kit) {
			free := uint64(50 << 30)
			k.options.DiskFree = func() (uint64, uint64, error) { return free, 100 << 30, nil }
			k.restart()
			k.create("q", queue.Settings{})
			k.send("q", "m")
			for _, low := range []uint64{9 << 30, 1 << 29} {
				free = low
				k.pass(time.Second)
				require.True(k, k.DiskFull())
				_, err := k.Send(ctx(), "q", queue.Message{})
				require.ErrorIs(k, err, queue.ErrDiskFull)
				_, err = k.try(0, func(b *queue.Batch) { b.Intake(); b.Put([]byte("k"), nil) })
				require.ErrorIs(k, err, queue.ErrDiskFull)
				k.commit(0, func(b *queue.Batch) { b.Put([]byte("k2"), nil) })
			}
			k.remove("q", k.one("q"))
			free = 50 << 30
			k.pass(time.Second)
			require.False(k, k.DiskFull())
			k.send("q", "m")
			k.missing(0, "k")
		},
		"bad options are refused": func(k *kit) {
			for what, o := range map[string]queue.Options{
				"shards":    {Shards: queue.MaxShards + 1},
				"negative":  {Shards: -1},
				"tick":      {Tick: time.Second},
				"memtable":  {MemTable: 1},
				"memtables": {MemTable: 4 << 30},
				"cache":     {Cache: math.MaxInt64},
				"max used":  {MaxUsed: 2},
				"neg cache": {Cache: -1},
			} {
				o.FS = vfs.NewMem()
				_, err := queue.Open("other", o)
				require.ErrorIs(k, err, queue.ErrInvalid, what)
			}
		},
	}
}
