package queue_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// crashes is how many power losses TestPowerLoss simulates for each number of
// shards: 2,000 in all.
var crashes = flag.Int("crashes", 1000/queuetest.Slowdown, "power losses to simulate")

const (
	crashCallers = 4
	crashAcked   = 50
	// so many make flushes, rotations of the log and compactions
	crashAckedLong = 1500
)

// What a witness notes: a send is tried, then acknowledged; a delete is asked
// for, then acknowledged.
const (
	tried   = "tried"
	sent    = "sent"
	asked   = "asked"
	deleted = "deleted"
)

// witness remembers what was asked of a store and what was acknowledged.
type witness struct {
	mu      sync.Mutex
	acked   int
	until   int
	sent    map[string]bool // acknowledged
	asked   map[string]bool // to be deleted
	deleted map[string]bool // acknowledged
	count   int64           // acknowledged additions to the counter
	tried   int64
	enough  chan struct{}
	tell    func(what, body string) // if set, hears of everything at once
}

func newWitness() *witness {
	return &witness{until: crashAcked, sent: map[string]bool{}, asked: map[string]bool{}, deleted: map[string]bool{}, enough: make(chan struct{})}
}

func (w *witness) note(what, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tell != nil {
		w.tell(what, body)
	}
	switch what {
	case tried:
		w.tried++
		return
	case asked:
		w.asked[body] = true
		return
	case sent:
		w.sent[body] = true
		w.count++
	case deleted:
		w.deleted[body] = true
	}
	if w.acked++; w.acked == w.until {
		close(w.enough)
	}
}

// copy is what was known at one moment.
func (w *witness) copy() *witness {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := newWitness()
	for k := range w.sent {
		c.sent[k] = true
	}
	for k := range w.deleted {
		c.deleted[k] = true
	}
	c.count = w.count
	return c
}

// load sends, receives and deletes until stop closes.
func (w *witness) load(t *testing.T, s *queue.Store, name string, caller int, stop <-chan struct{}) {
	ctx := context.Background()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		body := fmt.Sprintf("%d/%d", caller, i)
		b := new(queue.Batch)
		shard := s.ShardOf(fmt.Sprint(caller))
		b.Send(name, queue.Message{Group: fmt.Sprint(caller), DedupID: body, Body: append([]byte(body+" "), make([]byte, 500)...)})
		b.Add([]byte("sent"), 1)
		b.Put([]byte("last/"+fmt.Sprint(caller)), []byte(body))
		w.note(tried, body)
		if _, err := s.Commit(ctx, shard, b); err != nil {
			t.Error(err)
			return
		}
		w.note(sent, body)
		if i%2 == 0 {
			continue
		}
		got, err := s.Receive(ctx, name, queue.ReceiveOptions{Max: 2})
		if err != nil {
			t.Error(err)
			return
		}
		for _, r := range got {
			body := bodyOf(r)
			w.note(asked, body)
			if err := s.Delete(ctx, name, r.Handle)[0]; err != nil {
				t.Error(err)
				return
			}
			w.note(deleted, body)
		}
	}
}

func bodyOf(r queue.Received) string { return text(r.Body) }

func text(body []byte) string {
	var s string
	_, _ = fmt.Sscan(string(body), &s)
	return s
}

// TestPowerLoss cuts the power in the middle of work: what was acknowledged is
// there, what was acknowledged as deleted stays away, and the books balance.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		for _, fifo := range []bool{false, true} {
			t.Run(fmt.Sprintf("shards=%d/fifo=%v", shards, fifo), func(t *testing.T) {
				t.Parallel()
				for i := range *crashes / 2 {
					require.Empty(t, powerLoss(t, queue.Options{Shards: shards}, fifo, uint64(i)), "power loss %d", i)
				}
			})
		}
	}
}

// powerLoss runs a store under load, cuts the power and tells what is wrong after.
func powerLoss(t *testing.T, o queue.Options, fifo bool, seed uint64) []string {
	fs := vfs.NewCrashableMem()
	o.FS, o.MemTable = fs, 64<<10
	s := open(t, o)
	spread := fifo && seed%4 > 1 // a FIFO queue's groups: else what is sent comes from other shards, too
	_, err := s.CreateQueue(context.Background(), "q", queue.Settings{FIFO: fifo, DedupPerGroup: spread, Visibility: time.Hour})
	require.NoError(t, err)
	long := seed%50 == 20 || seed%50 == 45
	w := newWitness()
	if long {
		w.until = crashAckedLong
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for c := range crashCallers {
		wg.Go(func() { w.load(t, s, "q", c, stop) })
	}
	<-w.enough
	known := w.copy()
	crash := vfs.CrashCloneCfg{}
	if seed%2 == 1 { // torn: some of what was not synced is there
		crash = vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rand.New(rand.NewPCG(seed, 1))}
	}
	after := fs.CrashClone(crash)
	if long {
		requireTables(t, after)
	}
	known.takeAsked(w)
	close(stop)
	wg.Wait()
	require.NoError(t, s.Close())
	s = open(t, queue.Options{FS: after})
	defer func() { require.NoError(t, s.Close()) }()
	wrong := known.compare(s)
	if fifo {
		wrong = append(wrong, known.repeat(s)...)
	}
	return wrong
}

// requireTables checks that there was more to lose than a log.
func requireTables(t *testing.T, fs vfs.FS) {
	t.Helper()
	names, err := fs.List("store")
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, ".sst") }), names)
}

// drain waits until what was forwarded before the power was cut is applied.
func drain(s *queue.Store) error {
	for from := range s.Shards() {
		b := new(queue.Batch)
		for to := range s.Shards() {
			b.Forward(to, new(queue.Batch))
		}
		if _, err := s.CommitApplied(context.Background(), from, b); err != nil {
			return err
		}
	}
	return nil
}

// takeAsked adds what may have been under way when the power was cut.
func (w *witness) takeAsked(live *witness) {
	live.mu.Lock()
	defer live.mu.Unlock()
	for k := range live.asked {
		w.asked[k] = true
	}
	w.tried = live.tried
}

// compare tells what a store lost, brought back or counts wrongly.
func (w *witness) compare(s *queue.Store) []string {
	var wrong []string
	if err := drain(s); err != nil {
		return []string{err.Error()}
	}
	there, order := map[string]int{}, map[string]int{}
	var count int64
	for shard := range s.Shards() {
		err := s.Messages("q", shard, 0, func(m queue.Peeked) bool {
			body := text(m.Body)
			if there[body]++; there[body] > 1 {
				wrong = append(wrong, "twice: "+body)
			}
			var i int
			_, _ = fmt.Sscanf(body, m.Group+"/%d", &i)
			if i < order[m.Group] {
				wrong = append(wrong, "out of order: "+body)
			}
			order[m.Group] = i
			return true
		})
		if err != nil {
			return append(wrong, err.Error())
		}
		n, err := s.Counter(shard, []byte("sent"))
		if err != nil {
			return append(wrong, err.Error())
		}
		count += n
	}
	for body := range w.sent {
		if !w.asked[body] && there[body] == 0 {
			wrong = append(wrong, "lost: "+body)
		}
	}
	for body := range w.deleted {
		if there[body] > 0 {
			wrong = append(wrong, "came back: "+body)
		}
	}
	if count < w.count || count > w.tried {
		wrong = append(wrong, fmt.Sprintf("counter %d, acknowledged %d, tried %d", count, w.count, w.tried))
	}
	return append(wrong, s.Recount()...)
}

// repeat sends what was acknowledged again: it must be known as a duplicate.
func (w *witness) repeat(s *queue.Store) []string {
	var wrong []string
	for body := range w.sent {
		var caller, i int
		_, _ = fmt.Sscanf(body, "%d/%d", &caller, &i)
		again, err := s.Send(context.Background(), "q", queue.Message{Group: fmt.Sprint(caller), DedupID: body})
		switch {
		case err != nil: // a mutant may have lost the queue itself
			wrong = append(wrong, err.Error())
		case !again[0].Duplicate:
			wrong = append(wrong, "forgotten: "+body)
		}
	}
	return wrong
}
