package queue

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// Handle is a receipt handle: it names a queue's message and one lease of it.
// Its text form (Store.HandleText, Store.ParseHandle) is opaque and carries an HMAC.
type Handle struct {
	queue uint64 // the queue's number in the store
	shard int
	seq   uint64 // the message's position in the shard
	lease uint64 // store epoch and counter
}

// IsZero tells whether the handle is unset.
func (h Handle) IsZero() bool { return h == Handle{} }

// Shard is the shard the message is in.
func (h Handle) Shard() int { return h.shard }

// Sequence is the message's Received.Sequence.
func (h Handle) Sequence() uint64 { return h.seq }

const (
	handleVersion = 1
	handleFields  = 1 + 8 + 1 + 8 + 8
	handleMAC     = 16
)

// ParseHandle reads a receipt handle's text; ErrInvalidHandle if it is not one
// of this queue in this store.
func (s *Store) ParseHandle(queue, text string) (Handle, error) {
	q, err := s.lookup(queue)
	if err != nil {
		return Handle{}, err
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != handleFields+handleMAC || b[0] != handleVersion {
		return Handle{}, fmt.Errorf("%w: it is not of this format", ErrInvalidHandle)
	}
	if !hmac.Equal(b[handleFields:], s.handleMAC(b[:handleFields])) {
		return Handle{}, fmt.Errorf("%w: it was not made by this store", ErrInvalidHandle)
	}
	h := Handle{
		queue: binary.BigEndian.Uint64(b[1:]),
		shard: int(b[9]),
		seq:   binary.BigEndian.Uint64(b[10:]),
		lease: binary.BigEndian.Uint64(b[18:]),
	}
	return h, s.checkHandle(q, h)
}

// HandleText is the text form of a handle.
func (s *Store) HandleText(h Handle) string {
	b := make([]byte, 0, handleFields+handleMAC)
	b = append(b, handleVersion)
	b = binary.BigEndian.AppendUint64(b, h.queue)
	b = append(b, byte(h.shard))
	b = binary.BigEndian.AppendUint64(b, h.seq)
	b = binary.BigEndian.AppendUint64(b, h.lease)
	return base64.RawURLEncoding.EncodeToString(append(b, s.handleMAC(b)...))
}

func (s *Store) handleMAC(fields []byte) []byte {
	mac := hmac.New(sha256.New, s.meta.Secret)
	mac.Write(fields)
	return mac.Sum(nil)[:handleMAC]
}

// checkHandle tells whether a handle is of a queue, of its messages of today or
// of those before a purge.
func (s *Store) checkHandle(q *queueDef, h Handle) error {
	if h.IsZero() {
		return fmt.Errorf("%w: it is empty", ErrInvalidHandle)
	}
	if h.shard < 0 || h.shard >= len(s.shards) {
		return fmt.Errorf("%w: it names shard %d of %d", ErrInvalidHandle, h.shard, len(s.shards))
	}
	if queueIdentity(h.queue) != q.current.Load().Identity {
		return fmt.Errorf("%w: it is not of queue %q", ErrInvalidHandle, q.name)
	}
	return nil
}
