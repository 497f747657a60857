package queue

import (
	"sync"
	"time"
)

// clock is the store's time: the wall's at open, or the latest the store knew
// if that is later, and from then on the monotonic clock's.
type clock struct {
	base  int64
	start time.Time
}

func newClock(latest int64) clock {
	start := time.Now()
	return clock{base: max(start.UnixMilli(), latest), start: start}
}

// now is the time in milliseconds.
func (c *clock) now() int64 { return c.base + time.Since(c.start).Milliseconds() }

// idSource makes the IDs of a shard. IDs of one millisecond are told apart by a
// counter, those of different opens, should the wall clock be set back, by the
// epoch.
type idSource struct {
	mu    sync.Mutex
	shard int
	epoch uint64
	last  int64
	seq   uint64
}

const idCounterBits = 24

func (s *idSource) next(now int64) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now > s.last {
		s.last, s.seq = now, 0
	} else if s.seq++; s.seq == 1<<idCounterBits {
		s.last, s.seq = s.last+1, 0
	}
	return MakeID(time.UnixMilli(s.last), s.shard, s.epoch<<idCounterBits|s.seq, 0)
}
