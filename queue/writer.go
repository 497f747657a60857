package queue

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// groupBytes ends a group commit; what is left goes into the next.
	groupBytes = 4 << 20
	// flights is how many groups may be on their way to the disk.
	flights = 1
)

// writer is the one goroutine that changes a shard. It gathers requests into
// groups, and each group into one batch.
type writer struct {
	sh     *shard
	store  *Store
	db     *pebble.DB
	log    Log
	limits limits

	head   head
	now    int64 // the group's time
	lines  map[uint64]*line
	timers timers
	expiry expiry

	batch    *pebble.Batch
	group    uint64 // number of the open batch
	flushed  bool   // part of this group was appended already
	started  uint64 // the latest position when the group began
	airborne []mark // groups on their way to the disk
	leases   uint64 // lease numbers given in this epoch
	call     uint64 // receives served
	held     int    // ready entries and groups in memory
	unread   gap    // what a scan has passed since it cannot be read

	stretches []stretch // known not to be readable, the latest last

	// What the open batch changed and the database does not show yet.
	states   map[msgRef]pendingState
	records  map[string]pendingRecord
	recent   map[string][]byte
	changed  []string // records, for watchers
	dirty    []*line
	loose    []looseGroup
	sweeps   []sweepRef
	counters counterCache
	meter    meter

	numbers   map[int]uint64 // the latest given in the outbox, by destination
	applied   map[int]uint64 // the highest applied of others' outboxes, by source
	forwarded bool           // the open group has something for others

	// What to do once the group is durable.
	wakes []wake

	steps   []step
	settled map[Handle]bool // by the batch being checked
	buf     []byte
	val     []byte
	flight  chan *flight
	acked   chan struct{}
	done    chan struct{}
}

type msgRef struct{ queue, pos uint64 }

type wake struct {
	queue *queueDef
	n     int
}

// flight is a group on its way to the disk.
type flight struct {
	wait     func() error
	since    time.Time // when it was handed to the log
	number   uint64
	revision uint64
	reqs     []*request
	wakes    []wake
	changed  []string
	outbox   bool // has something new
}

func newWriter(sh *shard) *writer {
	w := &writer{
		sh: sh, store: sh.store, db: sh.store.db, log: sh.store.appender, limits: sh.store.limits,
		lines:   make(map[uint64]*line),
		states:  make(map[msgRef]pendingState),
		records: make(map[string]pendingRecord),
		recent:  make(map[string][]byte),
		settled: make(map[Handle]bool),
		numbers: make(map[int]uint64), applied: make(map[int]uint64),
		flight: make(chan *flight, flights),
		acked:  make(chan struct{}),
		done:   make(chan struct{}),
	}
	w.counters.init()
	sh.writer = w
	return w
}

// run serves the inbox until it is closed, and moves what comes due meanwhile.
func (w *writer) run() {
	defer close(w.done)
	defer func() {
		if p := recover(); p != nil {
			w.store.log.Error("writer stopped", "shard", w.sh.number, "stack", string(debug.Stack()))
			w.store.fail(fmt.Errorf("writer of %s: %w", shardName(w.sh.number), panicError(p)))
		}
	}()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var reqs []*request
	for {
		var closed bool
		reqs, closed = w.sh.inbox.take(reqs)
		if len(reqs) > 0 || w.due(w.store.clock.now()) {
			if !w.serve(reqs) {
				return
			}
			continue
		}
		if closed {
			close(w.flight)
			<-w.acked
			return
		}
		timer.Reset(w.sleep())
		select {
		case <-w.sh.inbox.bell:
		case <-timer.C:
		case <-w.store.failed:
			return
		}
	}
}

// serve works requests off, in as many groups as they need.
func (w *writer) serve(reqs []*request) bool {
	for {
		w.begin()
		w.tick()
		n, durable := 0, false
		for n < len(reqs) && w.batch.Len() < groupBytes {
			r := reqs[n]
			r.when, r.err = r.work.do(w)
			durable = durable || (r.when == whenDurable && r.err == nil)
			n++
		}
		if !w.finish(reqs[:n], durable || w.forwarded) { // what is forwarded must not be lost here and applied there
			return false
		}
		reqs = reqs[n:]
		if len(reqs) == 0 {
			return true
		}
	}
}

func (w *writer) begin() {
	w.now = max(w.store.clock.now(), w.head.time)
	w.flushed = false
	w.started = w.head.position
	w.open()
}

// mark is where positions stood when a group began that is not durable yet.
type mark struct {
	group    uint64
	position uint64
	time     int64
}

// durable tells whether a message is older than every group that is not on
// disk yet, the open one included.
func (w *writer) durable(pos uint64) bool {
	settled := w.sh.gate.settled.Load()
	for len(w.airborne) > 0 && w.airborne[0].group <= settled {
		w.airborne = w.airborne[1:]
	}
	first := mark{position: w.started, time: w.now}
	if len(w.airborne) > 0 {
		first = w.airborne[0]
	}
	if wasDelayed(pos) {
		return positionTime(pos) < first.time
	}
	return pos <= first.position
}

// answerApplied answers those who need not wait, and gives the others.
func (w *writer) answerApplied(reqs []*request) []*request {
	rest := make([]*request, 0, len(reqs))
	for _, r := range reqs {
		if r.when == whenApplied && r.err == nil {
			close(r.done)
		} else {
			rest = append(rest, r)
		}
	}
	return rest
}

func (w *writer) open() {
	w.batch = w.db.NewBatch()
	w.group++
}

// finish closes the group and sends it off. Answers are given in the order of
// groups, also those of groups that wrote nothing: they may have seen what is
// not durable yet.
func (w *writer) finish(reqs []*request, durable bool) bool {
	f := &flight{revision: w.head.revision}
	if w.batch.Empty() && len(w.dirty) == 0 && !w.counters.dirty() && !(durable && w.flushed) {
		_ = w.batch.Close()
	} else {
		w.meter.group(len(reqs))
		f.since = time.Now()
		if !w.append(durable, &f.wait) {
			return false
		}
	}
	w.evict()
	w.sh.nextDue.Store(w.wakeTime())
	f.number, f.revision = w.group, w.head.revision
	f.reqs = w.answerApplied(reqs)
	if f.wait != nil {
		w.airborne = append(w.airborne, mark{w.group, w.started, w.now})
	}
	f.wakes, f.changed, f.outbox = w.wakes, w.changed, w.forwarded
	w.wakes, w.changed, w.forwarded = nil, nil, false
	select {
	case w.flight <- f:
		return true
	case <-w.store.failed:
		return false
	}
}

// flush appends what the open batch holds, so that the database shows it to
// this writer. Nobody is answered before the rest of the group is durable too.
func (w *writer) flush() {
	if w.batch.Empty() && len(w.dirty) == 0 && !w.counters.dirty() {
		return
	}
	if !w.append(false, nil) {
		panic(errors.New("flush failed"))
	}
	w.flushed = true
	w.open()
}

func (w *writer) append(durable bool, wait *func() error) bool {
	w.writeCounts()
	w.counters.write(w)
	w.head.time, w.head.due = w.now, w.timers.floor
	w.set(appendTable(w.buf[:0], w.sh.prefix, tableHead), w.head.append(w.val[:0]))
	// Readers may see the batch from here on; see gate.
	w.sh.gate.applied.Store(w.group)
	done, err := w.log.Append(w.sh.number, w.batch, durable)
	if err != nil {
		w.store.fail(err)
		return false
	}
	if wait != nil {
		*wait = done
	}
	clear(w.states)
	clear(w.records)
	clear(w.recent)
	w.store.sweeps.add(w.sweeps) // which see the batch now
	w.sweeps = w.sweeps[:0]
	return true
}

// acknowledge waits for groups to become durable and answers their callers.
func (w *writer) acknowledge() {
	defer close(w.acked)
	for {
		select {
		case f, ok := <-w.flight:
			if !ok {
				return
			}
			if f.wait != nil {
				if err := f.wait(); err != nil {
					w.store.fail(err)
					return
				}
				w.meter.synced(time.Since(f.since))
			}
			w.sh.watchers.tellFollowers(f.changed)
			w.sh.revision.Store(f.revision)
			w.sh.gate.settle(f.number)
			for _, r := range f.reqs {
				close(r.done)
			}
			for _, wk := range f.wakes {
				wk.queue.waiters.wake(wk.n)
			}
			w.sh.watchers.tell(f.changed)
			if f.outbox {
				w.sh.outbox.ring()
			}
		case <-w.store.failed:
			return
		}
	}
}

func (w *writer) writeCounts() {
	for _, ln := range w.dirty {
		key := queueKey(w.buf[:0], w.sh.prefix, tableCount, ln.number)
		if ln.counts.empty() {
			w.delete(key)
		} else {
			w.set(key, ln.counts.append(w.val[:0]))
		}
		ln.dirty = false
		ln.tell(w.sh)
		if ln.counts.empty() && ln.idle() {
			w.forget(ln)
		}
	}
	w.dirty = w.dirty[:0]
}

func (w *writer) touch(ln *line) {
	if !ln.dirty {
		ln.dirty = true
		w.dirty = append(w.dirty, ln)
	}
}

func (w *writer) wake(q *queueDef) {
	if q == nil {
		return
	}
	for i := range w.wakes {
		if w.wakes[i].queue == q {
			w.wakes[i].n++
			return
		}
	}
	w.wakes = append(w.wakes, wake{q, 1})
}

// set and delete keep the buffers they were handed for reuse.
func (w *writer) set(key, value []byte) {
	must(w.batch.Set(key, value, nil))
	w.buf, w.val = key[:0], value[:0]
}

func (w *writer) delete(key []byte) {
	must(w.batch.Delete(key, nil))
	w.buf = key[:0]
}

func panicError(p any) error {
	if err, ok := p.(error); ok {
		return err
	}
	return fmt.Errorf("%v", p)
}

// must stops the writer, and by that the store: it is for what cannot fail
// short of a broken database.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// get reads a key; nil without an error if it is missing.
func (w *writer) get(key []byte) ([]byte, error) { return read(w.db, key) }

// iter opens an iterator over the keys from lower up to upper.
func (w *writer) iter(lower, upper []byte) *pebble.Iterator {
	it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	must(err)
	return it
}
