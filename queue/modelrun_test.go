package queue_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// TestModel runs random operations, restarts and crashes among them, against
// the store and the model; both must agree after every one. Time is the bubble's.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, shards := range queuetest.Shards() {
		t.Run(fmt.Sprintf("%d_shards", shards), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				rapid.SyncTest(rt, func(rt *rapid.T) { runModel(rt, shards) })
			})
		})
	}
}

func runModel(t *rapid.T, shards int) {
	r := newModelRun(t, shards)
	defer func() { _ = r.store.Close() }()
	t.Repeat(map[string]func(*rapid.T){
		"":           r.check,
		"send":       r.send,
		"sendMore":   r.send,
		"receive":    r.receive,
		"receive2":   r.receive,
		"delete":     r.delete,
		"visibility": r.visibility,
		"settle":     r.settle,
		"settle2":    r.settle,
		"advance":    r.advance,
		"records":    r.records,
		"restart":    r.restart,
		"crash":      r.crash,
		"purge":      r.purge,
		"move":       r.move,
	})
	r.restart(t)
	require.Empty(t, r.store.Recount())
}

type modelRun struct {
	store   *queue.Store
	model   *model
	options queue.Options
	fs      *vfs.MemFS
	handles []heldHandle
	bodies  int
	record  map[string]string
	rev     map[string]uint64
	sums    map[string]int64
}

// heldHandle is a handle as the store and as the model know it.
type heldHandle struct {
	modelHandle
	real queue.Handle
}

func newModelRun(t *rapid.T, shards int) *modelRun {
	r := &modelRun{
		fs: vfs.NewCrashableMem(), record: map[string]string{}, rev: map[string]uint64{}, sums: map[string]int64{},
		model: &model{queues: map[string]*modelQueue{}},
	}
	r.options = queue.Options{FS: r.fs, Shards: shards, MemTable: 64 << 10}
	if mutant := modelMutants[os.Getenv(modelMutant)]; mutant != nil {
		value := mutant()
		queue.WrapLog(&r.options, func(l queue.Log) queue.Log { return changed{l, value} })
	}
	if rapid.Bool().Draw(t, "small memory") {
		queue.SmallMemory(&r.options)
	}
	r.wholeSecond()
	r.open(t)
	for name, set := range map[string]queue.Settings{
		"standard": {Visibility: 10 * time.Second, MaxReceives: 3, DeadLetter: "dead"},
		"fifo":     {FIFO: true, Visibility: 20 * time.Second, MaxReceives: 2, DeadLetter: "deadfifo", Retention: 500*time.Second + 500*time.Millisecond},
		"dead":     {Retention: 300*time.Second + 500*time.Millisecond},
		"deadfifo": {FIFO: true, DedupPerGroup: true}, // its groups are spread, those of fifo are not
	} {
		_, err := r.store.CreateQueue(context.Background(), name, set)
		require.NoError(t, err)
		q, err := r.store.Queue(name)
		require.NoError(t, err)
		r.model.queues[name] = &modelQueue{name: name, set: q.Settings, dedup: map[string]time.Time{}, first: map[string]*modelMessage{}}
	}
	r.model.now = time.Now()
	return r
}

// wholeSecond waits for the next whole second, so that what is due never falls
// between two looks of the store.
func (r *modelRun) wholeSecond() {
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

func (r *modelRun) open(t *rapid.T) {
	s, err := queue.Open("store", r.options)
	require.NoError(t, err)
	r.store = s
}

func (r *modelRun) queue(t *rapid.T) *modelQueue {
	return r.model.queues[rapid.SampledFrom([]string{"standard", "fifo", "fifo", "standard", "dead", "deadfifo"}).Draw(t, "queue")]
}

func (r *modelRun) send(t *rapid.T) {
	q := r.queue(t)
	group := rapid.SampledFrom([]string{"", "a", "b", "c\x00", "d", "e", "f"}).Draw(t, "group")
	dedup := rapid.SampledFrom([]string{"", "", "1", "2"}).Draw(t, "dedup")
	delay := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 15, 100}).Draw(t, "delay")) * time.Second
	r.bodies++
	body := fmt.Sprint(r.bodies)
	want := r.model.send(q, group, dedup, body, delay)
	sent, err := r.store.Send(context.Background(), q.name, queue.Message{Group: group, DedupID: dedup, Body: []byte(body), Delay: delay})
	require.NoError(t, err)
	require.Equal(t, !want, sent[0].Duplicate)
}

func (r *modelRun) receive(t *rapid.T) {
	q := r.queue(t)
	n := rapid.SampledFrom([]int{1, 2, 10}).Draw(t, "max")
	visibility := time.Duration(rapid.SampledFrom([]int{0, 5, 60}).Draw(t, "visibility")) * time.Second
	got, err := r.store.Receive(context.Background(), q.name, queue.ReceiveOptions{Max: n, Visibility: visibility})
	require.NoError(t, err)
	ready := q.ready()
	require.Len(t, got, min(n, len(ready)), "received of %d ready", len(ready))
	if visibility == 0 {
		visibility = q.set.Visibility
	}
	for _, g := range got {
		i := slices.IndexFunc(ready, func(m *modelMessage) bool { return m.body == string(g.Body) })
		require.GreaterOrEqual(t, i, 0, "received %s, which is not ready", g.Body)
		msg := ready[i]
		if q.set.FIFO {
			first := slices.IndexFunc(ready, func(m *modelMessage) bool { return m.group == msg.group })
			require.Equal(t, first, i, "received %s before %s", g.Body, ready[first].body)
		}
		ready = slices.Delete(ready, i, i+1)
		r.model.lease(q, msg, visibility)
		require.Equal(t, msg.before+msg.receives, g.Receives)
		require.Equal(t, msg.group, g.Group)
		require.Equal(t, msg.source, g.SourceQueue)
		require.True(t, msg.due.Equal(g.VisibleAt))
		r.handles = append(r.handles, heldHandle{modelHandle{q.name, msg, msg.lease}, g.Handle})
	}
}

func (r *modelRun) handle(t *rapid.T) heldHandle {
	if len(r.handles) == 0 {
		t.Skip("no handle yet")
	}
	// Mostly one of the latest: those are current.
	return r.handles[max(0, len(r.handles)-1-rapid.IntRange(0, min(len(r.handles)-1, 12)).Draw(t, "handle"))]
}

func (r *modelRun) delete(t *rapid.T) {
	h := r.handle(t)
	q := r.model.queues[h.queue]
	if q.find(h.message) && (h.message.lease == h.lease || !q.set.FIFO && !h.message.leased && !h.message.waiting) {
		q.remove(h.message)
	}
	require.NoError(t, r.store.Delete(context.Background(), h.queue, h.real)[0])
}

func (r *modelRun) visibility(t *rapid.T) {
	h := r.handle(t)
	q := r.model.queues[h.queue]
	d := time.Duration(rapid.SampledFrom([]int{0, 7, 90}).Draw(t, "visibility")) * time.Second
	err := r.store.ChangeVisibility(context.Background(), h.queue, h.real, d)
	own := h.message.leased && h.message.lease == h.lease
	if !q.find(h.message) || !own && (q.set.FIFO || h.message.waiting) {
		require.ErrorIs(t, err, queue.ErrNotInFlight)
		return
	}
	require.NoError(t, err)
	switch h.message.due = r.model.now.Add(d); {
	case d == 0 && h.message.leased:
		r.model.endLease(q, h.message, r.model.now)
	case d > 0:
		h.message.leased = true
	}
}

// settle ends a lease by a batch: delete or retry, and a counter with it.
func (r *modelRun) settle(t *rapid.T) {
	h := r.handle(t)
	q := r.model.queues[h.queue]
	again := rapid.Bool().Draw(t, "retry")
	uncounted := rapid.Bool().Draw(t, "uncounted")
	at := r.model.now.Add(time.Duration(rapid.SampledFrom([]int{-5, 0, 30, 200}).Draw(t, "at")) * time.Second)
	b := new(queue.Batch)
	b.Add([]byte("settled"), 1)
	if again {
		b.Retry(h.real, at, uncounted)
	} else {
		b.Delete(h.real)
	}
	_, err := r.store.Commit(context.Background(), h.real.Shard(), b)
	if !q.find(h.message) || !h.message.leased || h.message.lease != h.lease {
		require.ErrorIs(t, err, queue.ErrStaleHandle)
		return
	}
	require.NoError(t, err)
	r.sums["settled"]++
	if again {
		r.model.retry(q, h.message, at, uncounted)
	} else {
		q.remove(h.message)
	}
}

func (r *modelRun) records(t *rapid.T) {
	key := rapid.SampledFrom([]string{"a/1", "a/2", "b"}).Draw(t, "key")
	expect := rapid.SampledFrom([]uint64{0, r.rev[key], r.rev[key], 1 << 40}).Draw(t, "revision")
	b := new(queue.Batch)
	b.Expect([]byte(key), expect)
	b.Add([]byte("n"+key), 3)
	kind := rapid.SampledFrom([]string{"put", "put", "remove", "prefix"}).Draw(t, "change")
	switch kind {
	case "put":
		b.Put([]byte(key), []byte(fmt.Sprint(r.bodies)))
	case "remove":
		b.Remove([]byte(key))
	case "prefix":
		b.RemovePrefix([]byte("a/"))
	}
	rev, err := r.store.Commit(context.Background(), 0, b)
	if expect != r.rev[key] {
		require.ErrorIs(t, err, queue.ErrConflict)
		return
	}
	require.NoError(t, err)
	r.sums["n"+key] += 3
	switch kind {
	case "put":
		r.record[key], r.rev[key] = fmt.Sprint(r.bodies), rev
	case "remove":
		delete(r.rev, key)
	case "prefix":
		delete(r.rev, "a/1")
		delete(r.rev, "a/2")
	}
}

func (r *modelRun) advance(t *rapid.T) {
	time.Sleep(time.Duration(rapid.SampledFrom([]int{1, 5, 20, 70, 310}).Draw(t, "seconds")) * time.Second)
	r.model.advance(time.Now())
}

func (r *modelRun) restart(t *rapid.T) {
	require.NoError(t, r.store.Close())
	r.open(t)
}

// crash loses what is not durable; first everything is made durable, so that
// the model knows what is left.
func (r *modelRun) crash(t *rapid.T) {
	for shard := range r.store.Shards() {
		b := new(queue.Batch)
		b.Put([]byte("durable"), nil)
		_, err := r.store.Commit(context.Background(), shard, b)
		require.NoError(t, err)
	}
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{})
	require.NoError(t, r.store.Close())
	r.options.FS = r.fs
	r.open(t)
}

// move takes a queue's messages to another queue; dead letters, if all of them
// have a source, may go back there.
func (r *modelRun) move(t *rapid.T) {
	q := r.queue(t)
	to := map[string]string{"standard": "dead", "dead": "standard", "fifo": "deadfifo", "deadfifo": "fifo"}[q.name]
	buried := func(m *modelMessage) bool { return m.source != "" }
	if slices.ContainsFunc(q.messages, buried) && !slices.ContainsFunc(q.messages, func(m *modelMessage) bool { return !buried(m) }) {
		to = rapid.SampledFrom([]string{"", to}).Draw(t, "to")
	}
	want := r.model.move(q, to)
	_, err := r.store.StartMove(context.Background(), queue.Move{Source: q.name, Destination: to})
	require.NoError(t, err)
	synctest.Wait()
	ms, err := r.store.Moves(q.name)
	require.NoError(t, err)
	require.Equal(t, queue.MoveCompleted, ms[0].Phase, ms[0].Reason)
	require.EqualValues(t, want, ms[0].Moved)
}

func (r *modelRun) purge(t *rapid.T) {
	if rapid.IntRange(0, 5).Draw(t, "purge") > 0 {
		t.Skip("purged rarely")
	}
	q := r.queue(t)
	err := r.store.Purge(context.Background(), q.name)
	if !q.purged.IsZero() && r.model.now.Before(q.purged.Add(60*time.Second)) {
		require.ErrorIs(t, err, queue.ErrPurgeInProgress)
		return
	}
	require.NoError(t, err)
	q.messages, q.purged = nil, r.model.now
	clear(q.dedup)
}

// check compares counts, records and counters.
func (r *modelRun) check(t *rapid.T) {
	// A receive of a queue with nothing in it makes every shard look at what is due.
	_, err := r.store.Receive(context.Background(), "standard", queue.ReceiveOptions{Max: 1, Skip: func(string) bool { return true }})
	require.NoError(t, err)
	synctest.Wait()
	for name, q := range r.model.queues {
		var want queue.Stats
		for _, m := range q.messages {
			switch {
			case m.leased:
				want.InFlight++
			case m.waiting:
				want.Delayed++
			default:
				want.Ready++
			}
		}
		got, err := r.store.Stats(name)
		require.NoError(t, err)
		got.Oldest = time.Time{}
		require.Equal(t, want, got, name)
	}
	for key := range r.record {
		rec, err := r.store.Get(0, []byte(key))
		if r.rev[key] == 0 {
			require.ErrorIs(t, err, queue.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, r.record[key], string(rec.Value))
		require.Equal(t, r.rev[key], rec.Revision)
	}
	for key, n := range r.sums {
		var have int64
		for shard := range r.store.Shards() {
			part, err := r.store.Counter(shard, []byte(key))
			require.NoError(t, err)
			have += part
		}
		require.Equal(t, n, have, key)
	}
	if errors.Is(err, queue.ErrStoreFailed) {
		t.Fatal(err)
	}
}
