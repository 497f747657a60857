package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Store is an open store. Its methods are safe for concurrent use.
type Store struct {
	dir      string
	fs       vfs.FS
	log      *slog.Logger
	lock     *pebble.Lock
	db       *pebble.DB
	appender Log
	meta     meta
	clock    clock
	tick     int64 // ms between looks at what comes due
	disk     *watermark
	memory   *memory
	limits   limits
	shards   []*shard
	registry *shard
	turn     atomic.Uint64
	stalls   atomic.Uint64

	unreadable atomic.Uint64 // messages met so far
	broken     atomic.Int64  // files with a part that cannot be read
	readers    readers
	corrupt    sync.Map // paths of files with a part that cannot be read
	moves      moves
	sweeps     sweeps
	beside     sync.WaitGroup // the forwarders and the sweep

	purgeAtOnce bool

	mu         sync.RWMutex
	queues     map[string]*queueDef
	identities map[uint64]*queueDef

	defining [64]sync.Mutex // by name, held while a definition changes
	identity atomic.Uint64  // the latest given to a queue

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
	failed    chan struct{}
	failOnce  sync.Once
	cause     error // set before failed closes
}

func (s *Store) start() {
	for _, sh := range s.all() {
		go sh.writer.run()
		go sh.writer.acknowledge()
		s.beside.Go(func() { s.forwardAll(sh) })
	}
	s.beside.Go(s.sweepAll)
}

func (s *Store) all() []*shard { return append([]*shard{s.registry}, s.shards...) }

// fail marks the store dead: everyone who waits is answered, nobody succeeds
// from here on.
func (s *Store) fail(err error) {
	s.failOnce.Do(func() {
		s.cause = err
		s.log.Error("store failed", "err", err)
		close(s.failed)
		for _, sh := range s.all() {
			if sh != nil {
				sh.gate.fail()
			}
		}
	})
}

func (s *Store) failure() error { return fmt.Errorf("%w: %w", ErrStoreFailed, s.cause) }

// gone tells why no more work is taken.
func (s *Store) gone() error {
	select {
	case <-s.failed:
		return s.failure()
	default:
		return ErrClosed
	}
}

// Close ends all waiting receives, makes everything durable and closes the store.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	close(s.closing)
	for _, sh := range s.all() {
		sh.inbox.close()
	}
	s.moves.close()
	s.beside.Wait() // they end when the inboxes are closed
	for _, sh := range s.all() {
		select {
		case <-sh.writer.done:
		case <-s.failed:
			return s.abandon()
		}
	}
	s.readers.close()
	if err := s.put(timeKey(), binary.AppendUvarint(nil, uint64(s.clock.now()))); err != nil {
		s.fail(err)
	}
	select {
	case <-s.failed:
		return s.abandon()
	default:
	}
	if err := s.closeFiles(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

func (s *Store) closeFiles() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: %w", panicError(p))
		}
	}()
	return errors.Join(s.db.Close(), s.lock.Close())
}

// abandonTime is how long Close tries to close the files of a dead store.
const abandonTime = 2 * time.Second

// abandon closes the files of a dead store as far as they let it: after a failed
// write Pebble may hold its locks for ever. The process has to end anyway.
func (s *Store) abandon() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.readers.close()
		if err := s.closeFiles(); err != nil {
			s.log.Warn("store's files closed badly", "err", err)
		}
	}()
	timer := time.NewTimer(abandonTime)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	return s.failure()
}

// Failed is closed when the store is dead (ErrStoreFailed).
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Shards is the number of data shards.
func (s *Store) Shards() int { return len(s.shards) }

// Epoch counts the opens of this store; the first is 1.
func (s *Store) Epoch() uint64 { return s.meta.Epoch }

// Incarnation counts the restores of this store from a backup; 0 never.
func (s *Store) Incarnation() uint64 { return s.meta.Incarnation }

// Now is the store's time: wall time at open plus monotonic elapsed, to the
// millisecond, and not before the time of anything in the store.
func (s *Store) Now() time.Time { return timeOf(s.clock.now()) }

// NewID makes an ID in a shard, ordinal 0. IDs of a shard grow. It panics if
// there is no such data shard.
func (s *Store) NewID(shard int) ID { return s.shards[shard].ids.next(s.clock.now()) }

// NextShard gives the data shards in turn, for work that may live anywhere.
func (s *Store) NextShard() int { return int(s.turn.Add(1) % uint64(len(s.shards))) }

// ShardOf places a key: always the same shard for the same text in one store.
func (s *Store) ShardOf(text string) int { return int(place(text) % uint64(len(s.shards))) }

// place is FNV-1a, folded since its low bits alone are weak.
func place(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h ^ h>>32
}

// DiskFull tells whether intake is refused (see Options.MinFree).
func (s *Store) DiskFull() bool { return s.disk.full() }

// readers counts those who read the database beside the writers, so that Close
// does not take it from under them.
type readers struct {
	mu     sync.Mutex
	none   sync.Cond
	n      int
	closed bool
}

func (r *readers) init() { r.none.L = &r.mu }

func (r *readers) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for r.n > 0 {
		r.none.Wait()
	}
}

// enter begins a read of the database.
func (s *Store) enter() error {
	select {
	case <-s.failed:
		return s.failure()
	default:
	}
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	if s.readers.closed {
		return ErrClosed
	}
	s.readers.n++
	return nil
}

func (s *Store) leave() {
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	if s.readers.n--; s.readers.n == 0 && s.readers.closed {
		s.readers.none.Broadcast()
	}
}
