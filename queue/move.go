package queue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// MovesKept is how many of a queue's moves are listed: the newest.
const MovesKept = 10

// MovePhase is where a move stands.
type MovePhase string

// The phases of a move; all but the first are final.
const (
	MoveRunning   MovePhase = "running"
	MoveCompleted MovePhase = "completed"
	MoveCancelled MovePhase = "cancelled"
	MoveFailed    MovePhase = "failed"
)

// Move is a task that moves a queue's messages to another queue, such as dead
// letters back to where they came from. It moves what a receiver could get of
// the messages that were visible when it started: those in flight, those that
// wait and those of a FIFO group that is locked stay.
//
// A message that is moved is a new one: it has another ID (its DedupID too in a
// FIFO queue), another time of sending and no receives. Group, attributes, body
// and the order within a group are kept.
type Move struct {
	// ID is given by StartMove.
	ID ID
	// Source is the queue whose messages are moved.
	Source string
	// Destination is the queue they are moved to; empty: each to its SourceQueue.
	// The move fails at a message that has none, or whose queue is gone.
	Destination string
	// Rate is how many messages are moved a second; 0: as many as the store can
	// while it serves others.
	Rate int
	// SentFrom and SentBefore, if set, are a filter: messages sent at or after
	// the one and before the other. A dead letter was sent when its sender did.
	SentFrom, SentBefore time.Time

	// What follows is told by the store.

	Phase MovePhase
	// Reason tells why a move failed.
	Reason string
	// Moved is how many messages were moved.
	Moved int64
	// ToMove is how many messages of the source could be received at the start,
	// whatever the filter.
	ToMove         int64
	Started, Ended time.Time
}

// moveRecord is a move as the registry keeps it, under (identity of the source,
// id of the move). How far it came lies in each shard with what it moved.
type moveRecord struct {
	ID          ID        `json:"-"`
	Identity    uint64    `json:"-"`
	Number      uint64    `json:"number"` // of the source when it started
	Source      string    `json:"source"`
	Destination string    `json:"destination,omitempty"`
	Rate        int       `json:"rate,omitempty"`
	From        int64     `json:"from,omitempty"`
	Before      int64     `json:"before,omitempty"`
	Phase       MovePhase `json:"phase"`
	Reason      string    `json:"reason,omitempty"`
	ToMove      int64     `json:"to_move,omitempty"`
	Started     int64     `json:"started"`
	Ended       int64     `json:"ended,omitempty"`
}

func (r *moveRecord) key() []byte {
	return append(queueKey(nil, prefixRegistry, tableMove, r.Identity), r.ID[:]...)
}

// progress is how far a move came in a shard.
type progress struct {
	next  uint64 // position
	moved int64
}

func progressKey(prefix uint16, id ID) []byte {
	return append(appendTable(nil, prefix, tableMove), id[:]...)
}

func (p *progress) append(b []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, p.next), uint64(p.moved))
}

func parseProgress(b []byte) (progress, error) {
	if b == nil {
		return progress{}, nil
	}
	r := reader{b: b}
	p := progress{next: r.uvarint(), moved: int64(r.uvarint())}
	return p, r.err("progress of a move")
}

// StartMove starts to move messages in the background, also over restarts. One
// move of a source runs at a time; another is ErrMoveInProgress. Unknown queues
// are ErrNotFound; a source that is its own destination, or is FIFO and the
// destination is not, or the reverse, is ErrInvalid. Durable on return.
func (s *Store) StartMove(ctx context.Context, m Move) (Move, error) {
	q, err := s.checkMove(&m)
	if err != nil {
		return Move{}, err
	}
	st, err := s.Stats(m.Source)
	if err != nil {
		return Move{}, err
	}
	def := q.current.Load()
	r := &moveRecord{
		Identity: def.Identity, Number: def.number(), Source: m.Source, Destination: m.Destination, Rate: m.Rate,
		From: optionalMillis(m.SentFrom), Before: optionalMillis(m.SentBefore),
		Phase: MoveRunning, ToMove: st.Ready,
	}
	s.moves.starting.Lock()
	defer s.moves.starting.Unlock()
	if s.moves.closed {
		return Move{}, s.gone()
	}
	if s.moves.running(def.Identity) {
		return Move{}, fmt.Errorf("queue %q: %w", m.Source, ErrMoveInProgress)
	}
	r.Started = s.clock.now()
	r.ID = s.shards[0].ids.next(r.Started)
	if err := ctx.Err(); err != nil {
		return Move{}, err
	}
	if err := s.saveMove(r); err != nil {
		return Move{}, err
	}
	s.moves.start(s, r)
	return s.public(r)
}

func (s *Store) checkMove(m *Move) (*queueDef, error) {
	q, err := s.lookup(m.Source)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*queueDef, error) {
		return nil, fmt.Errorf("%w: move of queue %q: %s", ErrInvalid, m.Source, fmt.Sprintf(format, args...))
	}
	switch {
	case m.Rate < 0:
		return bad("rate must not be negative, not %d", m.Rate)
	case m.Destination == m.Source:
		return bad("it cannot be its own destination")
	case !m.SentBefore.IsZero() && !m.SentFrom.Before(m.SentBefore):
		return bad("messages sent from %v and before %v are none", m.SentFrom, m.SentBefore)
	case m.Destination == "":
		return q, nil
	}
	to, err := s.lookup(m.Destination)
	if err != nil {
		return nil, err
	}
	if to.current.Load().Settings.FIFO != q.current.Load().Settings.FIFO {
		return bad("destination %q must be FIFO if it is, and only then", m.Destination)
	}
	return q, nil
}

// Moves lists a queue's moves, the newest first, at most MovesKept.
func (s *Store) Moves(source string) ([]Move, error) {
	q, err := s.lookup(source)
	if err != nil {
		return nil, err
	}
	records, err := s.moveRecords(q.current.Load().Identity)
	if err != nil {
		return nil, err
	}
	slices.Reverse(records)
	var out []Move
	for _, r := range records[:min(len(records), MovesKept)] {
		m, err := s.public(r)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// CancelMove ends a move that is running; what it moved stays where it is. It
// blocks until no more is moved. A move that is not running is ErrNotFound.
// Durable on return.
func (s *Store) CancelMove(ctx context.Context, id ID) (Move, error) {
	mv := s.moves.find(id)
	if mv == nil {
		return Move{}, fmt.Errorf("running move %v: %w", id, ErrNotFound)
	}
	mv.cancel()
	select {
	case <-mv.done:
	case <-ctx.Done():
		return Move{}, ctx.Err()
	}
	if mv.record.Phase != MoveCancelled { // it had ended, or the store did
		if err := mv.err; err != nil {
			return Move{}, err
		}
		return Move{}, fmt.Errorf("running move %v: %w: it has %s", id, ErrNotFound, mv.record.Phase)
	}
	return s.public(mv.record)
}

// public adds up what was moved.
func (s *Store) public(r *moveRecord) (Move, error) {
	m := Move{
		ID: r.ID, Source: r.Source, Destination: r.Destination, Rate: r.Rate,
		SentFrom: timeOf(r.From), SentBefore: timeOf(r.Before),
		Phase: r.Phase, Reason: r.Reason, ToMove: r.ToMove, Started: timeOf(r.Started), Ended: timeOf(r.Ended),
	}
	for _, sh := range s.shards {
		v, err := s.readGate(sh, progressKey(sh.prefix, r.ID))
		if err != nil {
			return Move{}, err
		}
		p, err := parseProgress(v)
		if err != nil {
			return Move{}, err
		}
		m.Moved += p.moved
	}
	return m, nil
}

// moveRecords lists the moves of a source, the oldest first.
func (s *Store) moveRecords(identity uint64) ([]*moveRecord, error) {
	return s.scanMoves(binary.BigEndian.AppendUint64(nil, identity))
}

func (s *Store) scanMoves(prefix []byte) (out []*moveRecord, err error) {
	err = s.walk(s.db, Registry, span{table: tableMove, prefix: prefix}, func(k, v []byte) (bool, error) {
		r := new(moveRecord)
		if err := json.Unmarshal(v, r); err != nil {
			return false, fmt.Errorf("%w: move %x: %w", errCorrupt, k, err)
		}
		r.Identity = binary.BigEndian.Uint64(k)
		copy(r.ID[:], k[8:])
		out = append(out, r)
		return true, nil
	})
	return out, err
}

// saveMove writes a move to the registry. It ends with no context: a move must
// not be on disk and unknown.
func (s *Store) saveMove(r *moveRecord) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.registry.run(context.Background(), &setWork{key: r.key(), value: v})
}

// dropMove removes a move, from the registry last: until then it is found again.
func (s *Store) dropMove(r *moveRecord) error {
	for _, sh := range s.shards {
		if err := sh.run(context.Background(), &setWork{key: progressKey(sh.prefix, r.ID)}); err != nil {
			return err
		}
	}
	return s.registry.run(context.Background(), &setWork{key: r.key()})
}

// setWork writes one key of the shard's own tables, or without a value removes it.
type setWork struct{ key, value []byte }

func (k *setWork) do(w *writer) (answer, error) {
	if k.value == nil {
		must(w.batch.Delete(k.key, nil))
	} else {
		must(w.batch.Set(k.key, k.value, nil))
	}
	return whenDurable, nil
}

func optionalMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	if ms := millis(t); ms != 0 {
		return ms
	}
	return 1 // 0 says that there is none
}
