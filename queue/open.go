package queue

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// formatVersion is what this code writes; it reads all up to it. In version 1
// the groups of every FIFO queue are spread over the shards.
const formatVersion = 2

const (
	maxTick         = 100 * time.Millisecond
	defaultMemTable = 64 << 20
	defaultCache    = 64 << 20
	maxMemTable     = 2 << 30
	maxCache        = 1 << 40
	defaultMinFree  = 1 << 30
	defaultMaxUsed  = 0.9
)

// stopWrites is how many sublevels of level 0 stop writes, as CockroachDB has it.
// With Pebble's 12 a table that cannot be read, and so cannot be compacted, would
// stop them within minutes. A store whose disk is whole is held back by its
// memtables before: at 3 million messages without a pause it had 7 sublevels.
const stopWrites = 1000

// meta is what the store knows of itself.
type meta struct {
	Format      int    `json:"format"`
	Shards      int    `json:"shards"`
	Epoch       uint64 `json:"epoch"`
	Incarnation uint64 `json:"incarnation"`
	Secret      []byte `json:"secret"` // of receipt handles
}

// Open opens the store in dir, creating it if there is none.
func Open(dir string, o Options) (*Store, error) {
	if err := completeOptions(&o); err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, fs: o.FS, log: o.Logger, tick: max(o.Tick.Milliseconds()/4, 1), limits: o.limits, purgeAtOnce: o.PurgeAtOnce,
		failed: make(chan struct{}), closing: make(chan struct{}),
		queues: make(map[string]*queueDef), identities: make(map[uint64]*queueDef),
	}
	s.readers.init()
	s.sweeps.bell = make(chan struct{}, 1)
	if err := s.openFiles(&o); err != nil {
		return nil, err
	}
	moves, err := s.load(&o)
	if err != nil {
		_ = s.db.Close()
		_ = s.lock.Close()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	s.start()
	s.resumeMoves(moves)
	return s, nil
}

func completeOptions(o *Options) error {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tick == 0 {
		o.Tick = maxTick
	}
	if o.MemTable == 0 {
		o.MemTable = defaultMemTable
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if o.MaxUsed == 0 {
		o.MaxUsed = defaultMaxUsed
	}
	if o.limits == (limits{}) {
		o.limits = defaultLimits()
	}
	switch {
	case o.Shards < 0 || o.Shards > MaxShards:
		return fmt.Errorf("%w: shards must be 1 to %d, not %d", ErrInvalid, MaxShards, o.Shards)
	case o.Tick < 0 || o.Tick > maxTick:
		return fmt.Errorf("%w: tick must be at most %v, not %v", ErrInvalid, maxTick, o.Tick)
	case o.MemTable < 64<<10 || o.MemTable > maxMemTable:
		return fmt.Errorf("%w: memtable must be 64 KiB to 2 GiB, not %d", ErrInvalid, o.MemTable)
	case o.Cache < 0 || o.Cache > maxCache:
		return fmt.Errorf("%w: cache must be 0 to 1 TiB, not %d", ErrInvalid, o.Cache)
	case o.MaxUsed < 0 || o.MaxUsed > 1:
		return fmt.Errorf("%w: max used must be 0 to 1, not %v", ErrInvalid, o.MaxUsed)
	}
	return nil
}

func defaultShards() int {
	if n := runtime.GOMAXPROCS(0); n > 4 {
		return min(n/2, 8)
	}
	return 1
}

// openFiles locks the folder and opens Pebble in it.
func (s *Store) openFiles(o *Options) (err error) {
	if err := s.fs.MkdirAll(s.dir, 0o755); err != nil {
		return openError(s.dir, err)
	}
	s.lock, err = pebble.LockDirectory(s.dir, s.fs)
	if errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("open store %s: %w; stop it first, or choose another folder", s.dir, ErrLocked)
	}
	if err != nil {
		return openError(s.dir, err)
	}
	s.memory = newMemory(o)
	defer s.memory.cache.Unref()
	s.db, err = openPebble(s.dir, s.pebbleOptions(o))
	if err != nil {
		_ = s.lock.Close()
		return openError(s.dir, err)
	}
	s.memory.opened.Store(true)
	s.fitMemory()
	s.appender = &pebbleLog{db: s.db}
	if o.wrapLog != nil {
		s.appender = o.wrapLog(s.appender)
	}
	s.disk = newWatermark(s, o)
	return nil
}

func openError(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		return fmt.Errorf("open store %s: the folder is not writable: %w", dir, err)
	case strings.Contains(err.Error(), "lock held by current process"):
		return fmt.Errorf("open store %s: %w", dir, ErrLocked)
	case strings.Contains(err.Error(), "format major version"):
		return fmt.Errorf("open store %s: %w: %w", dir, ErrNewerFormat, err)
	}
	return fmt.Errorf("open store %s: %w", dir, err)
}

// openPebble turns Pebble's panics into errors.
func openPebble(dir string, o *pebble.Options) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: %w", panicError(p))
		}
	}()
	return pebble.Open(dir, o)
}

func (s *Store) pebbleOptions(o *Options) *pebble.Options {
	po := &pebble.Options{
		FS:                 s.fs,
		Lock:               s.lock,
		Cache:              s.memory.cache,
		MemTableSize:       uint64(o.MemTable),
		FormatMajorVersion: pebble.FormatValueSeparation,
		Logger:             &pebbleLogger{log: s.log, fail: s.fail},

		L0StopWritesThreshold: stopWrites,
	}
	compactions := new(pacer)
	po.EventListener = &pebble.EventListener{
		CompactionEnd: func(i pebble.CompactionInfo) {
			if !errors.Is(i.Err, pebble.ErrCancelledCompaction) {
				compactions.ended(i.Err)
			}
		},
		FlushEnd: func(pebble.FlushInfo) { go s.fitMemory() }, // Pebble is locked here
		BackgroundError: func(err error) {
			if !pebble.IsCorruptionError(err) { // which DataCorruption tells, once
				s.log.Error("store cannot write in the background", "err", err)
			}
		},
		// Without this Pebble would end the process, by Fatalf.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			if _, told := s.corrupt.LoadOrStore(i.Path, nil); told {
				return
			}
			s.broken.Add(1)
			s.log.Error("store cannot read a part of a file; restore a backup, or live without those keys",
				"file", i.Path, "first", fmt.Sprintf("%x", i.Bounds.Start), "last", fmt.Sprintf("%x", i.Bounds.End.Key),
				"err", i.Details.Error()) // as a value it would bring its stack
		},
		WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
			s.stalls.Add(1)
			s.log.Warn("store stalls writes", "reason", i.Reason)
		},
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	po.Experimental.CompactionScheduler = compactions
	po.EnsureDefaults()
	return po
}

// load reads what the store knows and raises its epoch. It gives the moves there are.
func (s *Store) load(o *Options) ([]*moveRecord, error) {
	if err := s.loadMeta(o); err != nil {
		return nil, err
	}
	for i := range s.meta.Shards {
		s.shards = append(s.shards, newShard(s, i))
	}
	s.registry = newShard(s, Registry)
	latest, err := s.lastTime()
	if err != nil {
		return nil, err
	}
	for _, sh := range s.all() {
		h, err := s.loadHead(sh)
		if err != nil {
			return nil, err
		}
		latest = max(latest, h.time)
	}
	s.clock = newClock(latest)
	if err := s.loadQueues(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	for _, sh := range s.all() {
		if err := s.loadShard(sh); err != nil {
			return nil, fmt.Errorf("%s: %w", shardName(sh.number), err)
		}
	}
	return s.scanMoves(nil)
}

func metaKey() []byte { return appendTable(nil, prefixStore, tableMeta) }

// timeKey holds the time of the latest Close.
func timeKey() []byte { return appendTable(nil, prefixStore, tableTimer) }

func (s *Store) loadMeta(o *Options) error {
	v, err := read(s.db, metaKey())
	if err != nil {
		return err
	}
	if v == nil {
		s.meta = meta{Format: formatVersion, Shards: o.Shards, Secret: make([]byte, 32)}
		if s.meta.Shards == 0 {
			s.meta.Shards = defaultShards()
		}
		_, _ = rand.Read(s.meta.Secret) // never fails
	} else if err := json.Unmarshal(v, &s.meta); err != nil {
		return fmt.Errorf("%w: store's own record: %w", errCorrupt, err)
	}
	if s.meta.Format > formatVersion {
		return fmt.Errorf("%w: it is of version %d, this program knows up to %d", ErrNewerFormat, s.meta.Format, formatVersion)
	}
	s.meta.Format = formatVersion
	if o.Shards != 0 && o.Shards != s.meta.Shards {
		return fmt.Errorf("%w: the store has %d shards and keeps them, not %d", ErrInvalid, s.meta.Shards, o.Shards)
	}
	restored, err := wasRestored(s.dir, s.fs)
	if err != nil {
		return err
	}
	if restored {
		s.meta.Incarnation++
	}
	s.meta.Epoch++
	if err := s.saveMeta(); err != nil {
		return err
	}
	if restored {
		return unmarkRestored(s.dir, s.fs)
	}
	return nil
}

func (s *Store) saveMeta() error {
	v, err := json.Marshal(&s.meta)
	if err != nil {
		return err
	}
	return s.put(metaKey(), v)
}

// put writes a key of the store itself, durably. It runs on its caller's
// goroutine, so the panic of a failed sync ends here, as an error.
func (s *Store) put(key, value []byte) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: %w", panicError(p))
		}
	}()
	b := s.db.NewBatch()
	if err := b.Set(key, value, nil); err != nil {
		return err
	}
	wait, err := s.appender.Append(Registry, b, true)
	if err != nil {
		return err
	}
	return wait()
}

func (s *Store) lastTime() (int64, error) {
	v, err := read(s.db, timeKey())
	if err != nil || v == nil {
		return 0, err
	}
	r := reader{b: v}
	return int64(r.uvarint()), r.err("time")
}

func (s *Store) loadHead(sh *shard) (head, error) {
	v, err := read(s.db, appendTable(nil, sh.prefix, tableHead))
	if err != nil || v == nil {
		return head{}, err
	}
	return parseHead(v)
}

// loadShard sets a shard's writer up.
func (s *Store) loadShard(sh *shard) error {
	w := newWriter(sh)
	var err error
	if w.head, err = s.loadHead(sh); err != nil {
		return err
	}
	sh.revision.Store(w.head.revision)
	w.now = s.clock.now()
	if err := w.loadLines(); err != nil {
		return err
	}
	w.timers.floor = w.head.due
	if err := w.loadOutbox(); err != nil {
		return err
	}
	w.findRecent(0)
	sh.nextDue.Store(w.wakeTime())
	return nil
}

// loadLines reads the counts of all queues with messages in the shard.
func (w *writer) loadLines() error {
	first := appendTable(nil, w.sh.prefix, tableCount)
	it := w.iter(first, prefixEnd(first))
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		c, err := parseCounts(it.Value())
		if err != nil {
			return err
		}
		ln := w.newLine(numberOf(it.Key()), c)
		if ln.queue == nil {
			w.discard(ln.number)
			continue
		}
		w.expiry.schedule(w, ln)
		ln.tell(w.sh)
	}
	return it.Error()
}
