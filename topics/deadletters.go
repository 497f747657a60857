package topics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// DeadLetters are the failed deliveries of one cause.
type DeadLetters struct {
	Cause
	Count  int64     `json:"count"`
	First  time.Time `json:"first"` // when the oldest one's publish was accepted
	Last   time.Time `json:"last"`
	Action string    `json:"action"` // what to do
}

func (t *Topics) addCause(b *queue.Batch, r *deliveryRecord, id queue.ID) {
	cause := causeOf(r)
	b.Put(causeKey(cause, id), []byte{})
	b.Add(causeCounter(cause), 1)
}

func (t *Topics) dropCause(b *queue.Batch, r *deliveryRecord, id queue.ID) {
	cause := causeOf(r)
	b.Remove(causeKey(cause, id))
	b.Add(causeCounter(cause), -1)
}

// DeadLetters lists the causes of failed deliveries with their counts. Those
// of all owners together: it is the operator's view.
func (t *Topics) DeadLetters() ([]DeadLetters, error) {
	sums := map[string]*DeadLetters{}
	var order []string
	for shard := range t.store.Shards() {
		err := t.store.Counters(shard, []byte{'x'}, func(key []byte, n int64) bool {
			cause := string(key[1:])
			if n == 0 {
				return true
			}
			if sums[cause] == nil {
				f := strings.Split(cause, "\x1f")
				c := Cause{Protocol: f[0], Account: f[1], Kind: f[2], Code: f[3]}
				sums[cause] = &DeadLetters{Cause: c, Action: suggest(c)}
				order = append(order, cause)
			}
			sums[cause].Count += n
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]DeadLetters, 0, len(order))
	for _, cause := range order {
		if err := t.span(cause, sums[cause]); err != nil {
			return nil, err
		}
		out = append(out, *sums[cause])
	}
	return out, nil
}

// DeadCounts counts the dead letters of each channel. It costs as much as there
// are causes, not dead letters.
func (t *Topics) DeadCounts() (map[string]int64, error) {
	out := map[string]int64{}
	for _, p := range Protocols() {
		out[accountProtocol(p)] = 0
	}
	for shard := range t.store.Shards() {
		err := t.store.Counters(shard, []byte{'x'}, func(key []byte, n int64) bool {
			protocol, _, _ := strings.Cut(string(key[1:]), "\x1f")
			out[accountProtocol(protocol)] += n
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// span finds the oldest and newest dead letter of a cause.
func (t *Topics) span(cause string, d *DeadLetters) error {
	for shard := range t.store.Shards() {
		err := t.store.Scan(shard, causePrefix(cause), nil, func(r queue.Record) bool {
			at := causeID(r.Key).Time()
			if d.First.IsZero() || at.Before(d.First) {
				d.First = at
			}
			if at.After(d.Last) {
				d.Last = at
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func causeID(key []byte) queue.ID {
	var id queue.ID
	copy(id[:], key[len(key)-len(id):])
	return id
}

func suggest(c Cause) string {
	switch c.Kind {
	case channels.EndpointGone.String():
		return "the endpoint is gone: have the recipient register again; a redrive would fail again"
	case channels.RecipientBlocked.String():
		return "the recipient refuses: leave it"
	case channels.Rejected.String():
		return "the provider refuses this message: mend content or settings, then publish anew or redrive"
	case channels.Uncertain.String():
		return "it may have been sent: look it up at the provider before a redrive"
	}
	return "mend the endpoint or wait for the provider, then redrive"
}

// Redrive is asked to queue the dead letters of a cause again.
type Redrive struct {
	Cause  Cause  `json:"cause"`
	Rate   int    `json:"rate"`    // deliveries a second, 1 … 10,000
	DryRun bool   `json:"dry_run"` // count only
	After  []byte `json:"after,omitempty"`
	Shard  int    `json:"shard,omitempty"`
}

// Redriven is what a redrive will do, or would.
type Redriven struct {
	Count int64 // dead letters of the cause
	Skip  int64 // of them expired, suppressed or unsubscribed meanwhile (dry run only)
}

// Redrive queues the dead letters of a cause again at a rate, in the
// background and over restarts. Expired and meanwhile suppressed ones are
// skipped at hand-off and end as such.
func (t *Topics) Redrive(ctx context.Context, r Redrive) (Redriven, error) {
	if r.Rate < 1 || r.Rate > 10_000 {
		return Redriven{}, invalid("rate", "must be 1 to 10000 a second")
	}
	var out Redriven
	for shard := range t.store.Shards() {
		n, err := t.store.Counter(shard, causeCounter(r.Cause.text()))
		if err != nil {
			return out, err
		}
		out.Count += n
	}
	if out.Count == 0 {
		return out, fmt.Errorf("dead letters of this cause: %w", ErrNotFound)
	}
	if r.DryRun {
		return out, nil
	}
	r.After, r.Shard = nil, 0
	body, _ := json.Marshal(r) // plain data: cannot fail
	b := &queue.Batch{}
	b.Send(redriveQueue, queue.Message{ID: t.store.NewID(0), Body: body})
	_, err := t.store.Commit(ctx, 0, b)
	return out, err
}

// redriveStep queues the next tenth of a second's worth of dead letters. It
// goes through them once: one that fails again lies behind the cursor, one of a
// publish newer than the redrive is not its business.
func (t *Topics) redriveStep(ctx context.Context, m queue.Received) error {
	var r Redrive
	if err := json.Unmarshal(m.Body, &r); err != nil {
		return errors.Join(err, t.discard(ctx, m))
	}
	left := max(1, r.Rate/10)
	for ; r.Shard < t.store.Shards(); r.Shard, r.After = r.Shard+1, nil {
		ids, err := t.deadOf(r, m.ID.Time(), left)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.redriveOne(ctx, id); err != nil {
				return err
			}
			r.After = causeKey(r.Cause.text(), id)
		}
		if left -= len(ids); left == 0 {
			return t.redriveOn(ctx, m, r)
		}
	}
	return t.discard(ctx, m)
}

// redriveOn moves a redrive's cursor on: its entry is replaced, under its id.
func (t *Topics) redriveOn(ctx context.Context, m queue.Received, r Redrive) error {
	body, _ := json.Marshal(r) // plain data: cannot fail
	b := &queue.Batch{}
	b.Delete(m.Handle)
	b.Send(redriveQueue, queue.Message{ID: m.ID, Body: body, At: t.store.Now().Add(100 * time.Millisecond)})
	_, err := t.store.Commit(ctx, m.ID.Shard(), b)
	return err
}

// deadOf is the next dead letters behind a redrive's cursor, of publishes
// accepted until then.
func (t *Topics) deadOf(r Redrive, until time.Time, limit int) (ids []queue.ID, err error) {
	err = t.store.Scan(r.Shard, causePrefix(r.Cause.text()), r.After, func(rec queue.Record) bool {
		id := causeID(rec.Key)
		if id.Time().After(until) {
			return false
		}
		ids = append(ids, id)
		return len(ids) < limit
	})
	return ids, err
}

// redriveOne queues one dead letter again and opens its publish.
func (t *Topics) redriveOne(ctx context.Context, id queue.ID) error {
	r, rev, err := get[deliveryRecord](t.store, id.Shard(), deliveryKey(id))
	if errors.Is(err, ErrNotFound) {
		return nil // its publish was forgotten meanwhile
	}
	if err != nil || r.State != Failed || (r.Protocol == SQS && r.Account == localQueue) {
		return err // a queue of this gateway that is gone has no worker to send again
	}
	p, prev, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Expect(deliveryKey(id), rev)
	b.Expect(publishKey(id), prev)
	if p.Phase == Completed {
		p.Phase, p.CompletedAt = Expanded, time.Time{}
		put(b, publishKey(id), p)
		b.Put(openKey(id), []byte{})
	}
	b.Send(channels.QueueName(r.Account, p.Lane), queue.Message{ID: id, Group: r.Group})
	if err := t.move(b, id, &r, cmdRedrive); err != nil {
		return err
	}
	_, err = t.store.Commit(ctx, id.Shard(), b)
	t.cache.forget(id)
	if errors.Is(err, queue.ErrConflict) {
		return nil // it moved meanwhile: the next step looks again
	}
	return err
}
