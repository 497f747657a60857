package queue

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"
)

// ID names a publish, a delivery or a message: time, shard, sequence and
// ordinal in the 16 bytes of a valid UUIDv8 (RFC 9562 section 5.8), big endian:
//
//	48 bits  Unix milliseconds
//	 4 bits  version 8
//	 8 bits  shard
//	 4 bits  sequence, high part
//	 2 bits  variant
//	30 bits  sequence, low part
//	32 bits  ordinal: 0 is the publish, n its n-th delivery
//
// IDs sort by time; all IDs of a publish share their first 12 bytes (Prefix).
// They are no secrets.
type ID [16]byte

// MaxShards is the most data shards an ID can name.
const MaxShards = 256

const seqBits = 34

// MakeID puts an ID together. Shard must be 0 … MaxShards-1; seq is taken
// modulo 2^34.
func MakeID(t time.Time, shard int, seq uint64, ordinal uint32) ID {
	var id ID
	seq &= 1<<seqBits - 1
	hi := uint64(t.UnixMilli())<<16 | 8<<12 | uint64(shard&0xff)<<4 | seq>>30
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint32(id[8:12], 0b10<<30|uint32(seq&(1<<30-1)))
	binary.BigEndian.PutUint32(id[12:], ordinal)
	return id
}

// IsZero tells whether the ID is unset.
func (id ID) IsZero() bool { return id == ID{} }

// Time is when the ID was made, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}

// Shard is the shard the ID lives in.
func (id ID) Shard() int { return int(id[6]&0x0f)<<4 | int(id[7]>>4) }

// Ordinal is 0 for a publish and n for its n-th delivery.
func (id ID) Ordinal() uint32 { return binary.BigEndian.Uint32(id[12:]) }

// WithOrdinal is the ID of the n-th delivery of the same publish.
func (id ID) WithOrdinal(n uint32) ID {
	binary.BigEndian.PutUint32(id[12:], n)
	return id
}

// Prefix is the part all IDs of one publish share.
func (id ID) Prefix() []byte { return id[:12] }

// String prints the ID as a UUID.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:], id[10:])
	return string(b[:])
}

// LogValue is String.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// Hex prints the ID as 32 hexadecimal digits without dashes.
func (id ID) Hex() string { return hex.EncodeToString(id[:]) }

// ParseID reads the forms of String and Hex. Anything that is not a UUIDv8 is
// ErrInvalid.
func ParseID(s string) (ID, error) {
	var id ID
	h := s
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' {
		h = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(h) != 32 {
		return ID{}, fmt.Errorf("%w: id must be a UUID or 32 hexadecimal digits, not %d characters", ErrInvalid, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(h)); err != nil {
		return ID{}, fmt.Errorf("%w: id must be hexadecimal", ErrInvalid)
	}
	if id[6]>>4 != 8 || id[8]>>6 != 0b10 {
		return ID{}, fmt.Errorf("%w: id is not a UUIDv8", ErrInvalid)
	}
	return id, nil
}
