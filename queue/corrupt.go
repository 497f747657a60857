package queue

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// past brings an iterator that met a block it cannot read to the first key
// behind it that can be read. The keys are told by position, those from pos up to
// end are looked at. What lies between is lost to the scan, and told. Other
// errors end the store.
func (w *writer) past(it *pebble.Iterator, key func(pos uint64) []byte, pos, end uint64) bool {
	err := it.Error()
	if err == nil {
		return false
	}
	if !pebble.IsCorruptionError(err) {
		panic(err)
	}
	readable := func(at uint64) bool {
		it.SeekGE(key(at))
		return it.Error() == nil
	}
	bad, good := pos, end
	for step := uint64(1); step > 0 && step < end-bad; step *= 2 {
		if readable(bad + step) {
			good = bad + step
			break
		}
		bad += step
	}
	for good-bad > 1 {
		if at := bad + (good-bad)/2; readable(at) {
			good = at
		} else {
			bad = at
		}
	}
	w.store.log.Error("keys cannot be read", "shard", w.sh.number,
		"first", fmt.Sprintf("%x", key(pos)), "before", fmt.Sprintf("%x", key(good)), "err", err)
	return good < end && it.SeekGE(key(good))
}
