package queue

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"
)

// Bounds of what is written, in bytes.
const (
	// MaxName bounds a queue's name, a group and a deduplication or attempt id.
	MaxName = 1024
	// MaxMessage bounds a message's body and attributes together.
	MaxMessage = 4 << 20
	// MaxKey bounds the key of a record or counter.
	MaxKey = 4096
	// MaxValue bounds the value of a record.
	MaxValue = 4 << 20
	// MaxBatchBytes bounds the bodies, attributes, values and forwarded changes of
	// one Batch; keys and names are not counted.
	MaxBatchBytes = 32 << 20
)

const defaultVisibility = 30 * time.Second

func checkQueueName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("%w: queue name must be 1 to %d bytes, not %d", ErrInvalid, MaxName, len(name))
	}
	if !utf8.ValidString(name) { // it is kept as JSON
		return fmt.Errorf("%w: queue name %q must be UTF-8", ErrInvalid, name)
	}
	return nil
}

// checkSettings completes a queue's settings with defaults and checks them.
func (s *Store) checkSettings(name string, set Settings) (Settings, error) {
	if set.Visibility == 0 {
		set.Visibility = defaultVisibility
	}
	set.Tags = maps.Clone(set.Tags)
	bad := func(format string, args ...any) (Settings, error) {
		return set, fmt.Errorf("%w: queue %q: %s", ErrInvalid, name, fmt.Sprintf(format, args...))
	}
	switch {
	case set.Visibility < 0 || set.Visibility > MaxVisibility:
		return bad("visibility must be 0 to %v, not %v", MaxVisibility, set.Visibility)
	case set.Delay < 0 || set.Delay > MaxDelay:
		return bad("delay must be 0 to %v, not %v", MaxDelay, set.Delay)
	case set.Retention < 0:
		return bad("retention must not be negative, not %v", set.Retention)
	case set.MaxReceives < 0:
		return bad("max receives must not be negative, not %d", set.MaxReceives)
	case (set.MaxReceives > 0) != (set.DeadLetter != ""):
		return bad("max receives and dead-letter queue go together")
	case set.DeadLetter == name:
		return bad("it cannot be its own dead-letter queue")
	case len(set.DeadLetter) > MaxName:
		return bad("dead-letter queue's name must be at most %d bytes", MaxName)
	case !utf8.ValidString(set.DeadLetter):
		return bad("dead-letter queue's name must be UTF-8, not %q", set.DeadLetter)
	}
	for key, value := range set.Tags {
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return bad("tags must be UTF-8, not %q: %q", key, value)
		}
	}
	if q := s.queue(set.DeadLetter); q != nil && q.current.Load().Settings.FIFO != set.FIFO {
		return bad("dead-letter queue %q must be FIFO if it is, and only then", set.DeadLetter)
	}
	return set, nil
}

func (set *Settings) equal(other Settings) bool {
	a, b := *set, other
	a.Tags, b.Tags = nil, nil
	return maps.Equal(set.Tags, other.Tags) &&
		a.FIFO == b.FIFO && a.Visibility == b.Visibility && a.Delay == b.Delay && a.Retention == b.Retention &&
		a.MaxReceives == b.MaxReceives && a.DeadLetter == b.DeadLetter && a.ContentDedup == b.ContentDedup &&
		a.DedupPerGroup == b.DedupPerGroup
}

// checkBatch checks all that can be checked outside the writer.
func (s *Store) checkBatch(shard int, b *Batch) error {
	if b == nil {
		return fmt.Errorf("%w: no batch", ErrInvalid)
	}
	size := 0
	for i := range b.ops {
		n, err := s.checkOp(shard, &b.ops[i])
		if err != nil {
			return err
		}
		size += n
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("%w: a batch must be at most %d bytes, not %d", ErrInvalid, MaxBatchBytes, size)
	}
	return nil
}

// checkOp checks a change of a batch and tells how many bytes it writes.
func (s *Store) checkOp(shard int, o *op) (size int, err error) {
	switch o.kind {
	case opSend:
		return len(o.msg.Body) + len(o.msg.Attributes), s.checkSend(shard, o)
	case opDelete, opRetry:
		return 0, s.checkSettle(shard, o)
	case opPut:
		if err = checkKey(o.key); err == nil && len(o.value) > MaxValue {
			err = fmt.Errorf("%w: value of record %q must be at most %d bytes, not %d", ErrInvalid, o.key, MaxValue, len(o.value))
		}
		return len(o.value), err
	case opRemovePrefix:
		if len(o.key) == 0 {
			err = fmt.Errorf("%w: prefix to remove must not be empty", ErrInvalid)
		}
		return 0, err
	case opForward:
		err = s.checkForward(o)
		return len(o.value), err
	case opAdopt:
		return o.content.size(), nil // the writer checks its queue
	}
	return 0, checkKey(o.key)
}

func checkKey(key []byte) error {
	if len(key) == 0 || len(key) > MaxKey {
		return fmt.Errorf("%w: key must be 1 to %d bytes, not %d", ErrInvalid, MaxKey, len(key))
	}
	return nil
}

func (s *Store) checkSettle(shard int, o *op) error {
	if o.handle.IsZero() || o.handle.shard != shard {
		return fmt.Errorf("%w: it is not of %s", ErrInvalidHandle, shardName(shard))
	}
	if o.kind == opRetry && millis(o.at) > s.clock.now()+durationMillis(MaxDelay) {
		return fmt.Errorf("%w: retry at %v is more than %v ahead", ErrInvalid, o.at, MaxDelay)
	}
	return nil
}

func (s *Store) checkSend(shard int, o *op) error {
	m := &o.msg
	if shard == Registry {
		return fmt.Errorf("%w: the registry holds no messages", ErrInvalid)
	}
	q, err := s.lookup(o.queue)
	if err != nil {
		return err
	}
	def := q.current.Load()
	set := &def.Settings
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: message for queue %q: %s", ErrInvalid, o.queue, fmt.Sprintf(format, args...))
	}
	switch {
	case len(m.Body)+len(m.Attributes) > MaxMessage:
		return bad("body and attributes must be at most %d bytes, not %d", MaxMessage, len(m.Body)+len(m.Attributes))
	case len(m.Group) > MaxName:
		return bad("group must be at most %d bytes, not %d", MaxName, len(m.Group))
	case len(m.DedupID) > MaxName:
		return bad("deduplication id must be at most %d bytes, not %d", MaxName, len(m.DedupID))
	case m.Delay > MaxDelay:
		return bad("delay must be at most %v, not %v", MaxDelay, m.Delay)
	case !m.At.IsZero() && millis(m.At) > s.clock.now()+durationMillis(MaxDelay):
		return bad("%v is more than %v ahead", m.At, MaxDelay)
	case !m.ID.IsZero() && !set.FIFO && m.ID.Shard() != shard:
		return bad("id %v names shard %d, not %d", m.ID, m.ID.Shard(), shard)
	}
	o.dedup, o.dedups = dedupHash(set, m)
	return s.checkHome(def, m.Group, shard)
}

// dedupHash is what a FIFO message is recognised by. The body's hash is as good
// as an id of the same text, as in SQS.
func dedupHash(set *Settings, m *Message) (hash [16]byte, ok bool) {
	if !set.FIFO {
		return hash, false
	}
	scope := ""
	if set.DedupPerGroup {
		scope = m.Group
	}
	if m.DedupID != "" {
		return hashText(scope, m.DedupID), true
	}
	if !set.ContentDedup {
		return hash, false
	}
	sum := sha256.Sum256(m.Body)
	return hashText(scope, hex.EncodeToString(sum[:])), true
}

// hashText shortens a text of a scope.
func hashText(scope, text string) (hash [16]byte) {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(scope))))
	h.Write([]byte(scope))
	h.Write([]byte(text))
	copy(hash[:], h.Sum(nil))
	return hash
}

func (s *Store) shard(n int) (*shard, error) {
	if n == Registry {
		return s.registry, nil
	}
	if n < 0 || n >= len(s.shards) {
		return nil, fmt.Errorf("%w: shard %d of %d", ErrInvalid, n, len(s.shards))
	}
	return s.shards[n], nil
}
