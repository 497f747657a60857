package queue

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// fill reads the group's next ready messages from disk.
func (w *writer) fill(ln *line, g *group) {
	w.settleIndex(ln)
	at := func(pos uint64) []byte { return readyKey(nil, w.sh.prefix, ln.number, g.name, pos) }
	it := w.iter(at(ln.counts.over(max(g.next, ln.counts.floor))), prefixEnd(groupKey(nil, w.sh.prefix, tableReady, ln.number, g.name)))
	defer it.Close()
	g.ready = nil
	w.unread = gap{}
	ok := it.First() || w.past(it, at, g.next, math.MaxUint64)
	for ; w.recover(ln, g) && ok && len(g.ready) < w.limits.fill; ok = w.step(it, ln, at, g.next, math.MaxUint64) {
		key := it.Key()
		e, err := parseReady(binary.BigEndian.Uint64(key[len(key)-8:]), it.Value())
		must(err)
		g.ready = append(g.ready, e)
		g.next = e.pos + 1
	}
	w.held += len(g.ready)
	g.drained = !ok && w.unread == gap{}
}

// settleIndex makes the database show the ready index as it stands.
func (w *writer) settleIndex(ln *line) {
	if ln.written == w.group {
		w.flush()
	}
}

// fillGroups looks for groups on disk that are not in memory. found is how many
// it put in turn; more tells that it stopped early, to let others at the writer.
func (w *writer) fillGroups(ln *line) (found int, more bool) {
	w.settleIndex(ln)
	first := queueKey(nil, w.sh.prefix, tableReady, ln.number)
	it := w.iter(first, prefixEnd(first))
	defer it.Close()
	for seen, ends := 0, 0; found < w.limits.fill && ln.ring.n < w.limits.groups; seen++ {
		if seen == w.limits.seen {
			return found, true
		}
		name, sought, ok := w.nextGroup(it, ln, first)
		found += sought
		if !ok {
			ln.complete = ln.clean
			ln.after, ln.begun, ln.clean = "", false, true
			ln.passes++
			if ends++; ln.complete || ends == 2 {
				break
			}
			continue
		}
		ln.after, ln.begun = name, true
		if ln.groups[name] == nil {
			g := w.openGroup(ln, name)
			if w.list(ln, g); g.listed {
				found++
			}
		}
	}
	return found, false
}

// nameWords is how many eight bytes of a group's name tell where it can be read.
const nameWords = 16

// nextGroup is the next name on disk; sought is how many groups it put in turn
// that lie before it in what cannot be read.
func (w *writer) nextGroup(it *pebble.Iterator, ln *line, first []byte) (name string, sought int, ok bool) {
	from := first
	if ln.begun {
		from = prefixEnd(groupKey(nil, w.sh.prefix, tableReady, ln.number, ln.after))
	}
	if !it.SeekGE(from) {
		err, to := it.Error(), prefixEnd(first)
		if err == nil {
			return "", 0, false
		}
		if ok = w.skip(it, err, from, digits{len(first), nameWords}); ok {
			to = bytes.Clone(it.Key())
		}
		if sought = w.seek(ln, from, to); !ok {
			return "", sought, false
		}
	}
	group, _, ok := splitGroup(it.Key()[len(first):])
	if !ok || !bytes.HasPrefix(it.Key(), first) {
		panic(fmt.Errorf("%w: ready key %x", errCorrupt, it.Key()))
	}
	return group, sought, true
}

// dropUnlocked takes the groups that are in turn out of memory: none of them
// would do for the receiver at hand, and others may wait on disk.
func (w *writer) dropUnlocked(ln *line, call uint64) {
	for n := ln.ring.n; n > 0; n-- {
		g := ln.ring.front()
		if ln.fifo && g.call == call && g.taken > 0 {
			ln.ring.rotate(g) // about to be locked
			continue
		}
		ln.ring.remove(g)
		delete(ln.groups, g.name)
		w.held -= groupCost + len(g.ready)
	}
	ln.complete, ln.clean = false, false
}
