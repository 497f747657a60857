package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// lostMax is how many unreadable messages of a queue are told apart.
const lostMax = 1 << 16

// lost are the messages of a queue that were met since Open and cannot be read.
type lost struct {
	mu     sync.Mutex
	number uint64 // of the queue; a purge changes it, and ends them
	all    map[lostMessage]struct{}
}

type lostMessage struct {
	shard int
	pos   uint64
}

// count is how many there are.
func (l *lost) count(number uint64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number != number {
		return 0
	}
	return int64(len(l.all))
}

// lose counts a message that could not be read, once, if a broken block is why.
func (s *Store) lose(q *queueDef, number uint64, m lostMessage, why error) {
	if q == nil || !pebble.IsCorruptionError(why) && !errors.Is(why, ErrUnreadable) {
		return
	}
	l := &q.lost
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number != number || l.all == nil {
		l.number, l.all = number, make(map[lostMessage]struct{})
	}
	if _, known := l.all[m]; !known && len(l.all) < lostMax {
		l.all[m] = struct{}{}
		s.unreadable.Add(1)
	}
}

// typed makes an error of a broken block one that callers can tell.
func typed(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return err
}

// broken tells whether a read met a broken block. Other errors end the store.
func broken(err error) bool {
	if err != nil && !pebble.IsCorruptionError(err) && !errors.Is(err, ErrUnreadable) {
		panic(err)
	}
	return err != nil
}

// stretch is keys that cannot be read, from one up to another.
type stretch struct{ from, to []byte }

// stretchesMax is how many of them a writer remembers. Finding one takes dozens
// of reads that fail, and Pebble looks each time whether one bit has flipped,
// which takes milliseconds.
const stretchesMax = 64

// past brings an iterator that met a block it cannot read to the first key
// behind it that can be read. The keys end with a position, those from pos up to
// end are looked at. What lies between is lost to the scan, and told. False is
// the end, with or without an error that was told. Other errors end the store.
func (w *writer) past(it *pebble.Iterator, key func(pos uint64) []byte, pos, end uint64) bool {
	err := it.Error()
	if !broken(err) {
		return false
	}
	from := key(pos)
	head := len(from) - 8
	w.unread = gap{pos, end}
	ok := w.skip(it, err, from, digits{head, 1})
	if ok {
		w.unread.to = binary.BigEndian.Uint64(it.Key()[head:])
	}
	return ok
}

// digits are the part of a key that tells where it can be read: after so many bytes
// that all have in common, so many words of eight bytes.
type digits struct{ head, words int }

// skip does so after an error, for keys from one on.
func (w *writer) skip(it *pebble.Iterator, err error, from []byte, p digits) bool {
	end := prefixEnd(from[:p.head])
	for ; broken(err); err = it.Error() {
		to := w.knownUnread(from)
		if to == nil {
			to = readableFrom(it, from, p)
			w.noteUnread(stretch{from, to}, err)
		}
		if bytes.Compare(to, end) >= 0 {
			return false
		}
		if it.SeekGE(to) {
			return true
		}
		from = to
	}
	return false
}

func (w *writer) knownUnread(key []byte) []byte {
	for _, s := range w.stretches {
		if bytes.Compare(s.from, key) <= 0 && bytes.Compare(key, s.to) < 0 {
			return s.to
		}
	}
	return nil
}

// noteUnread remembers a stretch, and reports it once.
func (w *writer) noteUnread(s stretch, err error) {
	w.stretches = append(w.stretches[max(len(w.stretches)+1-stretchesMax, 0):], s)
	before := fmt.Sprintf("%x", s.to)
	if _, told := w.store.corrupt.LoadOrStore(before, nil); !told {
		w.store.log.Error("keys cannot be read", "shard", w.sh.number, "first", fmt.Sprintf("%x", s.from), "before", before, "err", err.Error())
	}
}

// readableFrom finds the first key behind from that an iterator can be brought
// to without an error.
func readableFrom(it *pebble.Iterator, from []byte, p digits) []byte {
	head := from[:p.head]
	to := prefixEnd(head)
	for range p.words {
		var word [8]byte
		if rest, ok := bytes.CutPrefix(from, head); ok {
			copy(word[:], rest)
		}
		at := func(n uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(head), n) }
		n := halve(binary.BigEndian.Uint64(word[:]), readable(it, at))
		if n == math.MaxUint64 {
			break
		}
		if to = at(n); n == 1 { // the words that follow are all zero
			break
		}
		head = at(n - 1)
	}
	return to
}

func readable(it *pebble.Iterator, key func(n uint64) []byte) func(n uint64) bool {
	return func(n uint64) bool {
		it.SeekGE(key(n))
		return !broken(it.Error())
	}
}

// halve finds the first number behind one that is not good which is; the last
// number if none is.
func halve(bad uint64, isGood func(n uint64) bool) uint64 {
	good := uint64(math.MaxUint64)
	for step := uint64(1); step > 0 && step < good-bad; step <<= 4 {
		if isGood(bad + step) {
			good = bad + step
			break
		}
		bad += step
	}
	for good-bad > 1 {
		if n := bad + (good-bad)/2; isGood(n) {
			good = n
		} else {
			bad = n
		}
	}
	return good
}
