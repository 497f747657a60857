package queue

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// memory keeps Pebble's block cache at its size (Options.Cache). Pebble takes
// the memtables out of the cache: there are two of them, one written to and one
// flushed or kept for the next, and at the default sizes they would leave blocks
// nothing. So the cache is larger by two memtables, and what those do not take
// yet, for they begin small, is set aside, or blocks would fill it.
type memory struct {
	cache     *pebble.Cache
	memtables int64 // bytes of two of full size
	opened    atomic.Bool

	mu    sync.Mutex
	aside func() // gives back what is set aside
}

func newMemory(o *Options) *memory {
	m := &memory{memtables: 2 * int64(o.MemTable), aside: func() {}}
	m.cache = pebble.NewCache(o.Cache + m.memtables)
	m.fit(0)
	return m
}

// fit sets aside what memtables of so many bytes leave.
func (m *memory) fit(memtables int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.aside()
	m.aside = m.cache.Reserve(int(max(m.memtables-memtables, 0)))
}

// fitMemory does so for the memtables there are: when the store is open, and
// after each flush. Between the beginning of a larger memtable and the flush of
// the one before, blocks have less.
func (s *Store) fitMemory() {
	if !s.memory.opened.Load() || s.enter() != nil {
		return
	}
	defer s.leave()
	memtables := s.db.Metrics().MemTable
	s.memory.fit(int64(memtables.Size + memtables.ZombieSize))
}
