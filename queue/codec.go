package queue

import (
	"encoding/binary"
	"fmt"
)

var errCorrupt = fmt.Errorf("%w: corrupt value", ErrUnreadable)

// content is a message as it was sent, the value of the message table.
type content struct {
	id     ID
	sentAt int64
	group  string
	dedup  string
	source string // the queue a dead letter came from
	before uint64 // its receives in the queues it was in before
	attrs  []byte
	body   []byte
}

const (
	contentVersion = 1
	deadVersion    = 2 // before stands behind source
)

func (c *content) size() int {
	n := 1 + len(c.id) + uvarintLen(uint64(c.sentAt))
	for _, l := range [...]int{len(c.group), len(c.dedup), len(c.source), len(c.attrs)} {
		n += uvarintLen(uint64(l)) + l
	}
	if c.before > 0 {
		n += uvarintLen(c.before)
	}
	return n + len(c.body)
}

func (c *content) append(b []byte) []byte {
	version := byte(contentVersion)
	if c.before > 0 {
		version = deadVersion
	}
	b = append(b, version)
	b = append(b, c.id[:]...)
	b = binary.AppendUvarint(b, uint64(c.sentAt))
	b = appendText(b, c.group)
	b = appendText(b, c.dedup)
	b = appendText(b, c.source)
	if c.before > 0 {
		b = binary.AppendUvarint(b, c.before)
	}
	b = binary.AppendUvarint(b, uint64(len(c.attrs)))
	b = append(b, c.attrs...)
	return append(b, c.body...)
}

// parseContent reads a message; attrs and body point into b.
func parseContent(b []byte) (content, error) {
	var c content
	r := reader{b: b}
	version := r.byte()
	if version != contentVersion && version != deadVersion && !r.bad {
		return c, fmt.Errorf("%w: message of version %d", errCorrupt, version)
	}
	copy(c.id[:], r.take(len(c.id)))
	c.sentAt = int64(r.uvarint())
	c.group = string(r.text())
	c.dedup = string(r.text())
	c.source = string(r.text())
	if version == deadVersion {
		c.before = r.uvarint()
	}
	if attrs := r.text(); len(attrs) > 0 {
		c.attrs = attrs
	}
	c.body = r.b
	return c, r.err("message")
}

type phase byte

const (
	phaseReady   phase = iota + 1
	phaseLeased        // a receiver has it until due
	phaseWaiting       // nobody has it and it is hidden until due: delayed, scheduled, backoff
)

// state is where a message stands; the value of the lease and timer tables.
type state struct {
	phase    phase
	lease    uint64 // the latest; 0: never leased
	receives uint64
	first    int64 // first receive
	leased   int64 // when the latest lease began
	due      int64 // when the lease or the wait ends
	group    string
}

func (s *state) append(b []byte) []byte {
	b = append(b, byte(s.phase))
	b = binary.AppendUvarint(b, s.lease)
	b = binary.AppendUvarint(b, s.receives)
	b = binary.AppendUvarint(b, uint64(s.first))
	b = binary.AppendUvarint(b, uint64(s.leased))
	b = binary.AppendUvarint(b, uint64(s.due))
	return append(b, s.group...)
}

func parseState(b []byte) (state, error) {
	r := reader{b: b}
	s := state{phase: phase(r.byte()), lease: r.uvarint(), receives: r.uvarint()}
	s.first = int64(r.uvarint())
	s.leased = int64(r.uvarint())
	s.due = int64(r.uvarint())
	s.group = string(r.b)
	return s, r.err("state")
}

// readyEntry is a message in the ready index.
type readyEntry struct {
	pos      uint64
	lease    uint64
	receives uint64
	first    int64
}

// append gives the value of the ready table: empty for a message never leased.
func (e *readyEntry) append(b []byte) []byte {
	if e.lease == 0 && e.receives == 0 {
		return b
	}
	b = binary.AppendUvarint(b, e.lease)
	b = binary.AppendUvarint(b, e.receives)
	return binary.AppendUvarint(b, uint64(e.first))
}

func parseReady(pos uint64, b []byte) (readyEntry, error) {
	e := readyEntry{pos: pos}
	if len(b) == 0 {
		return e, nil
	}
	r := reader{b: b}
	e.lease, e.receives, e.first = r.uvarint(), r.uvarint(), int64(r.uvarint())
	return e, r.err("ready entry")
}

// counts are a queue's numbers in one shard.
type counts struct {
	ready, leased, waiting int64
	floor                  uint64 // no message lies before this position
	gaps                   []gap  // found by the sweep, in order
}

func (c *counts) empty() bool { return c.ready == 0 && c.leased == 0 && c.waiting == 0 }

func (c *counts) append(b []byte) []byte {
	b = binary.AppendVarint(b, c.ready)
	b = binary.AppendVarint(b, c.leased)
	b = binary.AppendVarint(b, c.waiting)
	b = binary.AppendUvarint(b, c.floor)
	for _, g := range c.gaps {
		b = binary.AppendUvarint(binary.AppendUvarint(b, g.from), g.to-g.from)
	}
	return b
}

func parseCounts(b []byte) (counts, error) {
	r := reader{b: b}
	c := counts{ready: r.varint(), leased: r.varint(), waiting: r.varint(), floor: r.uvarint()}
	for len(r.b) > 0 && !r.bad {
		from := r.uvarint()
		c.gaps = append(c.gaps, gap{from, from + r.uvarint()})
	}
	return c, r.err("counts")
}

// head is what a shard remembers of itself.
type head struct {
	revision uint64
	time     int64  // of the latest batch
	position uint64 // the latest given to a message visible at once
	delayed  uint64 // counter of positions of delayed messages
	due      int64  // no timer is due before; missing in older stores: 0
}

func (h *head) append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.revision)
	b = binary.AppendUvarint(b, uint64(h.time))
	b = binary.AppendUvarint(b, h.position)
	b = binary.AppendUvarint(b, h.delayed)
	return binary.AppendUvarint(b, uint64(h.due))
}

func parseHead(b []byte) (head, error) {
	r := reader{b: b}
	h := head{revision: r.uvarint(), time: int64(r.uvarint()), position: r.uvarint(), delayed: r.uvarint()}
	if len(r.b) > 0 {
		h.due = int64(r.uvarint())
	}
	return h, r.err("shard head")
}

func uvarintLen(n uint64) int {
	l := 1
	for n >= 0x80 {
		n >>= 7
		l++
	}
	return l
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes values off a slice; after the first that does not fit it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) err(what string) error {
	if r.bad {
		return fmt.Errorf("%w: %s too short", errCorrupt, what)
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	v := r.take(1)
	if v == nil {
		return 0
	}
	return v[0]
}

func (r *reader) text() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	return r.take(int(n))
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}
