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

// SmallMemory makes the writers hold next to nothing in memory.
func SmallMemory(o *Options) { o.limits = limits{window: 2, fill: 1, groups: 2, seen: 3, held: 20} }
