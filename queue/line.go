package queue

import (
	"encoding/binary"
	"slices"
)

// limits bound what a writer holds in memory of the queues on disk.
type limits struct {
	window int // ready entries of one group
	fill   int // entries, or groups, read from disk at once
	groups int // groups of one queue in turn
	seen   int // groups a receive looks at on disk in one go
	held   int // ready entries and groups of all queues; above, windows are dropped
	sweep  int // messages of a queue deleted before it is swept
}

func defaultLimits() limits {
	return limits{window: 1024, fill: 256, groups: 1024, seen: 4096, held: 1 << 20, sweep: rangeDeleteMin}
}

// groupCost is what a group counts among the ready entries held.
const groupCost = 8

// line is a queue in one shard: its counts, and a window over its ready index.
// What the window does not hold is on disk; nothing here grows with the backlog.
type line struct {
	number uint64
	queue  *queueDef // nil when the queue is gone
	fifo   bool
	counts counts
	dirty  bool // counts differ from the disk's

	deleted int // messages since the last sweep

	groups map[string]*group
	ring   ring
	flying map[string]int64 // leased in this epoch, by group; see fair.go
	// complete: every group with ready messages is in groups. Otherwise groups
	// behind the name after were not looked at in this pass over the disk, and
	// clean tells that none before it was left out.
	complete bool
	after    string
	begun    bool
	clean    bool
	passes   uint64 // over the disk so far
	turns    int    // taken by the groups in the ring since others were looked for
	written  uint64 // the batch that last changed the ready index

	orphans   uint64 // no orphan lies before this position
	orphanEnd bool
	// expireAt is when messages may be past retention; the look before that left
	// nothing to do until expireAfter.
	expireAt    int64
	expireAfter int64
	heapIndex   int
}

// group is a window over one group's ready messages, in order of position.
type group struct {
	name  string
	ready []readyEntry
	// next: the disk's entries from here on are not in ready; drained: there are none.
	next    uint64
	drained bool
	locks   uint64 // FIFO: leased and waiting messages, which hold the group back
	// first is the first message leased since the group was last unlocked. It alone
	// is given again while others are out, for it comes before them; as in SQS.
	first uint64

	call  uint64 // the receive that last took from it
	taken int
	debt  int64 // bytes it was given beyond its turns

	ringPrev, ringNext *group
	listed             bool
}

// ring is the groups that may have something to give, in turn.
type ring struct {
	root group
	n    int
}

func (r *ring) front() *group {
	if r.n == 0 {
		return nil
	}
	return r.root.ringNext
}

func (r *ring) push(g *group) {
	if g.listed {
		return
	}
	if r.n == 0 {
		r.root.ringNext, r.root.ringPrev = &r.root, &r.root
	}
	last := r.root.ringPrev
	last.ringNext, g.ringPrev = g, last
	g.ringNext, r.root.ringPrev = &r.root, g
	g.listed = true
	r.n++
}

func (r *ring) remove(g *group) {
	if !g.listed {
		return
	}
	g.ringPrev.ringNext, g.ringNext.ringPrev = g.ringNext, g.ringPrev
	g.ringPrev, g.ringNext, g.listed = nil, nil, false
	r.n--
}

func (r *ring) rotate(g *group) {
	r.remove(g)
	r.push(g)
}

// line finds a queue's line; one without messages is made and forgotten again.
func (w *writer) line(number uint64) *line {
	ln := w.lines[number]
	if ln == nil {
		ln = w.newLine(number, counts{})
	}
	return ln
}

func (w *writer) newLine(number uint64, c counts) *line {
	ln := &line{number: number, counts: c, groups: make(map[string]*group), clean: true, expireAt: never, heapIndex: -1}
	ln.complete = c.ready == 0
	if q, def := w.store.byNumber(number); q != nil {
		ln.queue, ln.fifo = q, def.Settings.FIFO
	}
	ln.orphanEnd = c.leased == 0
	w.lines[number] = ln
	return ln
}

// idle tells whether nothing is lost by forgetting an empty line.
func (ln *line) idle() bool { return ln.counts.empty() }

func (w *writer) forget(ln *line) {
	w.held -= ln.held()
	w.expiry.remove(ln)
	delete(w.lines, ln.number)
}

// tell shows the number of ready messages to receivers, so that they do not
// ask the writer in vain.
func (ln *line) tell(sh *shard) {
	if q := ln.queue; q != nil && sh.number >= 0 && q.current.Load().number() == ln.number {
		q.ready[sh.number].Store(ln.counts.ready)
	}
}

func (ln *line) held() int {
	n := groupCost * len(ln.groups)
	for _, g := range ln.groups {
		n += len(g.ready)
	}
	return n
}

// openGroup is the group to work on, brought into memory if it is not there.
// The caller lists it when it is done.
func (w *writer) openGroup(ln *line, name string) *group {
	if g := ln.groups[name]; g != nil {
		return g
	}
	g := &group{name: name, drained: ln.complete}
	if ln.fifo && ln.counts.leased+ln.counts.waiting > 0 {
		g.locks, g.first = w.locksOnDisk(ln, name)
	}
	ln.groups[name] = g
	w.held += groupCost
	return g
}

// locked tells whether a ready message is held back by its FIFO group.
func (w *writer) locked(ln *line, name string, pos uint64) bool {
	if g := ln.groups[name]; g != nil {
		return g.locks > 0 && pos != g.first
	}
	if !ln.fifo || ln.counts.leased+ln.counts.waiting == 0 {
		return false
	}
	locks, first := w.locksOnDisk(ln, name)
	return locks > 0 && pos != first
}

// locksOnDisk is right for a group that is not in memory: its lock was not
// changed in the open batch, since groups leave memory between batches only.
func (w *writer) locksOnDisk(ln *line, name string) (locks, first uint64) {
	w.buf = groupKey(w.buf[:0], w.sh.prefix, tableLock, ln.number, name)
	v, err := w.get(w.buf)
	if broken(err) {
		return w.locksOfLeases(ln, name)
	}
	locks, n := binary.Uvarint(v)
	first, _ = binary.Uvarint(v[n:])
	return locks, first
}

// holds tells whether messages that are out keep the group from giving any: all
// but the first are kept. What is not read yet may be that one.
func (g *group) holds() bool {
	if g.locks == 0 {
		return false
	}
	if len(g.ready) == 0 {
		return g.drained || g.first == 0
	}
	return g.ready[0].pos != g.first
}

// list puts the group where it belongs: in turn if it may give something, out
// of memory if there is nothing to know about it.
func (w *writer) list(ln *line, g *group) {
	switch {
	case g.holds():
		ln.ring.remove(g)
	case len(g.ready) > 0 || !g.drained:
		ln.ring.push(g)
	case ln.fifo:
		// Its lock may have changed in the open batch: it leaves when that is done.
		ln.ring.remove(g)
		w.loose = append(w.loose, looseGroup{ln, g})
	default:
		ln.ring.remove(g)
		w.dropGroup(ln, g)
	}
}

// looseGroup is a group that nothing needs to be known about.
type looseGroup struct {
	line  *line
	group *group
}

func (w *writer) dropGroup(ln *line, g *group) {
	if ln.groups[g.name] == g {
		delete(ln.groups, g.name)
		w.held -= groupCost
	}
}

func (w *writer) dropLoose() {
	for _, l := range w.loose {
		if g := l.group; g.locks == 0 && len(g.ready) == 0 && g.drained {
			w.dropGroup(l.line, g)
		}
	}
	w.loose = w.loose[:0]
}

// lock and unlock change how many messages hold a FIFO group back.
func (w *writer) lock(ln *line, name string, delta int) {
	if !ln.fifo {
		return
	}
	g := w.openGroup(ln, name)
	g.locks = uint64(max(int64(g.locks)+int64(delta), 0))
	key := groupKey(w.buf[:0], w.sh.prefix, tableLock, ln.number, name)
	if g.locks == 0 {
		g.first = 0
		w.delete(key)
	} else {
		w.set(key, binary.AppendUvarint(binary.AppendUvarint(w.val[:0], g.locks), g.first))
	}
	w.list(ln, g)
	if g.locks == 0 && g.listed {
		w.wake(ln.queue)
	}
}

// addReady puts a message into the ready index.
func (w *writer) addReady(ln *line, name string, e readyEntry) {
	w.set(readyKey(w.buf[:0], w.sh.prefix, ln.number, name, e.pos), e.append(w.val[:0]))
	ln.written = w.group
	ln.counts.ready++
	w.touch(ln)
	g := ln.groups[name]
	if g == nil && !ln.complete && len(ln.groups) >= w.limits.groups {
		ln.clean = false // a later pass over the disk finds it
	} else {
		w.admit(ln, name, e)
	}
	w.wake(ln.queue)
}

// admit holds an entry in its group's window, or leaves it to the disk.
func (w *writer) admit(ln *line, name string, e readyEntry) {
	g := w.openGroup(ln, name)
	if g.drained || e.pos < g.next {
		i, found := slices.BinarySearchFunc(g.ready, e.pos, comparePosition)
		if !found {
			g.ready = slices.Insert(g.ready, i, e)
			w.held++
		}
		if len(g.ready) > w.limits.window {
			last := len(g.ready) - 1
			g.next, g.drained = g.ready[last].pos, false
			g.ready = g.ready[:last]
			w.held--
		}
	}
	w.list(ln, g)
}

func comparePosition(e readyEntry, pos uint64) int {
	switch {
	case e.pos < pos:
		return -1
	case e.pos > pos:
		return 1
	}
	return 0
}

// removeReady takes a message that is not leased out of the ready index.
func (w *writer) removeReady(ln *line, name string, pos uint64) {
	w.delete(readyKey(w.buf[:0], w.sh.prefix, ln.number, name, pos))
	ln.written = w.group
	ln.counts.ready--
	w.touch(ln)
	g := ln.groups[name]
	if g == nil {
		return
	}
	if i, found := slices.BinarySearchFunc(g.ready, pos, comparePosition); found {
		g.ready = slices.Delete(g.ready, i, i+1)
		w.held--
	}
	w.list(ln, g)
}

// takeReady takes the group's first message out of the ready index.
func (w *writer) takeReady(ln *line, g *group) (readyEntry, bool) {
	if len(g.ready) == 0 && !g.drained {
		w.fill(ln, g)
	}
	if len(g.ready) == 0 || g.holds() {
		return readyEntry{}, false
	}
	e := g.ready[0]
	g.ready = g.ready[1:]
	w.held--
	w.delete(readyKey(w.buf[:0], w.sh.prefix, ln.number, g.name, e.pos))
	ln.written = w.group
	ln.counts.ready--
	w.touch(ln)
	return e, true
}

// evict drops windows when the writer holds too much. It runs between batches.
func (w *writer) evict() {
	w.dropLoose()
	if w.held <= w.limits.held {
		return
	}
	for _, ln := range w.lines {
		w.held -= ln.held()
		ln.groups = make(map[string]*group)
		ln.ring = ring{}
		ln.complete = ln.counts.ready == 0
		ln.after, ln.begun, ln.clean = "", false, true
		if w.held <= w.limits.held/2 {
			return
		}
	}
}
