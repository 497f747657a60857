package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// What crosses shards goes through an outbox: a batch forwarded is stored in the
// batch of its source, numbered per destination, and applied in the background.
// The destination stores the highest number it applied in the same batch, so
// each is applied once and in order, whichever side a crash meets.

const (
	// outboxPage and outboxBytes bound what is applied at once.
	outboxPage  = 200
	outboxBytes = 4 << 20
)

// Forward has changes applied to another shard, soon after this batch: exactly
// once, and those of one shard for another in order. They may be sends, puts,
// removals and additions. What has become impossible until then (its queue is
// deleted) is left out and logged. Changes for the batch's own shard become part
// of it.
func (b *Batch) Forward(shard int, changes *Batch) {
	b.ops = append(b.ops, op{kind: opForward, shard: shard, changes: changes})
}

// unfold makes what is forwarded to the batch's own shard part of it.
func (b *Batch) unfold(shard int) {
	for i := 0; i < len(b.ops); i++ {
		if o := &b.ops[i]; o.kind == opForward && o.shard == shard && o.changes != nil {
			b.ops = slices.Replace(b.ops, i, i+1, o.changes.ops...)
			i--
		}
	}
}

// outboxKey is the key of an entry; that of number 0 holds the latest number.
func outboxKey(source uint16, destination int, number uint64) []byte {
	k := binary.BigEndian.AppendUint16(appendTable(nil, source, tableOutbox), shardPrefix(destination))
	return binary.BigEndian.AppendUint64(k, number)
}

// appliedKey is where a destination keeps the highest number it applied.
func appliedKey(destination uint16, source int) []byte {
	return binary.BigEndian.AppendUint16(appendTable(nil, destination, tableApplied), shardPrefix(source))
}

// outbox is what a shard's writer and its forwarder share.
type outbox struct {
	bell    chan struct{} // holds one ring
	mu      sync.Mutex
	applied map[int]uint64 // by destination
	moved   chan struct{}  // closed when applied changes
}

func (ob *outbox) init() {
	ob.bell = make(chan struct{}, 1)
	ob.applied = make(map[int]uint64)
	ob.moved = make(chan struct{})
}

func (ob *outbox) ring() {
	select {
	case ob.bell <- struct{}{}:
	default:
	}
}

func (ob *outbox) done(destination int, number uint64) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	ob.applied[destination] = number
	close(ob.moved)
	ob.moved = make(chan struct{})
}

// has tells whether an entry was applied, and what to wait for if not.
func (ob *outbox) has(e entry) (bool, <-chan struct{}) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	return ob.applied[e.destination] >= e.number, ob.moved
}

// entry names what was forwarded.
type entry struct {
	destination int
	number      uint64
}

// CommitApplied is Commit, and waits until what the batch forwards is applied.
// With a revision that is not 0 the batch is committed whatever the error: a ctx
// that ended then tells only that nobody knows yet whether all is applied.
func (s *Store) CommitApplied(ctx context.Context, shard int, b *Batch) (revision uint64, err error) {
	sh, err := s.shard(shard)
	if err != nil {
		return 0, err
	}
	c, err := s.commit(ctx, shard, b)
	if err != nil {
		return 0, err
	}
	ob := &sh.outbox
	for _, e := range c.forwarded {
		for {
			applied, moved := ob.has(e)
			if applied {
				break
			}
			select {
			case <-moved:
			case <-ctx.Done():
				return c.revision, ctx.Err()
			case <-s.closing:
				return c.revision, ErrClosed
			case <-s.failed:
				return c.revision, s.failure()
			}
		}
	}
	return c.revision, nil
}

// checkForward checks changes as those of their shard, and writes them down.
func (s *Store) checkForward(o *op) error {
	if _, err := s.shard(o.shard); err != nil {
		return err
	}
	if o.changes == nil {
		return fmt.Errorf("%w: nothing to forward to %s", ErrInvalid, shardName(o.shard))
	}
	for i := range o.changes.ops {
		switch o.changes.ops[i].kind {
		case opSend, opPut, opRemove, opAdd:
		default:
			return fmt.Errorf("%w: only sends, puts, removals and additions can be forwarded to %s", ErrInvalid, shardName(o.shard))
		}
	}
	if err := s.checkBatch(o.shard, o.changes); err != nil {
		return err
	}
	o.value = nil
	for i := range o.changes.ops {
		o.value = o.changes.ops[i].append(o.value)
	}
	return nil
}

// forward stores changes in the outbox.
func (w *writer) forward(o *op) entry {
	w.numbers[o.shard]++
	n := w.numbers[o.shard]
	w.set(outboxKey(w.sh.prefix, o.shard, n), o.value)
	w.set(outboxKey(w.sh.prefix, o.shard, 0), binary.AppendUvarint(w.val[:0], n))
	w.forwarded = true
	return entry{o.shard, n}
}

// loadOutbox reads the numbers given, and those applied here of other shards.
func (w *writer) loadOutbox() error {
	first := appendTable(nil, w.sh.prefix, tableOutbox)
	given := w.iter(first, prefixEnd(first))
	defer given.Close()
	for ok := given.First(); ok; {
		to := binary.BigEndian.Uint16(given.Key()[keyHeader:])
		if number := given.Key()[keyHeader+2:]; binary.BigEndian.Uint64(number) == 0 {
			w.numbers[shardOf(to)], _ = binary.Uvarint(given.Value())
		}
		ok = given.SeekGE(binary.BigEndian.AppendUint16(first[:keyHeader:keyHeader], to+1))
	}
	first = appendTable(nil, w.sh.prefix, tableApplied)
	applied := w.iter(first, prefixEnd(first))
	defer applied.Close()
	for ok := applied.First(); ok; ok = applied.Next() {
		from := shardOf(binary.BigEndian.Uint16(applied.Key()[keyHeader:]))
		source, err := w.store.shard(from)
		if err != nil {
			return err
		}
		n, _ := binary.Uvarint(applied.Value())
		w.applied[from] = n
		source.outbox.done(w.sh.number, n)
	}
	return errors.Join(given.Error(), applied.Error())
}

// forwardAll applies what a shard has for others until the store is closed.
func (s *Store) forwardAll(source *shard) {
	for {
		for _, to := range s.all() {
			err := s.forwardTo(source, to)
			if errors.Is(err, ErrClosed) || errors.Is(err, ErrStoreFailed) {
				return
			}
			if err != nil { // the next batch forwarded tries again
				s.log.Error("outbox is stuck", "from", shardName(source.number), "to", shardName(to.number), "err", err)
			}
		}
		select {
		case <-source.outbox.bell:
		case <-s.closing:
			return
		case <-s.failed:
			return
		}
	}
}

// forwardTo applies what a shard has for another, page by page: first there,
// durably, then it is removed here. A removal that a crash undoes costs another
// look at what the destination knows already.
func (s *Store) forwardTo(source, to *shard) error {
	for {
		page := &applyWork{source: source.number}
		size := 0
		next := source.outbox.applied[to.number] + 1
		in := bounds{lower: outboxKey(source.prefix, to.number, next), upper: prefixEnd(outboxKey(source.prefix, to.number, 0)[:keyHeader+2])}
		err := s.walkKeys(s.db, source, in, func(k, v []byte) (bool, error) {
			ops, err := parseOps(v)
			if err != nil {
				return false, err
			}
			page.ops = append(page.ops, s.possible(to.number, ops)...)
			page.last = binary.BigEndian.Uint64(k[keyHeader+2:])
			size += len(v)
			return page.last-next+1 < outboxPage && size < outboxBytes, nil
		})
		if err != nil || page.last == 0 {
			return err
		}
		if err := to.run(context.Background(), page); err != nil {
			return err
		}
		if err := source.run(context.Background(), &forwardedWork{to.number, next, page.last}); err != nil {
			return err
		}
		source.outbox.done(to.number, page.last)
	}
}

// possible leaves out what has become impossible since it was forwarded.
func (s *Store) possible(shard int, ops []op) []op {
	out := ops[:0]
	for i := range ops {
		if _, err := s.checkOp(shard, &ops[i]); err != nil {
			s.log.Warn("forwarded change left out", "shard", shard, "err", err)
			continue
		}
		out = append(out, ops[i])
	}
	return out
}

// applyWork applies entries at their destination, and notes how far that is.
type applyWork struct {
	source int
	last   uint64
	ops    []op
}

func (a *applyWork) do(w *writer) (answer, error) {
	if a.last <= w.applied[a.source] {
		return whenSettled, nil
	}
	b := new(Batch)
	for i := range a.ops {
		var st step
		if err := w.check(&a.ops[i], &st); err != nil {
			w.store.log.Warn("forwarded change left out", "shard", w.sh.number, "err", err)
			continue
		}
		b.ops = append(b.ops, a.ops[i])
	}
	if _, err := (&commitWork{b: b}).do(w); err != nil {
		return 0, err
	}
	w.applied[a.source] = a.last
	w.set(appliedKey(w.sh.prefix, a.source), binary.AppendUvarint(w.val[:0], a.last))
	return whenDurable, nil
}

// forwardedWork removes entries that were applied.
type forwardedWork struct {
	destination int
	first, last uint64
}

func (f *forwardedWork) do(w *writer) (answer, error) {
	for n := f.first; n <= f.last; n++ {
		w.delete(outboxKey(w.sh.prefix, f.destination, n))
	}
	return whenSettled, nil
}

// append writes a change down for the outbox.
func (o *op) append(b []byte) []byte {
	b = append(b, byte(o.kind))
	if o.kind != opSend {
		b = appendText(b, string(o.key))
		b = appendText(b, string(o.value))
		return binary.AppendVarint(b, o.delta)
	}
	m := &o.msg
	b = appendText(b, o.queue)
	b = append(b, m.ID[:]...)
	for _, text := range [...]string{m.Group, m.DedupID, string(m.Body), string(m.Attributes)} {
		b = appendText(b, text)
	}
	b = binary.AppendVarint(b, int64(m.Delay))
	return binary.AppendVarint(b, optionalMillis(m.At))
}

func parseOps(b []byte) ([]op, error) {
	var ops []op
	r := reader{b: append([]byte(nil), b...)}
	for len(r.b) > 0 && !r.bad {
		o := op{kind: opKind(r.byte())}
		if o.kind != opSend {
			o.key, o.value, o.delta = r.text(), r.text(), r.varint()
		} else {
			o.queue = string(r.text())
			copy(o.msg.ID[:], r.take(len(o.msg.ID)))
			o.msg.Group, o.msg.DedupID = string(r.text()), string(r.text())
			o.msg.Body, o.msg.Attributes = r.text(), r.text()
			o.msg.Delay = time.Duration(r.varint())
			o.msg.At = timeOf(r.varint())
		}
		ops = append(ops, o)
	}
	return ops, r.err("outbox entry")
}
