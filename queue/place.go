package queue

import (
	"encoding/binary"
	"fmt"
)

// FIFOShard is where a FIFO queue's messages of a group lie: of one whose
// deduplication is per group by the group, of any other in one shard, the same
// for all of them, so that one writer sees all its deduplication ids.
func (s *Store) FIFOShard(group string, perGroup bool) int {
	if !perGroup {
		group = ""
	}
	return s.ShardOf(group)
}

// home is the shard of a queue's message of a group: a FIFO queue's by its
// placement, a standard queue's any, so the one it comes from.
func (s *Store) home(def *definition, group string, from int) int {
	if !def.Settings.FIFO {
		return from
	}
	return s.FIFOShard(group, !def.OneShard)
}

// checkHome refuses a message in another shard than its own.
func (s *Store) checkHome(def *definition, group string, shard int) error {
	if home := s.home(def, group, shard); home != shard {
		return fmt.Errorf("%w: group %q of FIFO queue %q belongs to %s, not %s",
			ErrInvalid, group, def.Name, shardName(home), shardName(shard))
	}
	return nil
}

// route forwards the messages of FIFO queues that belong to another shard.
func (s *Store) route(shard int, b *Batch) {
	for i := range b.ops {
		o := &b.ops[i]
		if o.kind != opSend {
			continue
		}
		q := s.queue(o.queue)
		if q == nil {
			continue // checking tells
		}
		if home := s.home(q.current.Load(), o.msg.Group, shard); home != shard {
			*o = op{kind: opForward, shard: home, changes: &Batch{ops: []op{*o}}}
		}
	}
}

// hand puts a message of this shard into a queue: in this batch, or through the
// outbox if it belongs to another shard. Then it gives the entry.
func (w *writer) hand(to *definition, c *content, at int64) entry {
	home := w.store.home(to, c.group, w.sh.number)
	if home == w.sh.number {
		w.add(w.line(to.number()), c, at)
		return entry{}
	}
	adopt := op{kind: opAdopt, queue: to.Name, content: c, at: timeOf(at)}
	return w.forward(&op{kind: opForward, shard: home, value: adopt.append(nil)})
}

// appendAdopt writes down a message for the outbox as it is, other than a send:
// with when it was sent and where it came from.
func (o *op) appendAdopt(b []byte) []byte {
	b = appendText(b, o.queue)
	b = binary.AppendVarint(b, millis(o.at))
	return appendText(b, string(o.content.append(nil)))
}

func (o *op) parseAdopt(r *reader) error {
	o.queue, o.at = string(r.text()), timeOf(r.varint())
	c, err := parseContent(r.text())
	o.content = &c
	return err
}

// checkAdopt finds the queue that takes a message.
func (w *writer) checkAdopt(o *op, st *step) error {
	if st.queue = w.store.queue(o.queue); st.queue == nil {
		return fmt.Errorf("queue %q: %w", o.queue, ErrNotFound)
	}
	st.def = st.queue.current.Load()
	return w.store.checkHome(st.def, o.content.group, w.sh.number)
}
