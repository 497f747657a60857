package queue

import (
	"sync/atomic"
	"time"
)

// Metrics is what a store measures of itself. Counts begin with Open. All of
// it is at hand: reading it costs nothing that grows with what is stored.
type Metrics struct {
	// Groups are the group commits written, Requests what was asked for in
	// them: their quotient is how well group commit works.
	Groups, Requests uint64
	// Sync is how long groups took from the hand-over to the log until they
	// were durable: what a publisher waits for.
	Sync Durations
	// Stalls is how often Pebble held up writes because flushes or compactions
	// could not follow.
	Stalls uint64
	// Unreadable is how many messages were met of which the disk lost the body.
	Unreadable uint64
	// BrokenFiles are files met of which a part cannot be read. A broken table of
	// level 0 (L0Files) is compacted no more: what comes after it piles up, which
	// makes the store slower until it is restored from a backup, and after 1,000
	// flushes at the earliest stalls writes.
	BrokenFiles int64

	LogBytes       uint64 // written to the write-ahead log
	Size           uint64 // bytes of the store's files
	L0Files        int64  // tables not yet sorted into the levels below
	L0Sublevels    int64  // of them, how many a read may have to look at
	CompactionDebt uint64 // bytes still to be compacted, estimated

	DiskFree, DiskTotal uint64 // bytes, as of at most a second ago; 0 unknown
}

// Durations is a histogram.
type Durations struct {
	Count  uint64
	Sum    time.Duration
	Within map[time.Duration]uint64 // how many took at most so long
}

// syncBounds are the bounds of Metrics.Sync: an NVMe disk syncs in well under
// a millisecond, a disk that turns in ten, an overloaded one in seconds.
var syncBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second,
}

// meter counts what one shard's writer does. Others may read it.
type meter struct {
	groups, requests atomic.Uint64
	syncs            atomic.Uint64
	sum              atomic.Int64
	within           [len(syncBounds)]atomic.Uint64 // each for itself, not cumulative
}

func (m *meter) group(requests int) {
	m.groups.Add(1)
	m.requests.Add(uint64(requests))
}

func (m *meter) synced(took time.Duration) {
	m.syncs.Add(1)
	m.sum.Add(int64(took))
	for i, bound := range syncBounds {
		if took <= bound {
			m.within[i].Add(1)
			return
		}
	}
}

// addTo adds the shard's numbers to the store's.
func (m *meter) addTo(all *Metrics) {
	all.Groups += m.groups.Load()
	all.Requests += m.requests.Load()
	all.Sync.Sum += time.Duration(m.sum.Load())
	n := uint64(0)
	for i, bound := range syncBounds {
		n += m.within[i].Load()
		all.Sync.Within[bound] += n
	}
	// Read last, as it is raised first: no bucket may hold more than there are.
	all.Sync.Count += m.syncs.Load()
}

// Metrics reads the store's measurements.
func (s *Store) Metrics() (Metrics, error) {
	if err := s.enter(); err != nil {
		return Metrics{}, err
	}
	defer s.leave()
	p := s.db.Metrics()
	m := Metrics{
		Sync: Durations{Within: make(map[time.Duration]uint64, len(syncBounds))}, Stalls: s.stalls.Load(), Unreadable: s.unreadable.Load(), BrokenFiles: s.broken.Load(),
		LogBytes: p.WAL.BytesWritten, Size: p.DiskSpaceUsage(), L0Files: p.Levels[0].TablesCount,
		L0Sublevels: int64(p.Levels[0].Sublevels), CompactionDebt: p.Compact.EstimatedDebt,
	}
	for _, sh := range s.all() {
		sh.writer.meter.addTo(&m)
	}
	m.DiskFree, m.DiskTotal = s.disk.room()
	return m, nil
}
