package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// TestCorruptBlock breaks one block of a table that holds bodies: what is in it
// is lost and told, the rest is received, becomes dead letters, moves and
// expires as ever.
func TestCorruptBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const messages = 600
		ctx := context.Background()
		var told journal
		o := queue.Options{FS: vfs.NewMem(), Shards: 1, MemTable: 4 << 20, Logger: slog.New(slog.NewTextHandler(&told, nil))}
		s := open(t, o)
		for name, set := range map[string]queue.Settings{
			"q":    {Visibility: time.Second, MaxReceives: 1, DeadLetter: "dead", Retention: time.Hour},
			"dead": {}, "to": {},
		} {
			_, err := s.CreateQueue(ctx, name, set)
			require.NoError(t, err)
		}
		random := rand.NewChaCha8([32]byte{})
		for range messages {
			body := make([]byte, 1024)
			_, _ = random.Read(body)
			_, err := s.Send(ctx, "q", queue.Message{Body: body})
			require.NoError(t, err)
		}
		require.NoError(t, s.Compact())
		require.NoError(t, s.Close())
		flip(t, o.FS, 0.5)
		s = open(t, o)
		got := 0
		for range messages {
			part, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 10})
			require.NoError(t, err)
			got += len(part)
		}
		lost := messages - got
		require.Positive(t, lost)
		require.Less(t, lost, messages/4)
		require.Contains(t, told.String(), "message cannot be read")
		require.NotContains(t, told.String(), `\n(1)`, "an error's stack")
		q, err := s.Stats("q")
		require.NoError(t, err)
		require.EqualValues(t, lost, q.Unreadable)
		m, err := s.Metrics()
		require.NoError(t, err)
		require.EqualValues(t, lost, m.Unreadable)
		require.EqualValues(t, 1, m.BrokenFiles)
		pass(2 * time.Second)
		dead, err := s.Stats("dead")
		require.NoError(t, err)
		require.EqualValues(t, got, dead.Ready, "dead letters")
		_, err = s.StartMove(ctx, queue.Move{Source: "q", Destination: "to"})
		require.NoError(t, err)
		pass(time.Hour)
		require.Contains(t, told.String(), "keys cannot be read")
		require.Contains(t, told.String(), "store cannot read a part of a file")
		require.Less(t, strings.Count(told.String(), "\n"), 5*lost)
		require.NoError(t, s.Purge(ctx, "q"))
		pass(time.Minute)
		_, err = s.Send(ctx, "q", queue.Message{})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}

// TestCorruptIndex breaks blocks of the ready index: its messages are found among
// the messages themselves, and none is lost, of one group and of many.
func TestCorruptIndex(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fifo   bool
		groups int
	}{{false, 1}, {false, 3}, {true, 3}, {false, 4000}, {true, 4000}} {
		if queuetest.Slowdown > 1 && (!c.fifo || c.groups > 3) { // the same code, and locks
			continue
		}
		t.Run(fmt.Sprintf("fifo=%v/groups=%d", c.fifo, c.groups), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { corruptIndex(t, c.fifo, c.groups) })
		})
	}
}

func corruptIndex(t *testing.T, fifo bool, groups int) {
	const messages = 20_000
	ctx := context.Background()
	var told journal
	o := queue.Options{FS: vfs.NewMem(), Shards: 1, MemTable: 8 << 20, Logger: slog.New(slog.NewTextHandler(&told, nil))}
	s := open(t, o)
	_, err := s.CreateQueue(ctx, "q", queue.Settings{FIFO: fifo, Visibility: time.Hour})
	require.NoError(t, err)
	for i := range messages / 500 {
		msgs := make([]queue.Message, 500)
		for j := range msgs {
			msgs[j].Group = fmt.Sprint("group", (500*i+j)%groups)
			msgs[j].Body = fmt.Append(nil, 500*i+j)
		}
		_, err := s.Send(ctx, "q", msgs...)
		require.NoError(t, err)
	}
	require.NoError(t, s.Compact())
	require.NoError(t, s.Close())
	flipTable(t, o.FS, 0, 'r')
	s = open(t, o)
	seen, last := map[string]bool{}, map[string]int{}
	for len(seen) < messages {
		got, err := s.Receive(ctx, "q", queue.ReceiveOptions{Max: 1000})
		require.NoError(t, err)
		require.NotEmpty(t, got, "after %d", len(seen))
		hs := make([]queue.Handle, len(got))
		for i, r := range got {
			n, err := strconv.Atoi(string(r.Body))
			require.NoError(t, err)
			require.False(t, seen[string(r.Body)], "twice")
			require.GreaterOrEqual(t, n, last[r.Group], "order of a group")
			seen[string(r.Body)], last[r.Group], hs[i] = true, n, r.Handle
		}
		for _, err := range s.Delete(ctx, "q", hs...) {
			require.NoError(t, err)
		}
	}
	require.Equal(t, 1, strings.Count(told.String(), "store cannot read a part of a file"))
	require.Contains(t, told.String(), "keys cannot be read", "the index is broken")
	require.Contains(t, told.String(), "first=000272")
	st, err := s.Stats("q")
	require.NoError(t, err)
	require.Zero(t, st)
	require.NoError(t, s.Close())
}

// pass lets the bubble's time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// flip breaks a byte of the largest file of tables, as far into it as share tells.
func flip(t *testing.T, fs vfs.FS, share float64) {
	t.Helper()
	flipAt(t, fs, func(b []byte) int { return int(share * float64(len(b))) })
}

// flipTable breaks a block with keys of one of the shard's tables.
func flipTable(t *testing.T, fs vfs.FS, shard int, table byte) {
	t.Helper()
	flipAt(t, fs, func(b []byte) int {
		var all []int
		for key, at := []byte{0, byte(2 + shard), table}, 0; ; at += len(key) {
			next := bytes.Index(b[at:], key)
			if next < 0 {
				break
			}
			at += next
			all = append(all, at)
		}
		require.NotEmpty(t, all, "keys of table %c", table)
		return all[len(all)/4] + 3 // the index's keys come last
	})
}

func flipAt(t *testing.T, fs vfs.FS, place func(b []byte) int) {
	t.Helper()
	names, err := fs.List("store")
	require.NoError(t, err)
	var largest string
	var size int64
	for _, n := range names {
		st, err := fs.Stat("store/" + n)
		require.NoError(t, err)
		if strings.HasSuffix(n, ".sst") && st.Size() > size {
			largest, size = "store/"+n, st.Size()
		}
	}
	f, err := fs.Open(largest)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	b[place(b)] ^= 0xff
	f, err = fs.Create(largest, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(b)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// journal keeps what is logged; the store may log while it is read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}
