package queue

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Peeked is a message seen without a lease.
type Peeked struct {
	Message
	Position  uint64
	InFlight  bool
	Receives  int
	VisibleAt time.Time
	SentAt    time.Time
	// SourceQueue is set on a dead letter: the queue it came from.
	SourceQueue string
}

// View is a data shard as it stood at one moment, all of it durable: records,
// counters and queues fit together. For audits.
type View struct {
	store    *Store
	shard    *shard
	snapshot *pebble.Snapshot
}

// View hands read the shard as it stands now. While read runs, the disk space
// of what is deleted meanwhile stays taken. The View is of use until read
// returns.
func (s *Store) View(shard int, read func(v *View) error) error {
	sh, err := s.shard(shard)
	if err != nil || shard == Registry {
		return fmt.Errorf("%w: shard %d of %d", ErrInvalid, shard, len(s.shards))
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	v := &View{store: s, shard: sh, snapshot: s.db.NewSnapshot()}
	defer func() { _ = v.snapshot.Close() }() // only read
	if !sh.gate.pass() {
		return s.failure()
	}
	return read(v)
}

// Scan is Store.Scan of the View.
func (v *View) Scan(prefix, after []byte, fn func(r Record) bool) error {
	return v.store.walk(v.snapshot, v.shard.number, span{table: tableRecord, prefix: prefix, after: after}, eachRecord(fn))
}

// Counters is Store.Counters of the View.
func (v *View) Counters(prefix []byte, fn func(key []byte, n int64) bool) error {
	return v.store.walk(v.snapshot, v.shard.number, span{table: tableCounter, prefix: prefix}, eachCounter(fn))
}

// Messages is Store.Messages of the View.
func (v *View) Messages(queue string, after uint64, fn func(m Peeked) bool) error {
	q, err := v.store.lookup(queue)
	if err != nil || after == math.MaxUint64 {
		return err
	}
	number := q.current.Load().number()
	states, err := v.iter(tableLease, number, after)
	if err != nil {
		return err
	}
	defer states.Close()
	messages, err := v.iter(tableMessage, number, after)
	if err != nil {
		return err
	}
	defer messages.Close()
	states.First()
	for ok := messages.First(); ok; ok = messages.Next() {
		p, err := v.peek(messages, states)
		if err != nil {
			return err
		}
		if !fn(p) {
			return nil
		}
	}
	return typed(messages.Error())
}

// Messages walks the messages of a queue in one shard without leasing them, in
// order of position, starting behind after (0: from the start), until fn
// returns false. For audits and listings; it reads a snapshot.
func (s *Store) Messages(queue string, shard int, after uint64, fn func(m Peeked) bool) error {
	if _, err := s.lookup(queue); err != nil {
		return err
	}
	return s.View(shard, func(v *View) error { return v.Messages(queue, after, fn) })
}

func (v *View) iter(table byte, number, after uint64) (*pebble.Iterator, error) {
	upper := prefixEnd(queueKey(nil, v.shard.prefix, table, number))
	return v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: messageKey(nil, v.shard.prefix, table, number, after+1), UpperBound: upper,
	})
}

// peek puts a message and its state together; states follows messages.
func (v *View) peek(messages, states *pebble.Iterator) (Peeked, error) {
	pos := positionOf(messages.Key())
	c, err := parseContent(bytes.Clone(messages.Value()))
	if err != nil {
		return Peeked{}, err
	}
	p := Peeked{
		Message:  Message{ID: c.id, Group: c.group, DedupID: c.dedup, Body: c.body, Attributes: c.attrs},
		Position: pos, SentAt: timeOf(c.sentAt), SourceQueue: c.source, Receives: int(c.before), VisibleAt: timeOf(positionTime(pos)),
	}
	for states.Valid() && positionOf(states.Key()) < pos {
		states.Next()
	}
	var value []byte
	switch {
	case states.Valid() && positionOf(states.Key()) == pos:
		value = states.Value()
	case states.Error() != nil: // one that was made anew is read alone
		key := bytes.Clone(messages.Key())
		key[keyHeader-1] = tableLease
		if value, err = read(v.snapshot, key); err != nil {
			return Peeked{}, err
		}
	}
	if value == nil {
		return p, nil
	}
	st, err := parseState(value)
	if err != nil {
		return Peeked{}, err
	}
	p.InFlight = st.phase == phaseLeased
	p.Receives += int(st.receives)
	if st.due != 0 {
		p.VisibleAt = timeOf(st.due)
	}
	return p, nil
}
