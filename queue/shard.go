package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// work is what a caller asks of a shard's writer.
type work interface {
	// do adds the work's writes to the open batch and moves the writer's memory
	// along. If it fails it has done neither. It tells what the answer must wait
	// for.
	do(w *writer) (answer, error)
}

// answer is when a request is answered.
type answer int

const (
	// whenSettled: when the groups before this one are durable, since the work
	// has seen what they wrote.
	whenSettled answer = iota
	// whenDurable: when this group is durable as well.
	whenDurable
	// whenApplied: as soon as this group is applied; the work has seen nothing
	// that is not durable.
	whenApplied
)

func durableIf(durable bool) answer {
	if durable {
		return whenDurable
	}
	return whenSettled
}

// request is a work under way.
type request struct {
	work work
	err  error
	when answer
	done chan struct{}
}

// inbox gathers requests for a writer.
type inbox struct {
	mu      sync.Mutex
	waiting []*request
	closed  bool
	bell    chan struct{} // holds one ring
}

func (in *inbox) put(r *request) bool {
	in.mu.Lock()
	if in.closed {
		in.mu.Unlock()
		return false
	}
	in.waiting = append(in.waiting, r)
	first := len(in.waiting) == 1
	in.mu.Unlock()
	if first {
		in.ring()
	}
	return true
}

func (in *inbox) ring() {
	select {
	case in.bell <- struct{}{}:
	default:
	}
}

// take gives all requests there are; done is a slice taken earlier, for reuse.
func (in *inbox) take(done []*request) (reqs []*request, closed bool) {
	clear(done)
	in.mu.Lock()
	defer in.mu.Unlock()
	reqs = in.waiting
	in.waiting = done[:0]
	return reqs, in.closed
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.ring()
}

// gate lets readers wait until what they have read is durable. Pebble shows a
// batch to readers before it is synced; a reader therefore looks at the number
// of groups handed to the log after it has read, and waits until that many are
// settled.
type gate struct {
	applied atomic.Uint64 // groups that readers may see; raised before they can
	settled atomic.Uint64 // groups known to be durable, or that need not be
	mu      sync.Mutex
	moved   sync.Cond
	failed  bool
}

func (g *gate) init() { g.moved.L = &g.mu }

func (g *gate) settle(n uint64) {
	g.mu.Lock()
	g.settled.Store(n)
	g.mu.Unlock()
	g.moved.Broadcast()
}

func (g *gate) fail() {
	g.mu.Lock()
	g.failed = true
	g.mu.Unlock()
	g.moved.Broadcast()
}

// pass blocks until everything visible now is durable.
func (g *gate) pass() bool {
	n := g.applied.Load()
	if g.settled.Load() >= n {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.settled.Load() < n && !g.failed {
		g.moved.Wait()
	}
	return !g.failed
}

// shard is what callers see of a shard: where to leave requests, and what may
// be read beside the writer.
type shard struct {
	store    *Store
	number   int
	prefix   uint16
	inbox    inbox
	gate     gate
	revision atomic.Uint64 // durable
	nextDue  atomic.Int64  // nothing moves by itself before this time
	ids      idSource
	watchers watchers
	bills    bills
	outbox   outbox
	writer   *writer
}

func newShard(s *Store, number int) *shard {
	sh := &shard{store: s, number: number, prefix: shardPrefix(number)}
	sh.inbox.bell = make(chan struct{}, 1)
	sh.gate.init()
	sh.outbox.init()
	sh.ids.shard = number
	sh.ids.epoch = s.meta.Epoch
	return sh
}

// run hands work to the writer and waits for its answer.
func (sh *shard) run(ctx context.Context, wk work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{work: wk, done: make(chan struct{})}
	if !sh.inbox.put(r) {
		return sh.store.gone()
	}
	select {
	case <-r.done:
		return r.err
	case <-sh.store.failed:
		return sh.store.failure()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watchers are told of changed records.
type watchers struct {
	mu  sync.Mutex
	all map[*watcher]struct{}
}

type watcher struct {
	prefix  string
	changed chan struct{}    // a watch's
	follow  func(key string) // a follower's
}

func (ws *watchers) add(w *watcher) *watcher {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.all == nil {
		ws.all = make(map[*watcher]struct{})
	}
	ws.all[w] = struct{}{}
	return w
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// tellFollowers is for before anybody can read a change, tell for after.
func (ws *watchers) tellFollowers(keys []string) {
	ws.each(keys, func(w *watcher, key string) bool {
		if w.follow != nil {
			w.follow(key)
		}
		return w.follow != nil
	})
}

func (ws *watchers) tell(keys []string) {
	ws.each(keys, func(w *watcher, _ string) bool {
		select {
		case w.changed <- struct{}{}: // never for a follower, who has no channel
		default:
		}
		return false
	})
}

// each calls fn for the watchers of keys, for one until it returns false.
func (ws *watchers) each(keys []string, fn func(w *watcher, key string) bool) {
	if len(keys) == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		for _, k := range keys {
			if strings.HasPrefix(k, w.prefix) && !fn(w, k) {
				break
			}
		}
	}
}

func shardName(n int) string {
	if n == Registry {
		return "registry"
	}
	return fmt.Sprintf("shard %d", n)
}
