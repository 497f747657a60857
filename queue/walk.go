package queue

import (
	"bytes"
	"fmt"
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

// Messages walks the messages of a queue in one shard without leasing them, in
// order of position, starting behind after (0: from the start), until fn
// returns false. For audits and listings; it reads a snapshot.
func (s *Store) Messages(queue string, shard int, after uint64, fn func(m Peeked) bool) error {
	q, err := s.lookup(queue)
	if err != nil {
		return err
	}
	sh, err := s.shard(shard)
	if err != nil || shard == Registry {
		return fmt.Errorf("%w: shard %d of %d", ErrInvalid, shard, len(s.shards))
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	view := s.db.NewSnapshot()
	defer func() { _ = view.Close() }() // only read
	if !sh.gate.pass() {
		return s.failure()
	}
	number := q.current.Load().number()
	states, err := snapshotIter(view, sh, tableLease, number, after)
	if err != nil {
		return err
	}
	defer states.Close()
	messages, err := snapshotIter(view, sh, tableMessage, number, after)
	if err != nil {
		return err
	}
	defer messages.Close()
	states.First()
	for ok := messages.First(); ok; ok = messages.Next() {
		p, err := peek(messages, states)
		if err != nil {
			return err
		}
		if !fn(p) {
			return nil
		}
	}
	return messages.Error()
}

func snapshotIter(view *pebble.Snapshot, sh *shard, table byte, number, after uint64) (*pebble.Iterator, error) {
	upper := prefixEnd(queueKey(nil, sh.prefix, table, number))
	return view.NewIter(&pebble.IterOptions{
		LowerBound: messageKey(nil, sh.prefix, table, number, after+1), UpperBound: upper,
	})
}

// peek puts a message and its state together; states follows messages.
func peek(messages, states *pebble.Iterator) (Peeked, error) {
	pos := positionOf(messages.Key())
	c, err := parseContent(bytes.Clone(messages.Value()))
	if err != nil {
		return Peeked{}, err
	}
	p := Peeked{
		Message:  Message{ID: c.id, Group: c.group, DedupID: c.dedup, Body: c.body, Attributes: c.attrs},
		Position: pos, SentAt: timeOf(c.sentAt), SourceQueue: c.source, VisibleAt: timeOf(positionTime(pos)),
	}
	for states.Valid() && positionOf(states.Key()) < pos {
		states.Next()
	}
	if !states.Valid() || positionOf(states.Key()) != pos {
		return p, states.Error()
	}
	st, err := parseState(states.Value())
	if err != nil {
		return Peeked{}, err
	}
	p.InFlight = st.phase == phaseLeased
	p.Receives = int(st.receives)
	if st.due != 0 {
		p.VisibleAt = timeOf(st.due)
	}
	return p, nil
}
