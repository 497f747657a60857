package queue

import "context"

// WrapLog lets a test stand between the writers and the log.
func WrapLog(o *Options, wrap func(Log) Log) { o.wrapLog = wrap }

// WriteNewerFormat makes the store look like one of a later version.
func (s *Store) WriteNewerFormat() error {
	s.meta.Format = formatVersion + 1
	return s.saveMeta()
}

// Compact puts all that is stored into the lowest level's tables.
func (s *Store) Compact() error {
	return s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)
}

// Written is how many bytes the store wrote since Open: log, flushes and compactions.
func (s *Store) Written() uint64 {
	m := s.db.Metrics()
	total := m.Total()
	return m.WAL.BytesWritten + total.TableBytesFlushed + total.TableBytesCompacted
}

// Gaps is how many stretches of deleted messages scans of a queue pass at once.
func (s *Store) Gaps(queue string, shard int) int {
	c, _, err := s.countsOf(s.shards[shard], s.queue(queue), s.queue(queue).current.Load().number())
	must(err)
	return len(c.gaps)
}

// SmallMemory makes the writers hold next to nothing in memory.
func SmallMemory(o *Options) {
	o.limits = limits{window: 2, fill: 1, groups: 2, seen: 3, held: 20, sweep: 3}
}

// PlaceAsVersion1 makes a queue look like one that version 1 of the format defined.
func (s *Store) PlaceAsVersion1(name string) error {
	return s.redefine(context.Background(), name, func(def *definition) error {
		def.OneShard = false
		return nil
	})
}

// Pacer is the scheduler of compactions.
// Cached is how many bytes of blocks the cache holds.
func (s *Store) Cached() int64 { return s.db.Metrics().BlockCache.Size }

type Pacer = pacer

// Ended notes how a compaction ended.
func (p *pacer) Ended(err error) { p.ended(err) }
