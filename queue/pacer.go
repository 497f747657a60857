package queue

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// After a compaction failed, the next begins after firstPause, twice that if it
// fails too, and so on up to longestPause.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// pacer lets Pebble compact as much at a time as it asks for, with a pause after
// a compaction that failed. Pebble's own scheduler has none: it would begin the
// compaction of a broken table again at once, for ever.
type pacer struct {
	db    pebble.DBForCompaction
	calls sync.WaitGroup // of db under way

	mu      sync.Mutex // taken after Pebble's own locks, never before
	running int
	pause   time.Duration // the latest; 0 after a success
	timer   *time.Timer   // while one lasts
	closed  bool
}

var (
	_ pebble.CompactionScheduler   = (*pacer)(nil)
	_ pebble.CompactionGrantHandle = (*pacer)(nil)
)

// Register implements pebble.CompactionScheduler.
func (p *pacer) Register(_ int, db pebble.DBForCompaction) { p.db = db }

// Unregister implements pebble.CompactionScheduler.
func (p *pacer) Unregister() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.calls.Wait()
}

// TrySchedule implements pebble.CompactionScheduler.
func (p *pacer) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.free() {
		return false, nil
	}
	p.running++
	return true, p
}

func (p *pacer) free() bool {
	return !p.closed && p.timer == nil && p.running < p.db.GetAllowedWithoutPermission()
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler. Who
// waits is let in when a compaction ends.
func (p *pacer) UpdateGetAllowedWithoutPermission() {}

// Started implements pebble.CompactionGrantHandle.
func (p *pacer) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (p *pacer) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (p *pacer) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done implements pebble.CompactionGrantHandle.
func (p *pacer) Done() {
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
	p.grant()
}

// grant lets in who waits. Pebble's locks are not held.
func (p *pacer) grant() {
	for p.take() {
		waits, _ := p.db.GetWaitingCompaction()
		accepted := waits && p.db.Schedule(p)
		p.calls.Done()
		if !accepted {
			p.mu.Lock()
			p.running--
			p.mu.Unlock()
			return
		}
	}
}

func (p *pacer) take() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.free() {
		return false
	}
	p.running++
	p.calls.Add(1)
	return true
}

// ended notes how a compaction ended, before the next is asked for.
func (p *pacer) ended(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		p.pause = 0
	case p.timer == nil && !p.closed:
		p.pause = min(max(2*p.pause, firstPause), longestPause)
		p.timer = time.AfterFunc(p.pause, p.resume)
	}
}

func (p *pacer) resume() {
	p.mu.Lock()
	p.timer = nil
	p.mu.Unlock()
	p.grant()
}
