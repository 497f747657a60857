package queue

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Deleted messages leave tombstones that a scan steps over one by one until
// Pebble has compacted them away. The sweep does that once, beside the writer,
// and has the batch note where messages are none: a later scan, also after a
// restart, begins behind them.

const (
	// gapsMax is how many messages that stay behind a queue's sweep remembers.
	gapsMax = 8
	// sweepLook is the most messages one sweep passes.
	sweepLook = 1000
)

// gap is a stretch of positions, from one up to another, without a message.
type gap struct{ from, to uint64 }

// over is the first position from pos on that is in no gap.
func (c *counts) over(pos uint64) uint64 {
	for _, g := range c.gaps {
		if g.from <= pos && pos < g.to {
			pos = g.to
		}
	}
	return pos
}

// step brings an iterator that stands before pos to the first key from there on.
func (w *writer) step(it *pebble.Iterator, ln *line, key func(pos uint64) []byte, pos, end uint64) bool {
	if to := ln.counts.over(pos); to != pos {
		return it.SeekGE(key(to)) || w.past(it, key, to, end)
	}
	return it.Next() || w.past(it, key, pos, end)
}

// sweeps are the queues of which so much was deleted that a sweep pays.
type sweeps struct {
	mu   sync.Mutex
	due  []sweepRef
	bell chan struct{} // holds one ring
}

type sweepRef struct {
	shard  *shard
	number uint64
}

func (sw *sweeps) add(refs []sweepRef) {
	if len(refs) == 0 {
		return
	}
	sw.mu.Lock()
	sw.due = append(sw.due, refs...)
	sw.mu.Unlock()
	select {
	case sw.bell <- struct{}{}:
	default:
	}
}

func (sw *sweeps) take() []sweepRef {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	due := sw.due
	sw.due = nil
	return due
}

// sweepAll sweeps, a round a second at most, until the store is closed. A round
// makes one range tombstone at most: while they are young they are expensive.
func (s *Store) sweepAll() {
	for {
		select {
		case <-s.sweeps.bell:
		case <-s.closing:
			return
		case <-s.failed:
			return
		}
		erased := false
		for _, ref := range s.sweeps.take() {
			w := &sweptWork{number: ref.number}
			err := s.look(ref.shard, w)
			if err == nil {
				if erased {
					w.erase = gap{}
				}
				erased = erased || w.erase != gap{}
				err = ref.shard.run(context.Background(), w)
			}
			if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrStoreFailed) {
				s.log.Warn("sweep failed", "shard", ref.shard.number, "err", err.Error())
			}
		}
		timer := time.NewTimer(rangeDeletePause * time.Millisecond)
		select {
		case <-timer.C:
		case <-s.closing:
		case <-s.failed:
		}
		timer.Stop()
	}
}

// look finds where a queue has no messages. All that is added later lies behind
// the time of the shard's latest batch.
func (s *Store) look(sh *shard, w *sweptWork) error {
	h, err := s.loadHead(sh)
	if err != nil {
		return err
	}
	v, err := read(s.db, queueKey(nil, sh.prefix, tableCount, w.number))
	if err != nil || v == nil {
		return err
	}
	c, err := parseCounts(v)
	if err != nil {
		return err
	}
	w.floor, w.gaps = c.floor, slices.Clone(c.gaps)
	key := func(pos uint64) []byte { return messageKey(nil, sh.prefix, tableMessage, w.number, pos) }
	end := positionAt(h.time)
	if c.floor >= end {
		return nil
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: key(c.floor), UpperBound: key(end)})
	if err != nil {
		return err
	}
	defer it.Close()
	for pos, n := c.floor, 0; pos < end && n < sweepLook; n++ {
		before, found := steps(it), end
		if it.SeekGE(key(pos)) {
			found = positionOf(it.Key())
		} else if it.Error() != nil {
			break
		}
		w.found(gap{pos, found}, steps(it)-before, s.limits.sweep)
		pos = c.over(found + 1)
	}
	w.gaps = merge(w.gaps, w.floor)
	if err := it.Error(); !pebble.IsCorruptionError(err) { // else what was found is right
		return err
	}
	return nil
}

// steps is how many keys an iterator went over, deleted ones included.
func steps(it *pebble.Iterator) int {
	st := it.Stats()
	return st.ForwardStepCount[pebble.InternalIterCall] + st.ForwardSeekCount[pebble.InternalIterCall]
}

// sweptWork tells a writer what a sweep found.
type sweptWork struct {
	number uint64
	floor  uint64
	gaps   []gap
	erase  gap // the stretch with the most tombstones, if they are worth a range's cost
	most   int // how many they are
}

// found adds a stretch without messages that took so many steps to pass.
// Enough is how many make a range tombstone worth its cost.
func (sw *sweptWork) found(g gap, steps, enough int) {
	if steps >= enough && steps > sw.most {
		sw.erase, sw.most = g, steps
	}
	if g.from == sw.floor {
		sw.floor = g.to
		return
	}
	if g.from < g.to && steps >= enough/gapsMax {
		sw.gaps = append(sw.gaps, g)
	}
}

// merge puts the gaps behind a floor in order, those that touch into one.
func merge(gaps []gap, floor uint64) []gap {
	slices.SortFunc(gaps, func(a, b gap) int { return cmp.Compare(a.from, b.from) })
	var out []gap
	for _, g := range gaps {
		switch last := len(out) - 1; {
		case g.to <= floor:
		case last >= 0 && g.from <= out[last].to:
			out[last].to = max(out[last].to, g.to)
		default:
			out = append(out, g)
		}
	}
	return out[:min(len(out), gapsMax)]
}

func (sw *sweptWork) do(w *writer) (answer, error) {
	if q, _ := w.store.byNumber(sw.number); q == nil {
		return whenSettled, nil // purged or deleted
	}
	if ln := w.lines[sw.number]; ln != nil {
		ln.deleted = 0
		ln.counts.floor, ln.counts.gaps = max(ln.counts.floor, sw.floor), sw.gaps
		w.touch(ln)
	}
	if sw.erase != (gap{}) {
		for _, table := range [...]byte{tableMessage, tableLease} {
			must(w.batch.DeleteRange(messageKey(nil, w.sh.prefix, table, sw.number, sw.erase.from),
				messageKey(nil, w.sh.prefix, table, sw.number, sw.erase.to), nil))
		}
	}
	return whenSettled, nil
}
