package queue

import (
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskPause is how long a look at the disk holds, in milliseconds.
const diskPause = 1000

// watermark tells when the disk has too little room for new work.
type watermark struct {
	usage   func() (free, total uint64, err error) // nil: unknown
	minFree uint64
	maxUsed float64
	folder  string
	clock   *clock
	log     *slog.Logger

	mu      sync.Mutex
	looked  bool
	at      int64
	isFull  bool
	free    uint64
	total   uint64
	failing bool
}

func newWatermark(s *Store, o *Options) *watermark {
	w := &watermark{usage: o.DiskFree, minFree: o.MinFree, maxUsed: o.MaxUsed, folder: s.dir, clock: &s.clock, log: s.log}
	if w.usage == nil && o.FS == vfs.Default {
		w.usage = func() (free, total uint64, err error) {
			u, err := o.FS.GetDiskUsage(s.dir)
			return u.AvailBytes, u.TotalBytes, err
		}
	}
	return w
}

// full tells whether the disk is above the watermark, as of at most a second
// ago. A disk that cannot be asked is not full.
func (w *watermark) full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	return w.isFull
}

// room is the disk's free and total bytes, as of at most a second ago; 0 if
// they are not known.
func (w *watermark) room() (free, total uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	return w.free, w.total
}

// look asks the disk, unless it was asked just now. The watermark is locked.
func (w *watermark) look() {
	now := w.clock.now()
	if w.usage == nil || w.looked && now < w.at+diskPause {
		return
	}
	w.looked, w.at = true, now
	free, total, err := w.usage()
	if err != nil {
		if !w.failing {
			w.log.Warn("free disk space unknown", "err", err)
		}
		w.failing = true
		return
	}
	w.failing, w.free, w.total = false, free, total
	full := free < w.minFree || float64(total-min(free, total)) > w.maxUsed*float64(total)
	if full != w.isFull {
		w.log.Warn("disk watermark", "full", full, "folder", w.folder, "free_bytes", free, "total_bytes", total, "min_free", w.minFree, "max_used", w.maxUsed)
	}
	w.isFull = full
}

// why says how full the disk is.
func (w *watermark) why() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%d of %d bytes are free", w.free, w.total)
}
