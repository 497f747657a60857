package queue

import (
	"context"
	"encoding/binary"
	"fmt"
)

// commitWork applies a Batch. It goes through the changes twice: first it reads
// and checks all that can fail, then it writes.
type commitWork struct {
	b        *Batch
	revision uint64
	sent     []Sent
	// forwarded are the entries of the outbox it wrote.
	forwarded []entry
}

// step is what checking a change found, for applying it.
type step struct {
	queue    *queueDef
	def      *definition
	first    *Sent    // the message this one repeats
	state    state    // of a leased message
	content  *content // of one that becomes a dead letter
	dead     *queueDef
	removed  [][]byte // full keys
	counters [][]byte
}

func (c *commitWork) do(w *writer) (answer, error) {
	if c.b.intake && w.store.disk.full() {
		return 0, fmt.Errorf("%w: %s", ErrDiskFull, w.store.disk.why())
	}
	steps := w.steps[:0]
	clear(w.settled)
	for i := range c.b.ops {
		steps = append(steps, step{})
		if err := w.check(&c.b.ops[i], &steps[i]); err != nil {
			w.steps = steps
			return 0, err
		}
	}
	w.head.revision++
	c.revision = w.head.revision
	for i := range c.b.ops {
		c.apply(w, &c.b.ops[i], &steps[i])
	}
	clear(steps)
	w.steps = steps
	return durableIf(!c.b.unsynced), nil
}

// check does all of a change that can fail.
func (w *writer) check(o *op, st *step) error {
	switch o.kind {
	case opSend:
		return w.checkSend(o, st)
	case opAdopt:
		return w.checkAdopt(o, st)
	case opDelete, opRetry:
		return w.checkLeased(o, st)
	case opExpect:
		return w.checkRevision(o)
	case opAdd:
		_, err := w.counters.load(w, o.key)
		return err
	case opRemovePrefix:
		return w.findPrefix(o.key, st)
	}
	return nil
}

func (w *writer) checkSend(o *op, st *step) error {
	st.queue = w.store.queue(o.queue)
	if st.queue == nil {
		return fmt.Errorf("queue %q: %w", o.queue, ErrNotFound)
	}
	st.def = st.queue.current.Load()
	if err := w.store.checkHome(st.def, o.msg.Group, w.sh.number); err != nil {
		return err
	}
	if !st.def.Settings.FIFO || !o.dedups {
		return nil
	}
	first, err := w.firstSent(st.def.number(), o.dedup)
	if err != nil {
		return fmt.Errorf("queue %q: whether the deduplication id was sent before is not known; send with another, or again in %v: %w",
			o.queue, 2*DedupWindow, err)
	}
	st.first = first
	return nil
}

// firstSent finds the message a deduplication id belongs to.
func (w *writer) firstSent(queue uint64, hash [16]byte) (*Sent, error) {
	v, err := w.recall(recentDedup, queue, hash)
	if err != nil || v == nil {
		return nil, err
	}
	return w.parseFirst(v)
}

// firstInBatch finds it among what the open batch wrote.
func (w *writer) firstInBatch(queue uint64, hash [16]byte) *Sent {
	v, ok := w.recent[string(w.recentKey(w.now/recentBucket, recentDedup, queue, hash))]
	if !ok {
		return nil
	}
	first, err := w.parseFirst(v)
	must(err)
	return first
}

func (w *writer) parseFirst(v []byte) (*Sent, error) {
	r := reader{b: v}
	until := int64(r.uvarint())
	first := &Sent{Sequence: r.uvarint(), Duplicate: true}
	copy(first.ID[:], r.take(len(first.ID)))
	if until <= w.now {
		return nil, r.err("deduplication id")
	}
	return first, r.err("deduplication id")
}

// checkLeased finds the message of a handle.
func (w *writer) checkLeased(o *op, st *step) error {
	h := o.handle
	s, ok, err := w.stateOf(h.queue, h.seq)
	if err != nil {
		return err
	}
	stale := !ok || s.phase != phaseLeased || s.lease != h.lease || w.settled[h]
	w.settled[h] = true
	q, _ := w.store.byNumber(h.queue)
	if stale || q == nil {
		return fmt.Errorf("message %d of queue %s: %w", h.seq, w.store.queueName(h.queue), ErrStaleHandle)
	}
	st.queue, st.state = q, s
	if o.kind == opDelete {
		return nil
	}
	if o.uncounted && st.state.receives > 0 {
		st.state.receives--
	}
	if st.dead = w.deadLetter(w.line(h.queue), &st.state); st.dead != nil {
		st.content, err = w.contentOf(h.queue, h.seq)
	}
	return err
}

// apply writes a change that was checked. Nothing here may fail.
func (c *commitWork) apply(w *writer, o *op, st *step) {
	switch o.kind {
	case opSend:
		c.sent = append(c.sent, w.send(o, st))
	case opAdopt:
		w.add(w.line(st.def.number()), o.content, millis(o.at))
	case opDelete:
		w.remove(w.line(o.handle.queue), o.handle.seq, st.state)
	case opRetry:
		ln := w.line(o.handle.queue)
		if st.content != nil {
			w.bury(ln, o.handle.seq, st.state, st.content, st.dead)
			return
		}
		w.release(ln, o.handle.seq, st.state, millis(o.at))
	case opPut:
		w.putRecord(o.key, o.value, c.revision)
	case opRemove:
		w.removeRecord(o.key)
	case opRemovePrefix:
		w.removePrefix(o.key, st)
	case opAdd:
		w.counters.add(w, o.key, o.delta)
	case opForward:
		c.forwarded = append(c.forwarded, w.forward(o))
	}
}

// send adds a message, unless it repeats one.
func (w *writer) send(o *op, st *step) Sent {
	number := st.def.number()
	if o.dedups && st.def.Settings.FIFO {
		if st.first == nil { // an earlier change of this batch may have been the first
			st.first = w.firstInBatch(number, o.dedup)
		}
		if st.first != nil {
			return *st.first
		}
	}
	m := &o.msg
	c := content{id: m.ID, sentAt: w.now, group: m.Group, dedup: m.DedupID, attrs: m.Attributes, body: m.Body}
	if c.id.IsZero() {
		c.id = w.sh.ids.next(w.now)
	}
	sent := Sent{ID: c.id}
	sent.Sequence = w.add(w.line(number), &c, sendTime(m, &st.def.Settings, w.now))
	if o.dedups && st.def.Settings.FIFO {
		v := binary.AppendUvarint(nil, uint64(w.now)+uint64(recentBucket))
		v = binary.AppendUvarint(v, sent.Sequence)
		w.remember(recentDedup, number, o.dedup, append(v, sent.ID[:]...))
	}
	return sent
}

// sendTime is when a message becomes visible.
func sendTime(m *Message, set *Settings, now int64) int64 {
	switch {
	case !m.At.IsZero():
		return millis(m.At)
	case m.Delay < 0:
		return now
	case m.Delay > 0:
		return now + durationMillis(m.Delay)
	}
	return now + durationMillis(set.Delay)
}

// Commit applies a batch to one shard (a data shard or Registry), all or none.
// It blocks until the batch is durable, or, for an unsynced one, applied. It
// returns the revision the batch's records got. On an error nothing was
// written, except with ErrStoreFailed (or a ctx that ended while the write was
// under way), where it is unknown.
func (s *Store) Commit(ctx context.Context, shard int, b *Batch) (revision uint64, err error) {
	c, err := s.commit(ctx, shard, b)
	if err != nil {
		return 0, err
	}
	return c.revision, nil
}

func (s *Store) commit(ctx context.Context, shard int, b *Batch) (*commitWork, error) {
	sh, err := s.shard(shard)
	if err != nil {
		return nil, err
	}
	if b != nil {
		b.unfold(shard)
		s.route(shard, b)
	}
	if err := s.checkBatch(shard, b); err != nil {
		return nil, err
	}
	c := &commitWork{b: b}
	if err := sh.run(ctx, c); err != nil {
		return nil, err
	}
	for _, fn := range b.after {
		fn()
	}
	return c, nil
}

// Send adds messages to a queue, all or none, durable on return. Messages of a
// standard queue go to the next shard in turn (or their ID's shard), of a FIFO
// queue to FIFOShard; those of a FIFO queue whose groups lie in several shards
// are all or none in each of them.
func (s *Store) Send(ctx context.Context, queue string, msgs ...Message) ([]Sent, error) {
	q, err := s.lookup(queue)
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 {
		return nil, fmt.Errorf("%w: no message to send to queue %q", ErrInvalid, queue)
	}
	if len(msgs) > MaxBatch {
		return nil, fmt.Errorf("%w: at most %d messages a batch, not %d", ErrInvalid, MaxBatch, len(msgs))
	}
	parts, err := s.split(q, queue, msgs)
	if err != nil {
		return nil, err
	}
	out := make([]Sent, len(msgs))
	for i := range parts {
		p := &parts[i]
		c := &commitWork{b: &p.batch, sent: make([]Sent, 0, len(p.index))}
		if err := s.shards[p.shard].run(ctx, c); err != nil {
			return nil, err
		}
		for j, at := range p.index {
			out[at] = c.sent[j]
		}
	}
	return out, nil
}

// part is the messages of one Send for one shard.
type part struct {
	shard int
	batch Batch
	index []int
}

// split places messages and checks them all before any is written.
func (s *Store) split(q *queueDef, queue string, msgs []Message) ([]part, error) {
	def := q.current.Load()
	fifo := def.Settings.FIFO
	turn := -1
	var parts []part
	for i := range msgs {
		var shard int
		switch {
		case fifo:
			shard = s.home(def, msgs[i].Group, 0)
		case !msgs[i].ID.IsZero():
			shard = msgs[i].ID.Shard()
		default:
			if turn < 0 {
				turn = s.NextShard()
			}
			shard = turn
		}
		if shard >= len(s.shards) {
			return nil, fmt.Errorf("%w: message id %v names shard %d of %d", ErrInvalid, msgs[i].ID, shard, len(s.shards))
		}
		p := partOf(&parts, shard)
		p.batch.Intake()
		p.batch.Send(queue, msgs[i])
		p.index = append(p.index, i)
	}
	if len(parts) > 1 && !fifo {
		return nil, fmt.Errorf("%w: the messages' ids name %d different shards", ErrInvalid, len(parts))
	}
	for i := range parts {
		if err := s.checkBatch(parts[i].shard, &parts[i].batch); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func partOf(parts *[]part, shard int) *part {
	for i := range *parts {
		if (*parts)[i].shard == shard {
			return &(*parts)[i]
		}
	}
	*parts = append(*parts, part{shard: shard})
	return &(*parts)[len(*parts)-1]
}
