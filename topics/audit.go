package topics

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// The auditor compares what must be the same, on a view of one moment, in
// books of two sides: what is on the left must be on the right as often. To
// need no memory for it, it adds up hashes: left as plus, right as minus. A
// book that balances ends at zero in each of its slots; items of the slots
// that do not are then looked at one by one.
type book uint8

const (
	bookLedger   book = iota // counters of the ledger ↔ delivery records by state
	bookEntries              // queued and sending records ↔ entries of the accounts' queues
	bookHeld                 // held records ↔ index of held deliveries
	bookCauses               // failed records ↔ index of dead letters by cause
	bookCounts               // counters of causes ↔ that index
	bookOpen                 // publishes not over ↔ index of open publishes
	bookWaiting              // counters of waiting retries ↔ queued records that wait for one
	bookRunning              // publishes with deliveries that are not final ↔ index of open publishes
	bookReplays              // counters of replays ↔ delivery records they brought that are not final
	numberOfBook             // how many there are
)

var bookNames = [numberOfBook]string{"ledger", "entries", "held", "causes", "counts", "open", "waiting", "running", "replays"}

const auditSlots = 256

// A round of the auditor is followed by a pause of at least auditEvery, and of
// auditShare times as long as the round: that bounds its share of a core.
const (
	auditEvery = 10 * time.Second
	auditShare = 20
)

// audit walks the shards round after round.
func (t *Topics) audit(ctx context.Context) error {
	return rounds(ctx, t.auditing, func() (time.Duration, error) {
		begin := time.Now()
		_, err := t.Audit()
		return max(t.auditing, auditShare*time.Since(begin)), err
	})
}

// rounds does something again and again, after a first pause with the pauses it
// asks for, until it fails or ctx ends.
func rounds(ctx context.Context, pause time.Duration, round func() (time.Duration, error)) error {
	next := time.NewTimer(pause)
	defer next.Stop()
	for {
		select {
		case <-next.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		pause, err := round()
		if err != nil {
			return err
		}
		next.Reset(pause)
	}
}

// Audit is one round of the auditor over everything: it recounts records
// against counters, queue entries and indexes, logs each difference and
// returns their number. It reads all delivery records once (about a million a
// second and core) and needs no more memory for more of them.
func (t *Topics) Audit() (differences int64, err error) {
	for shard := range t.store.Shards() {
		err := t.store.View(shard, func(v *queue.View) error {
			n, err := t.auditShard(v)
			differences += n
			return err
		})
		if err != nil {
			return differences, fmt.Errorf("audit: %w", err)
		}
	}
	t.m.imbalance.Set(float64(differences))
	t.m.audited.SetToCurrentTime()
	return differences, nil
}

func (t *Topics) auditShard(v *queue.View) (differences int64, err error) {
	var sums [numberOfBook][auditSlots]uint64
	seed := maphash.MakeSeed()
	balanced := true
	err = t.eachItem(v, func(b book, item []byte, n int64) {
		h := maphash.Bytes(seed, item)
		sums[b][h%auditSlots] += uint64(n) * (h | 1)
	})
	if err != nil {
		return 0, err
	}
	for b := range sums {
		balanced = balanced && sums[b] == [auditSlots]uint64{}
	}
	if balanced {
		return 0, nil
	}
	wrong := map[book]map[string]int64{}
	err = t.eachItem(v, func(b book, item []byte, n int64) {
		if sums[b][maphash.Bytes(seed, item)%auditSlots] == 0 {
			return
		}
		if wrong[b] == nil {
			wrong[b] = map[string]int64{}
		}
		if wrong[b][string(item)] += n; wrong[b][string(item)] == 0 {
			delete(wrong[b], string(item))
		}
	})
	for b, items := range wrong {
		for item, n := range items {
			differences += max(n, -n)
			t.log.Error("the ledger does not balance", "book", bookNames[b], "item", hex.EncodeToString([]byte(item)), "difference", n)
		}
	}
	return differences, err
}

// eachItem calls add for every item of every book: n times on the left, or,
// negative, on the right.
func (t *Topics) eachItem(v *queue.View, add func(b book, item []byte, n int64)) error {
	counters := func(b book, table byte) error {
		return v.Counters([]byte{table}, func(key []byte, n int64) bool { add(b, key[1:], n); return true })
	}
	index := func(b book, table byte) error {
		return v.Scan([]byte{table}, nil, func(r queue.Record) bool { add(b, r.Key[1:], -1); return true })
	}
	for _, walk := range []func() error{
		func() error { return counters(bookLedger, 'l') },
		func() error { return counters(bookWaiting, 'w') },
		func() error { return counters(bookCounts, 'x') },
		func() error { return counters(bookReplays, 'v') },
		func() error { return index(bookHeld, 'h') },
		func() error { return index(bookOpen, 'o') },
		func() error { return causeItems(v, add) },
		func() error { return publishItems(v, add) },
		func() error { return deliveryItems(v, add) },
		func() error { return t.eachEntry(v, func(id queue.ID) { add(bookEntries, id[:], -1) }) },
	} {
		if err := walk(); err != nil {
			return err
		}
	}
	return nil
}

// auditedPublish and auditedDelivery are what the auditor reads of a record.
type (
	auditedPublish struct {
		Phase Phase `json:"phase"`
	}
	auditedDelivery struct {
		State  State    `json:"s"`
		Next   string   `json:"n"`
		Sub    queue.ID `json:"u"`
		Replay bool     `json:"rp"`
	}
)

// scanOf walks a view, whatever shard is said: it has one.
func scanOf(v *queue.View) scan {
	return func(_ int, prefix, after []byte, fn func(queue.Record) bool) error { return v.Scan(prefix, after, fn) }
}

// publishItems adds the publishes that are not complete.
func publishItems(v *queue.View, add func(b book, item []byte, n int64)) error {
	for r, err := range each[auditedPublish](scanOf(v), 0, []byte{'p'}, nil) {
		if err != nil {
			return err
		}
		if !r.value.Phase.over() {
			add(bookOpen, r.key[1:], 1)
		}
	}
	return nil
}

// causeItems adds the index of dead letters.
func causeItems(v *queue.View, add func(b book, item []byte, n int64)) error {
	return v.Scan([]byte{'x'}, nil, func(r queue.Record) bool {
		id := causeID(r.Key)
		add(bookCauses, id[:], -1)
		add(bookCounts, causeText(r.Key), -1)
		return true
	})
}

// deliveryItems adds what follows from the deliveries' records.
func deliveryItems(v *queue.View, add func(b book, item []byte, n int64)) error {
	var running []byte // the latest publish found to have open deliveries
	for r, err := range each[auditedDelivery](scanOf(v), 0, []byte{'d'}, nil) {
		if err != nil {
			return err
		}
		id, d := r.key[1:], &r.value
		deliveryItem(id, d, add)
		publish := id[:len(queue.ID{}.Prefix())]
		if d.State.Final() || bytes.Equal(publish, running) {
			continue
		}
		running = bytes.Clone(publish)
		add(bookRunning, publish, 1)
		err := v.Scan(append([]byte{'o'}, publish...), nil, func(queue.Record) bool {
			add(bookRunning, publish, -1)
			return false
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// deliveryItem adds what follows from one delivery's record.
func deliveryItem(id []byte, d *auditedDelivery, add func(b book, item []byte, n int64)) {
	publish := id[:len(queue.ID{}.Prefix())]
	add(bookLedger, append(publish[:len(publish):len(publish)], byte(d.State)), -1)
	switch {
	case d.State.hasEntry():
		add(bookEntries, id, 1)
	case d.State == Held:
		add(bookHeld, id, 1)
	case d.State == Failed:
		add(bookCauses, id, 1)
	}
	if d.Next != "" {
		add(bookWaiting, publish, -1)
	}
	if d.Replay && !d.State.Final() {
		add(bookReplays, d.Sub[:], -1)
	}
}

// eachEntry walks the entries of the accounts' queues, but for those in flight
// whose delivery evidence has settled: they go when their attempt ends.
func (t *Topics) eachEntry(v *queue.View, fn func(id queue.ID)) error {
	for after := ""; ; {
		page, err := t.store.Queues(channels.QueuePrefix, after, 500)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, q := range page {
			after = q.Name
			var failed error
			err := v.Messages(q.Name, 0, func(m queue.Peeked) bool {
				counts := true
				if m.InFlight {
					counts, failed = attended(v, m.ID)
				}
				if counts {
					fn(m.ID)
				}
				return failed == nil
			})
			if err := errors.Join(err, failed); err != nil {
				return err
			}
		}
	}
}

// attended tells whether a delivery's record goes with an entry of it.
func attended(v *queue.View, id queue.ID) (yes bool, err error) {
	scanned := v.Scan(deliveryKey(id), nil, func(r queue.Record) bool {
		var d auditedDelivery
		err = json.Unmarshal(r.Value, &d)
		yes = d.State.hasEntry()
		return false
	})
	return yes, errors.Join(scanned, err)
}

// Depth is how many entries wait for an account, by lane.
func (t *Topics) Depth(account string) (map[channels.Lane]queue.Stats, error) {
	out := map[channels.Lane]queue.Stats{}
	for _, lane := range channels.Lanes() {
		st, err := t.store.Stats(channels.QueueName(account, lane))
		if err != nil {
			return nil, err
		}
		out[lane] = st
	}
	return out, nil
}
