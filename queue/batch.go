package queue

import "time"

// Batch gathers changes to one shard that happen all or none. The zero value
// is an empty batch, durable when committed. A Batch is used once and by one
// goroutine.
type Batch struct {
	ops      []op
	intake   bool
	unsynced bool
	after    []func()
}

// Intake marks the batch as new work: it is refused with ErrDiskFull above the
// disk watermark. Outcomes, deletes and leases are no intake.
func (b *Batch) Intake() { b.intake = true }

// Unsynced lets Commit answer before the batch is durable. For changes that a
// crash may undo without a wrong being done; a later durable batch of the same
// shard makes it durable too.
func (b *Batch) Unsynced() { b.unsynced = true }

// After has fn called by Commit once the batch is committed, before Commit
// returns; not when Commit fails. It is for what must be counted exactly once
// although a batch that met a conflict is built again. fn must not block.
func (b *Batch) After(fn func()) { b.after = append(b.after, fn) }

// Len is the number of changes gathered.
func (b *Batch) Len() int { return len(b.ops) }

// Send adds a message to a queue: in this batch's shard, or, if it is a FIFO
// queue's and belongs to another (Store.FIFOShard), there, as by Forward. An
// unknown queue fails the batch with ErrNotFound.
func (b *Batch) Send(queue string, m Message) {
	b.ops = append(b.ops, op{kind: opSend, queue: queue, msg: m})
}

// Delete removes a leased message. A stale handle fails the batch with ErrStaleHandle.
func (b *Batch) Delete(h Handle) { b.ops = append(b.ops, op{kind: opDelete, handle: h}) }

// Retry ends the lease and makes the message visible again at the given time
// (at once when it is past). With uncounted, the receive is taken back from its
// count, as if the lease had never been. A stale handle fails the batch with
// ErrStaleHandle.
func (b *Batch) Retry(h Handle, at time.Time, uncounted bool) {
	b.ops = append(b.ops, op{kind: opRetry, handle: h, at: at, uncounted: uncounted})
}

// Put writes a record. Its revision becomes the batch's revision.
func (b *Batch) Put(key, value []byte) {
	b.ops = append(b.ops, op{kind: opPut, key: key, value: value})
}

// Remove deletes a record; a missing one is no error.
func (b *Batch) Remove(key []byte) { b.ops = append(b.ops, op{kind: opRemove, key: key}) }

// RemovePrefix deletes all records and counters whose keys start with prefix.
// It costs as much as they are many; a caller with more than a few thousand
// removes them in pages.
func (b *Batch) RemovePrefix(prefix []byte) {
	b.ops = append(b.ops, op{kind: opRemovePrefix, key: prefix})
}

// Add adds delta to the counter key; a missing counter is 0. Counters and
// records have key spaces of their own.
func (b *Batch) Add(key []byte, delta int64) {
	b.ops = append(b.ops, op{kind: opAdd, key: key, delta: delta})
}

// Expect makes the batch fail with ErrConflict unless the record's revision is
// the given one; 0 means the record must not exist. It sees the state before
// this batch, batches committed earlier included.
func (b *Batch) Expect(key []byte, revision uint64) {
	b.ops = append(b.ops, op{kind: opExpect, key: key, revision: revision})
}

type opKind uint8

const (
	opSend opKind = iota + 1
	opDelete
	opRetry
	opPut
	opRemove
	opRemovePrefix
	opAdd
	opExpect
	opForward
	opAdopt // in the outbox only: a message handed on by another shard
)

type op struct {
	kind      opKind
	uncounted bool
	queue     string
	msg       Message
	dedup     [16]byte // of the deduplication id, if dedups
	dedups    bool
	handle    Handle
	at        time.Time
	key       []byte
	value     []byte
	delta     int64
	revision  uint64
	shard     int      // forward: where to
	changes   *Batch   // forward
	content   *content // adopt
}
