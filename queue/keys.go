package queue

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"
)

// The key layout. Every key begins with two bytes that name its shard and one
// byte that names its table, so a shard is one contiguous range. Numbers are big
// endian, so keys sort by them. queue/DESIGN.md has the picture.
const (
	tableMeta       = 'a' // store: format, shards, epoch, incarnation, secret
	tableHead       = 'h' // shard: revision, time, positions
	tableCount      = 'c' // queue → counts
	tableMessage    = 'm' // queue, position → the message as it was sent; never rewritten
	tableReady      = 'r' // queue, group, position → what a lease needs to know
	tableLease      = 'l' // queue, position → state, from the first lease on
	tableTimer      = 't' // due, queue, position → state
	tableLock       = 'k' // queue, group → how many messages lock the FIFO group, and the first of them
	tableRecent     = 'e' // bucket of time, kind, queue, hash → deduplication ids, receive attempts
	tableRecord     = 'd' // key → revision, value
	tableCounter    = 'n' // key → sum
	tableDefinition = 'q' // registry: queue name → definition
	tableIdentity   = 'i' // registry: the latest identity given to a queue
	tableOutbox     = 'o' // destination, number → changes; number 0: the latest number
	tableApplied    = 'p' // source → highest number applied of its outbox
	tableMove       = 'v' // registry: queue identity, id → move; data shards: id → how far it came
)

const (
	prefixStore    = 0 // keys of the store itself
	prefixRegistry = 1
	prefixData     = 2 // of data shard 0
)

const keyHeader = 3

// shardPrefix is the first two bytes of all keys of a shard.
func shardPrefix(shard int) uint16 {
	if shard == Registry {
		return prefixRegistry
	}
	return prefixData + uint16(shard)
}

// shardOf is the shard whose keys begin with a prefix.
func shardOf(prefix uint16) int {
	if prefix == prefixRegistry {
		return Registry
	}
	return int(prefix - prefixData)
}

func appendTable(b []byte, prefix uint16, table byte) []byte {
	return append(b, byte(prefix>>8), byte(prefix), table)
}

// messageKey is the key of (queue, position) in the message or lease table.
func messageKey(b []byte, prefix uint16, table byte, queue, pos uint64) []byte {
	b = appendTable(b, prefix, table)
	b = binary.BigEndian.AppendUint64(b, queue)
	return binary.BigEndian.AppendUint64(b, pos)
}

func queueKey(b []byte, prefix uint16, table byte, queue uint64) []byte {
	return binary.BigEndian.AppendUint64(appendTable(b, prefix, table), queue)
}

func groupKey(b []byte, prefix uint16, table byte, queue uint64, group string) []byte {
	return appendGroup(queueKey(b, prefix, table, queue), group)
}

func readyKey(b []byte, prefix uint16, queue uint64, group string, pos uint64) []byte {
	return binary.BigEndian.AppendUint64(groupKey(b, prefix, tableReady, queue, group), pos)
}

func timerKey(b []byte, prefix uint16, due int64, queue, pos uint64) []byte {
	b = appendTable(b, prefix, tableTimer)
	b = binary.BigEndian.AppendUint64(b, uint64(due))
	b = binary.BigEndian.AppendUint64(b, queue)
	return binary.BigEndian.AppendUint64(b, pos)
}

func splitTimerKey(key []byte) (due int64, queue, pos uint64) {
	k := key[keyHeader:]
	return int64(binary.BigEndian.Uint64(k)), binary.BigEndian.Uint64(k[8:]), binary.BigEndian.Uint64(k[16:])
}

func recordKey(b []byte, prefix uint16, table byte, key []byte) []byte {
	return append(appendTable(b, prefix, table), key...)
}

// groupEnd ends a group's name in a key. A zero byte inside the name is escaped,
// so that names sort as they are and none is a prefix of another.
const (
	groupEnd    = 0x01
	groupEscape = 0xff
)

func appendGroup(b []byte, group string) []byte {
	for i := 0; i < len(group); i++ {
		b = append(b, group[i])
		if group[i] == 0 {
			b = append(b, groupEscape)
		}
	}
	return append(b, 0, groupEnd)
}

// splitGroup undoes appendGroup and gives what follows; ok is false for a key
// that is not of this form.
func splitGroup(b []byte) (group string, rest []byte, ok bool) {
	end := bytes.IndexByte(b, 0)
	if end < 0 || end+1 >= len(b) {
		return "", nil, false
	}
	if b[end+1] == groupEnd {
		return string(b[:end]), b[end+2:], true
	}
	var name []byte
	for i := 0; i+1 < len(b); i++ {
		if b[i] != 0 {
			name = append(name, b[i])
			continue
		}
		if b[i+1] == groupEnd {
			return string(name), b[i+2:], true
		}
		name = append(name, 0)
		i++
	}
	return "", nil, false
}

// prefixEnd is the first key behind all keys that start with prefix.
func prefixEnd(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// A position is a message's place in its queue and shard: the millisecond it
// first becomes visible, a bit for messages that were visible at once, and a
// counter. Positions therefore sort by first visibility, which is the order of
// retention, of age and of a FIFO group; and a message that waited for its
// millisecond comes before those sent in it.
const (
	positionShift = 22
	promptBit     = 1 << (positionShift - 1)
	counterMask   = promptBit - 1
)

// wasDelayed tells whether a message was sent to become visible later.
func wasDelayed(pos uint64) bool { return pos&promptBit == 0 }

func positionAt(ms int64) uint64 { return uint64(ms) << positionShift }

func positionTime(pos uint64) int64 { return int64(pos >> positionShift) }

// nextPosition is the place of a message visible at once: behind last and not
// before now.
func nextPosition(last uint64, now int64) uint64 {
	pos := max(last+1, positionAt(now)|promptBit)
	return pos | promptBit // after two million in a millisecond the next one is borrowed
}

// A queue's number in keys is its identity, which never changes, and its
// generation, which a purge raises.
const generationBits = 24

func queueNumber(identity uint64, generation uint32) uint64 {
	return identity<<generationBits | uint64(generation)&(1<<generationBits-1)
}

func queueIdentity(number uint64) uint64 { return number >> generationBits }

// A lease number is the store's epoch and a counter; it is never used twice.
const leaseCounterBits = 40

func leaseEpoch(lease uint64) uint64 { return lease >> leaseCounterBits }

// never is later than every time in a store.
const never = math.MaxInt64

// millis rounds up, so that nothing comes out before its time. Times too far
// away to count in milliseconds are taken as far away as that.
func millis(t time.Time) int64 {
	const far = never / 2000 // seconds
	if s := t.Unix(); s > far || s < -far {
		return max(min(s, far), -far) * 1000
	}
	ms := t.UnixMilli()
	if t.Nanosecond()%1e6 != 0 {
		ms++
	}
	return ms
}

func durationMillis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// positionOf is the position in a key of the message or lease table.
func positionOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[keyHeader+8:]) }

// numberOf is the queue's number in a key that begins with it.
func numberOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[keyHeader:]) }
