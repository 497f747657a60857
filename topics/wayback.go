package topics

import (
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// way is how a dead letter goes back to its queue, or why it does not.
type way struct {
	*loaded
	record   deliveryRecord
	revision uint64
	to       Subscription
	skip     string // why it is left as it is; "" if it may go
}

// wayBack looks how a dead letter would go as things stand now.
func (t *Topics) wayBack(id queue.ID) (w way, err error) {
	w.record, w.revision, err = get[deliveryRecord](t.store, id.Shard(), deliveryKey(id))
	if errors.Is(err, ErrNotFound) || (err == nil && w.record.State != Failed) {
		w.skip = "no dead letter any more"
		return w, nil
	}
	if err != nil {
		return w, err
	}
	w.loaded, err = t.load(id)
	if errors.Is(err, ErrNotFound) {
		w.skip = "its content is gone"
		return w, nil
	}
	if err != nil {
		return w, fmt.Errorf("redrive %s: %w", DeliveryName(id), err)
	}
	verdict := t.standing(&w.Publish)
	if verdict.Action == channels.Send {
		w.to, _, verdict = t.recipient(w.loaded, &w.record)
	}
	switch {
	case verdict.Action == channels.Retry:
		return w, fmt.Errorf("redrive %s: its subscription cannot be read", DeliveryName(id))
	case verdict.Action != channels.Send:
		w.skip = verdict.Reason
	case w.record.local():
		if _, err := t.store.Queue(w.to.Endpoint); err != nil {
			w.skip = "no such queue"
		}
	default:
		if _, ok := t.Accounts.Account(w.record.Account); !ok {
			w.skip = "no such account"
		}
	}
	return w, nil
}

// sendBack queues a dead letter again. A queue of this gateway gets the message
// itself, so that is delivered.
func (t *Topics) sendBack(b *queue.Batch, id queue.ID, w way) error {
	b.Expect(deliveryKey(id), w.revision)
	if w.record.local() {
		t.intoQueue(b, &w.Publish, &w.content, w.to, id)
		t.set(b, id, &w.record, Delivered)
		return nil
	}
	b.Send(channels.QueueName(w.record.Account, w.Lane), queue.Message{ID: id, Group: w.record.Group})
	return t.move(b, id, &w.record, cmdRedrive)
}

// reopen makes a publish one that runs, whose deliveries the batch queues
// again. It is written even if it runs: its completion, counted before this
// batch, must not hold.
func (t *Topics) reopen(b *queue.Batch, id queue.ID) error {
	p, rev, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if err != nil {
		return err
	}
	b.Expect(publishKey(id), rev)
	if p.Phase == Completed {
		p.Phase, p.CompletedAt = Expanded, time.Time{}
		b.Put(openKey(id), []byte{})
	}
	put(b, publishKey(id), p)
	return nil
}
