package queue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// definition is a queue as the registry keeps it.
type definition struct {
	Name       string   `json:"name"`
	Identity   uint64   `json:"identity"`
	Generation uint32   `json:"generation,omitempty"` // purges so far
	Settings   Settings `json:"settings"`
	// OneShard: a FIFO queue that lies in one shard, whatever its settings become.
	// Older ones have their groups in all shards.
	OneShard bool  `json:"one_shard,omitempty"`
	Created  int64 `json:"created"`
	Modified int64 `json:"modified"`
	Purged   int64 `json:"purged,omitempty"`
}

// number names the queue's messages in keys.
func (d *definition) number() uint64 { return queueNumber(d.Identity, d.Generation) }

func (d *definition) public() Queue {
	set := d.Settings
	set.Tags = maps.Clone(set.Tags)
	return Queue{Name: d.Name, Settings: set, Created: timeOf(d.Created), Modified: timeOf(d.Modified)}
}

// queueDef is a queue in memory.
type queueDef struct {
	name    string
	current atomic.Pointer[definition]
	gone    chan struct{} // closed when the queue is deleted
	waiters waiters
	turn    atomic.Uint32  // the shard a receive begins with
	ready   []atomic.Int64 // messages to be had, for each shard
	lost    lost
	oldest  []atomic.Uint64 // no message lies before this position, for each shard
}

func newQueueDef(def *definition, shards int) *queueDef {
	q := &queueDef{name: def.Name, gone: make(chan struct{}), ready: make([]atomic.Int64, shards), oldest: make([]atomic.Uint64, shards)}
	q.current.Store(def)
	return q
}

// queue finds a queue; nil if there is none.
func (s *Store) queue(name string) *queueDef {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.queues[name]
}

// byNumber finds the queue whose messages have a number; nil if that is gone.
func (s *Store) byNumber(number uint64) (*queueDef, *definition) {
	s.mu.RLock()
	q := s.identities[queueIdentity(number)]
	s.mu.RUnlock()
	if q == nil {
		return nil, nil
	}
	if def := q.current.Load(); def.number() == number {
		return q, def
	}
	return nil, nil
}

func (s *Store) queueName(number uint64) string {
	if q, _ := s.byNumber(number); q != nil {
		return fmt.Sprintf("%q", q.name)
	}
	return fmt.Sprintf("number %d", number)
}

func (s *Store) lookup(name string) (*queueDef, error) {
	if q := s.queue(name); q != nil {
		return q, nil
	}
	select {
	case <-s.failed:
		return nil, s.failure()
	case <-s.closing:
		return nil, ErrClosed
	default:
	}
	return nil, fmt.Errorf("queue %q: %w", name, ErrNotFound)
}

// defineWork writes or removes a definition.
type defineWork struct {
	name string
	def  *definition // nil: remove
	// identity is the latest given to a queue: kept, so that none is given twice
	// even if its queue is deleted. What is left of that is found by it.
	identity uint64
}

func (d *defineWork) do(w *writer) (answer, error) {
	key := recordKey(w.buf[:0], w.sh.prefix, tableDefinition, []byte(d.name))
	if d.def == nil {
		w.delete(key)
		return whenDurable, nil
	}
	v, err := json.Marshal(d.def)
	if err != nil {
		return 0, fmt.Errorf("queue %q: %w", d.name, err)
	}
	w.set(key, v)
	w.set(identityKey(w.sh.prefix), binary.AppendUvarint(w.val[:0], d.identity))
	return whenDurable, nil
}

func identityKey(prefix uint16) []byte { return appendTable(nil, prefix, tableIdentity) }

// define makes a definition durable, then known. It ends with no context: a
// definition must not be on disk and unknown.
func (s *Store) define(ctx context.Context, name string, def *definition) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.registry.run(context.Background(), &defineWork{name: name, def: def, identity: s.identity.Load()})
}

// CreateQueue defines a queue. The same name with equal settings returns the
// existing one; with others ErrQueueExists. Durable on return.
func (s *Store) CreateQueue(ctx context.Context, name string, set Settings) (Queue, error) {
	if err := checkQueueName(name); err != nil {
		return Queue{}, err
	}
	set, err := s.checkSettings(name, set)
	if err != nil {
		return Queue{}, err
	}
	defer s.lockName(name)()
	if q := s.queue(name); q != nil {
		def := q.current.Load()
		if !def.Settings.equal(set) {
			return Queue{}, fmt.Errorf("queue %q: %w", name, ErrQueueExists)
		}
		return def.public(), nil
	}
	now := s.clock.now()
	def := &definition{
		Name: name, Identity: s.identity.Add(1), Settings: set, OneShard: set.FIFO && !set.DedupPerGroup, Created: now, Modified: now,
	}
	if err := s.define(ctx, name, def); err != nil {
		return Queue{}, err
	}
	s.enroll(def)
	return def.public(), nil
}

// lockName keeps others from changing a definition; it gives the unlock.
func (s *Store) lockName(name string) func() {
	mu := &s.defining[place(name)%uint64(len(s.defining))]
	mu.Lock()
	return mu.Unlock
}

func (s *Store) enroll(def *definition) {
	q := newQueueDef(def, len(s.shards))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues[def.Name], s.identities[def.Identity] = q, q
}

// ConfigureQueue replaces a queue's settings; FIFO cannot change. Durable on return.
func (s *Store) ConfigureQueue(ctx context.Context, name string, set Settings) error {
	set, err := s.checkSettings(name, set)
	if err != nil {
		return err
	}
	return s.redefine(ctx, name, func(def *definition) error {
		if def.Settings.FIFO != set.FIFO {
			return fmt.Errorf("%w: queue %q: FIFO is fixed at creation", ErrInvalid, name)
		}
		def.Settings = set
		def.Modified = s.clock.now()
		return nil
	})
}

// Purge deletes all messages of a queue that are there when it is called. Within
// 60 s of the last it is ErrPurgeInProgress, unless Options.PurgeAtOnce.
func (s *Store) Purge(ctx context.Context, queue string) error {
	return s.redefine(ctx, queue, func(def *definition) error {
		now := s.clock.now()
		if !s.purgeAtOnce && def.Purged != 0 && now < def.Purged+durationMillis(purgePause) {
			return fmt.Errorf("queue %q: %w", queue, ErrPurgeInProgress)
		}
		def.Generation++
		def.Purged = now
		return nil
	})
}

// purgePause is how long a queue is not purged again.
const purgePause = 60 * time.Second

// redefine changes a definition and tells the shards.
func (s *Store) redefine(ctx context.Context, name string, change func(*definition) error) error {
	defer s.lockName(name)()
	q, err := s.lookup(name)
	if err != nil {
		return err
	}
	old := q.current.Load()
	def := *old
	if err := change(&def); err != nil {
		return err
	}
	if err := s.define(ctx, name, &def); err != nil {
		return err
	}
	q.current.Store(&def)
	return s.tellShards(q, old.number())
}

// DeleteQueue removes a queue and its messages. Waiting receives end with
// ErrNotFound. Durable on return; disk space comes back later.
func (s *Store) DeleteQueue(ctx context.Context, name string) error {
	defer s.lockName(name)()
	q, err := s.lookup(name)
	if err != nil {
		return err
	}
	if err := s.define(ctx, name, nil); err != nil {
		return err
	}
	def := q.current.Load()
	s.mu.Lock()
	delete(s.queues, name)
	delete(s.identities, def.Identity)
	s.mu.Unlock()
	close(q.gone)
	if err := s.tellShards(q, def.number()); err != nil {
		return err
	}
	return s.dropMovesOf(def.Identity)
}

func (s *Store) tellShards(q *queueDef, old uint64) error {
	for _, sh := range s.shards {
		if err := sh.run(context.Background(), &redefinedWork{q, old}); err != nil {
			return err
		}
	}
	return nil
}

// redefinedWork lets a writer follow a changed definition. It writes nothing:
// what it does follows from the definitions, also after a restart.
type redefinedWork struct {
	queue *queueDef
	old   uint64 // the number its messages had
}

func (r *redefinedWork) do(w *writer) (answer, error) {
	if q, _ := w.store.byNumber(r.old); q == nil {
		w.discard(r.old)
		r.queue.ready[w.sh.number].Store(0)
		if ln := w.lines[r.queue.current.Load().number()]; ln != nil && ln.number != r.old {
			ln.tell(w.sh)
		}
		return whenSettled, nil
	}
	if ln := w.lines[r.old]; ln != nil {
		ln.expireAfter = 0
		w.expiry.remove(ln)
		w.expiry.schedule(w, ln)
	}
	return whenSettled, nil
}

// Queue looks a queue up.
func (s *Store) Queue(name string) (Queue, error) {
	q, err := s.lookup(name)
	if err != nil {
		return Queue{}, err
	}
	return q.current.Load().public(), nil
}

// Queues lists queues whose names start with prefix, in order of name, those
// after the name after, at most limit (0: 1000).
func (s *Store) Queues(prefix, after string, limit int) ([]Queue, error) {
	if limit < 0 {
		return nil, fmt.Errorf("%w: limit must not be negative, not %d", ErrInvalid, limit)
	}
	if limit == 0 {
		limit = 1000
	}
	var from []byte
	if after != "" {
		from = []byte(after)
	}
	var out []Queue
	err := s.walk(s.db, Registry, span{table: tableDefinition, prefix: []byte(prefix), after: from}, func(k, v []byte) (bool, error) {
		var def definition
		if err := json.Unmarshal(v, &def); err != nil {
			return false, fmt.Errorf("queue %q: %w", k, err)
		}
		out = append(out, def.public())
		return len(out) < limit, nil
	})
	return out, err
}

// loadQueues reads the definitions at open.
func (s *Store) loadQueues() error {
	v, err := read(s.db, identityKey(prefixRegistry))
	if err != nil {
		return err
	}
	in := reader{b: v}
	if v != nil {
		s.identity.Store(in.uvarint())
	}
	if in.bad {
		return in.err("identity")
	}
	return s.walk(s.db, Registry, span{table: tableDefinition}, func(k, v []byte) (bool, error) {
		def := new(definition)
		if err := json.Unmarshal(v, def); err != nil {
			return false, fmt.Errorf("queue %q: %w", k, err)
		}
		s.enroll(def)
		return true, nil
	})
}

// Stats are the queue's counts. O(1).
func (s *Store) Stats(queue string) (Stats, error) {
	q, err := s.lookup(queue)
	if err != nil {
		return Stats{}, err
	}
	var st Stats
	number := q.current.Load().number()
	st.Unreadable = q.lost.count(number)
	for _, sh := range s.shards {
		c, oldest, err := s.countsOf(sh, q, number)
		if err != nil {
			return Stats{}, err
		}
		st.Ready += c.ready
		st.InFlight += c.leased
		st.Delayed += c.waiting
		if oldest != 0 && (st.Oldest.IsZero() || timeOf(oldest).Before(st.Oldest)) {
			st.Oldest = timeOf(oldest)
		}
	}
	return st, nil
}

// countsOf reads a queue's counts in a shard, and when its oldest message there
// became visible; 0 if there is none. It looks from where it found the oldest
// the last time: every later message has a later position, and so the deleted
// ones are passed once.
func (s *Store) countsOf(sh *shard, q *queueDef, number uint64) (c counts, oldest int64, err error) {
	v, err := s.readGate(sh, queueKey(nil, sh.prefix, tableCount, number))
	if err != nil || v == nil {
		return c, 0, err
	}
	if c, err = parseCounts(v); err != nil {
		return c, 0, err
	}
	hint := &q.oldest[sh.number]
	lower := messageKey(nil, sh.prefix, tableMessage, number, max(c.floor, hint.Load()))
	upper := messageKey(nil, sh.prefix, tableMessage, number, positionAt(s.clock.now()+1))
	err = s.walkKeys(s.db, sh, bounds{lower: lower, upper: upper}, func(k, _ []byte) (bool, error) {
		hint.Store(positionOf(k))
		oldest = positionTime(positionOf(k))
		return false, nil
	})
	if pebble.IsCorruptionError(err) { // the counts are right all the same; none is older
		return c, positionTime(max(c.floor, hint.Load())), nil
	}
	return c, oldest, err
}
