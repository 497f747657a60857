package topics

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// idempotencyRecord remembers a publish by its Idempotency-Key.
type idempotencyRecord struct {
	Publish     queue.ID  `json:"publish"`
	Fingerprint string    `json:"fingerprint"`
	At          time.Time `json:"at"`
}

// repeatable tells whether a repeat of the request is recognised.
func (r *Request) repeatable() bool { return r.IdempotencyKey != "" || r.DedupID != "" }

// place is where a publish is to live, and by what a repeat of it is known.
type place struct {
	shard       int
	fingerprint string // of the request; "" without an idempotency key
	revision    uint64 // at which the key is free
}

// place is the shard of the FIFO group, else found again by the idempotency
// key, else in turn.
func (t *Topics) place(req *Request) place {
	at := place{}
	switch {
	case req.Group != "":
		at.shard = t.store.ShardOf(req.Group)
	case req.IdempotencyKey != "":
		at.shard = t.store.ShardOf(req.IdempotencyKey)
	default:
		at.shard = t.store.NextShard()
	}
	if req.IdempotencyKey != "" {
		text, _ := json.Marshal(req) // plain data: cannot fail
		sum := sha256.Sum256(text)
		at.fingerprint = hex.EncodeToString(sum[:])
	}
	return at
}

// remembered looks the idempotency key up; a zero Publish means it is free, at
// the revision noted.
func (t *Topics) remembered(req *Request, at *place) (Publish, error) {
	if !req.repeatable() {
		return Publish{}, nil
	}
	ttl := t.IdempotencyTTL
	if req.DedupID != "" {
		ttl = queue.DedupWindow
	}
	r, revision, err := get[idempotencyRecord](t.store, at.shard, idempotencyKey(req))
	at.revision = revision
	switch {
	case errors.Is(err, ErrNotFound):
		return Publish{}, nil
	case err != nil || t.store.Now().Sub(r.At) > ttl:
		return Publish{}, err
	case req.DedupID == "" && r.Fingerprint != at.fingerprint:
		return Publish{}, ErrIdempotencyMismatch
	}
	p, _, err := get[Publish](t.store, at.shard, publishKey(r.Publish))
	if errors.Is(err, ErrNotFound) { // its ledger is not kept any more
		err = nil
	}
	return p, err
}
