package queue

import (
	"encoding/binary"
	"strings"
)

// countersMax is the most counters a writer keeps at hand.
const countersMax = 1 << 16

// counterCache holds the shard's active counters; the disk gets their sums.
type counterCache struct {
	sums    map[string]*sum
	changed []*sum
}

type sum struct {
	key     string
	n       int64
	changed bool
}

func (c *counterCache) init() { c.sums = make(map[string]*sum) }

func (c *counterCache) dirty() bool { return len(c.changed) > 0 }

// load brings a counter to hand.
func (c *counterCache) load(w *writer, key []byte) (*sum, error) {
	if s := c.sums[string(key)]; s != nil {
		return s, nil
	}
	w.buf = recordKey(w.buf[:0], w.sh.prefix, tableCounter, key)
	v, err := w.get(w.buf)
	if err != nil {
		return nil, err
	}
	s := &sum{key: string(key), n: counterValue(v)}
	c.sums[s.key] = s
	return s, nil
}

// add changes a counter that load brought to hand before.
func (c *counterCache) add(_ *writer, key []byte, delta int64) {
	s := c.sums[string(key)]
	c.set(s, s.n+delta)
}

func (c *counterCache) set(s *sum, n int64) {
	s.n = n
	if !s.changed {
		s.changed = true
		c.changed = append(c.changed, s)
	}
}

// removePrefix sets counters to zero: those on disk and those at hand.
func (c *counterCache) removePrefix(_ *writer, prefix string, onDisk [][]byte) {
	for _, k := range onDisk {
		s := c.sums[string(k)]
		if s == nil {
			s = &sum{key: string(k)}
			c.sums[s.key] = s
		}
		c.set(s, 0)
	}
	for _, s := range c.changed {
		if strings.HasPrefix(s.key, prefix) {
			s.n = 0
		}
	}
}

// write puts the changed sums into the batch; a zero is not kept.
func (c *counterCache) write(w *writer) {
	for _, s := range c.changed {
		key := append(appendTable(w.buf[:0], w.sh.prefix, tableCounter), s.key...)
		if s.n == 0 {
			w.delete(key)
			delete(c.sums, s.key)
		} else {
			w.set(key, binary.AppendVarint(w.val[:0], s.n))
		}
		s.changed = false
	}
	c.changed = c.changed[:0]
	if len(c.sums) > countersMax {
		clear(c.sums)
	}
}

func counterValue(v []byte) int64 {
	n, _ := binary.Varint(v)
	return n
}
