package queue

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2"
)

// Log takes the batches of all shards, each shard's one after the other. The
// state of a shard is a function of its batches in their order and of nothing
// else, so a log may keep them in more than one place.
type Log interface {
	// Append applies the next batch of a shard: reads of the database see it
	// when Append returns. wait blocks until the batch and all before it
	// survive a crash; it is nil unless durable. Append owns the batch. After an
	// error of either nothing more may be appended.
	Append(shard int, b *pebble.Batch, durable bool) (wait func() error, err error)
}

// pebbleLog is the Log of a store on one disk: Pebble's write-ahead log.
type pebbleLog struct{ db *pebble.DB }

var _ Log = (*pebbleLog)(nil)

// Append commits the batch. A panic on the way, which is how our Fatalf and
// Pebble itself report a write-ahead log that cannot be written, is an error.
func (l *pebbleLog) Append(shard int, b *pebble.Batch, durable bool) (wait func() error, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("append to shard %d: %w", shard, panicError(p))
		}
	}()
	if !durable {
		if err := l.db.Apply(b, pebble.NoSync); err != nil {
			return nil, fmt.Errorf("append to shard %d: %w", shard, err)
		}
		return nil, b.Close()
	}
	if err := l.db.ApplyNoSyncWait(b, pebble.Sync); err != nil {
		return nil, fmt.Errorf("append to shard %d: %w", shard, err)
	}
	return func() error {
		if err := b.SyncWait(); err != nil {
			return fmt.Errorf("sync shard %d: %w", shard, err)
		}
		return b.Close()
	}, nil
}

// pebbleLogger hands Pebble's words to slog. Pebble reports what it cannot
// survive by Fatalf, expects the process to end there, and returns nil to its
// caller if it does not.
type pebbleLogger struct {
	log  *slog.Logger
	fail func(error)
}

// Infof drops what Pebble tells of its routine.
func (l *pebbleLogger) Infof(string, ...any) {}

// Errorf logs what went wrong in the background.
func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("store", "pebble", fmt.Sprintf(format, args...))
}

// Fatalf marks the store dead and never returns: it panics where one of our
// frames will recover it, and holds the goroutine for ever where it is Pebble's
// own, since a panic there would end the process before it could drain.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.fail(err)
	if calledFromHere() {
		panic(err)
	}
	select {}
}

// calledFromHere tells whether this goroutine runs under this package.
func calledFromHere() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "fanfare/queue.") && !strings.Contains(f.Function, "pebbleLogger") {
			return true
		}
		if !more {
			return false
		}
	}
}
