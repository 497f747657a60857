package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// pendingRecord is a record the open batch wrote or removed.
type pendingRecord struct {
	revision uint64
	removed  bool
}

const revisionLen = 8

func (w *writer) checkRevision(o *op) error {
	have, err := w.revisionOf(o.key)
	if err != nil {
		return err
	}
	if have != o.revision {
		return fmt.Errorf("%w: record %q has revision %d, not %d", ErrConflict, o.key, have, o.revision)
	}
	return nil
}

func (w *writer) revisionOf(key []byte) (uint64, error) {
	if p, ok := w.records[string(key)]; ok {
		if p.removed {
			return 0, nil
		}
		return p.revision, nil
	}
	w.buf = recordKey(w.buf[:0], w.sh.prefix, tableRecord, key)
	v, closer, err := w.db.Get(w.buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read record %q: %w", key, err)
	}
	defer closer.Close()
	if len(v) < revisionLen {
		return 0, fmt.Errorf("%w: record %q", errCorrupt, key)
	}
	return binary.BigEndian.Uint64(v), nil
}

func (w *writer) putRecord(key, value []byte, revision uint64) {
	k := recordKey(w.buf[:0], w.sh.prefix, tableRecord, key)
	op := w.batch.SetDeferred(len(k), revisionLen+len(value))
	copy(op.Key, k)
	binary.BigEndian.PutUint64(op.Value, revision)
	copy(op.Value[revisionLen:], value)
	must(op.Finish())
	w.buf = k[:0]
	w.recordChanged(string(key), pendingRecord{revision: revision})
}

func (w *writer) removeRecord(key []byte) {
	w.delete(recordKey(w.buf[:0], w.sh.prefix, tableRecord, key))
	w.recordChanged(string(key), pendingRecord{removed: true})
}

// recordChanged notes a change, also if nobody watches yet: who begins to before
// it can be read wants to be told.
func (w *writer) recordChanged(key string, r pendingRecord) {
	w.records[key] = r
	w.changed = append(w.changed, key)
}

// findPrefix lists the records and counters on disk under a prefix.
func (w *writer) findPrefix(prefix []byte, st *step) (err error) {
	if st.removed, err = w.keysUnder(tableRecord, prefix); err != nil {
		return err
	}
	st.counters, err = w.keysUnder(tableCounter, prefix)
	return err
}

func (w *writer) keysUnder(table byte, prefix []byte) ([][]byte, error) {
	first := recordKey(nil, w.sh.prefix, table, prefix)
	it, err := w.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: prefixEnd(first)})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var keys [][]byte
	for ok := it.First(); ok; ok = it.Next() {
		keys = append(keys, bytes.Clone(it.Key()[keyHeader:]))
	}
	return keys, it.Error()
}

// removePrefix removes what the disk and the open batch have under a prefix.
func (w *writer) removePrefix(prefix []byte, st *step) {
	for k, p := range w.records {
		if !p.removed && strings.HasPrefix(k, string(prefix)) {
			w.removeRecord([]byte(k))
		}
	}
	for _, k := range st.removed {
		if !w.records[string(k)].removed {
			w.removeRecord(k)
		}
	}
	w.counters.removePrefix(w, string(prefix), st.counters)
}

// Record is one record of a shard.
type Record struct {
	Key      []byte
	Value    []byte
	Revision uint64
}

// Get reads a record; ErrNotFound if there is none. It sees every batch whose
// Commit returned.
func (s *Store) Get(shard int, key []byte) (Record, error) {
	sh, err := s.shard(shard)
	if err != nil {
		return Record{}, err
	}
	if err := checkKey(key); err != nil {
		return Record{}, err
	}
	v, err := s.readGate(sh, recordKey(nil, sh.prefix, tableRecord, key))
	if err != nil {
		return Record{}, err
	}
	if v == nil {
		return Record{}, fmt.Errorf("record %q: %w", key, ErrNotFound)
	}
	if len(v) < revisionLen {
		return Record{}, fmt.Errorf("%w: record %q", errCorrupt, key)
	}
	return Record{Key: bytes.Clone(key), Value: v[revisionLen:], Revision: binary.BigEndian.Uint64(v)}, nil
}

// readGate reads a key and waits until what it read is durable.
func (s *Store) readGate(sh *shard, key []byte) ([]byte, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	v, err := read(s.db, key)
	if err != nil {
		return nil, err
	}
	if !sh.gate.pass() {
		return nil, s.failure()
	}
	return v, nil
}

// read reads a key; nil without an error if it is missing.
func read(db pebble.Reader, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %x: %w", key, typed(err))
	}
	v = bytes.Clone(v)
	if v == nil {
		v = []byte{}
	}
	return v, closer.Close()
}

// Scan walks the records whose keys start with prefix, in order of key, those
// behind after (nil: from the start), until fn returns false. Key and value
// are valid during the call only. It reads a snapshot.
func (s *Store) Scan(shard int, prefix, after []byte, fn func(r Record) bool) error {
	return s.walk(s.db, shard, span{table: tableRecord, prefix: prefix, after: after}, eachRecord(fn))
}

// ScanBack is Scan in falling order of key: the records before the key before
// (nil: from the end).
func (s *Store) ScanBack(shard int, prefix, before []byte, fn func(r Record) bool) error {
	return s.walk(s.db, shard, span{table: tableRecord, prefix: prefix, after: before, back: true}, eachRecord(fn))
}

func eachRecord(fn func(r Record) bool) func(k, v []byte) (bool, error) {
	return func(k, v []byte) (bool, error) {
		if len(v) < revisionLen {
			return false, fmt.Errorf("%w: record %q", errCorrupt, k)
		}
		return fn(Record{Key: k, Value: v[revisionLen:], Revision: binary.BigEndian.Uint64(v)}), nil
	}
}

// Counter reads a counter; a missing one is 0.
func (s *Store) Counter(shard int, key []byte) (int64, error) {
	sh, err := s.shard(shard)
	if err != nil {
		return 0, err
	}
	if err := checkKey(key); err != nil {
		return 0, err
	}
	v, err := s.readGate(sh, recordKey(nil, sh.prefix, tableCounter, key))
	return counterValue(v), err
}

// Counters walks the counters whose keys start with prefix, as Scan does.
func (s *Store) Counters(shard int, prefix []byte, fn func(key []byte, n int64) bool) error {
	return s.walk(s.db, shard, span{table: tableCounter, prefix: prefix}, eachCounter(fn))
}

func eachCounter(fn func(key []byte, n int64) bool) func(k, v []byte) (bool, error) {
	return func(k, v []byte) (bool, error) { return fn(k, counterValue(v)), nil }
}

// span is the keys of a table that begin with prefix, those behind after, or,
// back, those before it, the last first.
type span struct {
	table  byte
	prefix []byte
	after  []byte // nil: all
	back   bool
}

func (s *Store) walk(from pebble.Reader, shard int, sp span, fn func(k, v []byte) (bool, error)) error {
	sh, err := s.shard(shard)
	if err != nil {
		return err
	}
	lower := recordKey(nil, sh.prefix, sp.table, sp.prefix)
	upper := prefixEnd(lower)
	switch {
	case sp.after == nil:
	case sp.back:
		if end := recordKey(nil, sh.prefix, sp.table, sp.after); bytes.Compare(end, upper) < 0 {
			upper = end
		}
	default:
		if first := append(recordKey(nil, sh.prefix, sp.table, sp.after), 0); bytes.Compare(first, lower) > 0 {
			lower = first
		}
	}
	return s.walkKeys(from, sh, bounds{lower, upper, sp.back}, func(k, v []byte) (bool, error) { return fn(k[keyHeader:], v) })
}

// bounds are the keys from lower up to upper, or, back, down from it.
type bounds struct {
	lower, upper []byte
	back         bool
}

// walkKeys walks a snapshot of a shard's keys, all of it durable.
func (s *Store) walkKeys(from pebble.Reader, sh *shard, in bounds, fn func(k, v []byte) (bool, error)) error {
	if bytes.Compare(in.lower, in.upper) >= 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: in.lower, UpperBound: in.upper})
	if err != nil {
		return err
	}
	defer it.Close()
	if !sh.gate.pass() {
		return s.failure()
	}
	first, next := it.First, it.Next
	if in.back {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		if more, err := fn(it.Key(), it.Value()); err != nil || !more {
			return err
		}
	}
	return typed(it.Error())
}

// Revision is the shard's latest revision.
func (s *Store) Revision(shard int) uint64 {
	sh, err := s.shard(shard)
	if err != nil {
		return 0
	}
	return sh.revision.Load()
}

// Watch signals after a batch committed to the shard wrote or removed a record
// under prefix; signals that were not taken yet fall together. Call stop to end it.
func (s *Store) Watch(shard int, prefix []byte) (changed <-chan struct{}, stop func()) {
	sh, err := s.shard(shard)
	if err != nil {
		return nil, func() {}
	}
	w := sh.watchers.add(&watcher{prefix: string(prefix), changed: make(chan struct{}, 1)})
	return w.changed, func() { sh.watchers.remove(w) }
}

// Follow calls fn with the key of each record under prefix that a batch wrote or
// removed, batch by batch, before anybody can read the change and before its
// Commit returns. So whoever reads a record, or made it, comes after fn; and a
// Scan begun after Follow has what fn was not told of. The writer waits for fn:
// it must be quick and must not use the store. Call stop to end it.
func (s *Store) Follow(shard int, prefix []byte, fn func(key string)) (stop func()) {
	sh, err := s.shard(shard)
	if err != nil {
		return func() {}
	}
	w := sh.watchers.add(&watcher{prefix: string(prefix), follow: fn})
	return func() { sh.watchers.remove(w) }
}
