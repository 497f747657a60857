package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Status is a publish with its ledger.
type Status struct {
	Publish
	Ledger Ledger
}

// Status reads a publish and its ledger. A publish of another owner is not found.
func (t *Topics) Status(o Owner, id queue.ID) (Status, error) {
	p, _, err := t.publish(o, id)
	if err != nil {
		return Status{}, err
	}
	l, err := t.ledger(id)
	return Status{Publish: p, Ledger: l}, err
}

func (t *Topics) publish(o Owner, id queue.ID) (Publish, uint64, error) {
	if id.Shard() >= t.store.Shards() {
		return Publish{}, 0, fmt.Errorf("publish %s: %w", PublishName(id), ErrNotFound)
	}
	p, rev, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if errors.Is(err, ErrNotFound) || (err == nil && p.Owner != o) {
		return Publish{}, 0, fmt.Errorf("publish %s: %w", PublishName(id), ErrNotFound)
	}
	return p, rev, err
}

// Deliveries lists a publish's deliveries in order, those behind after, at
// most limit; only those in one of the states, if any is named.
func (t *Topics) Deliveries(o Owner, id, after queue.ID, limit int, only ...State) ([]Delivery, error) {
	if _, _, err := t.publish(o, id); err != nil {
		return nil, err
	}
	return t.deliveries(id, after, limit, only)
}

func (t *Topics) deliveries(id, after queue.ID, limit int, only []State) ([]Delivery, error) {
	var from []byte
	if !after.IsZero() {
		from = deliveryKey(after)
	}
	out := []Delivery{}
	for r, err := range each[deliveryRecord](t.store.Scan, id.Shard(), deliveriesPrefix(id), from) {
		if err != nil {
			return nil, err
		}
		if len(only) == 0 || slices.Contains(only, r.value.State) {
			out = append(out, r.value.show(idOf(r.key)))
		}
		if len(out) >= limit {
			break
		}
	}
	return out, nil
}

// Attempts lists a delivery's failed attempts, oldest first.
func (t *Topics) Attempts(o Owner, id queue.ID) (Delivery, []FailedAttempt, error) {
	if _, _, err := t.publish(o, id); err != nil {
		return Delivery{}, nil, err
	}
	r, _, err := get[deliveryRecord](t.store, id.Shard(), deliveryKey(id))
	if err != nil {
		return Delivery{}, nil, fmt.Errorf("delivery %s: %w", DeliveryName(id), err)
	}
	list := []FailedAttempt{}
	for a, err := range each[FailedAttempt](t.store.Scan, id.Shard(), attemptsPrefix(id), nil) {
		if err != nil {
			return Delivery{}, nil, err
		}
		list = append(list, a.value)
	}
	return r.show(id), list, nil
}

// SetControl pauses, resumes or cancels a publish. It holds from the next
// hand-off on; attempts under way finish. Durable on return.
func (t *Topics) SetControl(ctx context.Context, o Owner, id queue.ID, c Control) (Publish, error) {
	for {
		p, err := t.setControl(ctx, o, id, c)
		if !errors.Is(err, queue.ErrConflict) {
			return p, err
		}
	}
}

func (t *Topics) setControl(ctx context.Context, o Owner, id queue.ID, c Control) (Publish, error) {
	p, rev, err := t.publish(o, id)
	if err != nil {
		return p, err
	}
	if p.Phase == CalledOff && c == Stopped {
		return p, nil
	}
	if p.Phase.over() || (p.Control == Stopped && c != Stopped) {
		return p, fmt.Errorf("%w: the publish is %s", ErrState, endOf(p))
	}
	b := &queue.Batch{}
	b.Expect(publishKey(id), rev)
	p.Control = c
	if c == Stopped && !p.Archived.IsZero() { // no replay brings what was called back
		b.Remove(archiveKey(p.Owner, p.Topic, p.Archived))
		p.Archived = queue.ID{}
	}
	if c == Stopped && p.Phase == Scheduled {
		if err := t.callOff(b, &p); err != nil {
			return p, err
		}
	}
	put(b, publishKey(id), p)
	if _, err := t.store.Commit(ctx, id.Shard(), b); err != nil {
		return p, err
	}
	t.cache.forget(id)
	if c != Paused {
		if _, err := t.release(ctx, p); err != nil {
			return p, err
		}
	}
	t.noteClosed(id)
	return p, nil
}

func endOf(p Publish) string {
	if p.Phase == Completed {
		return string(Completed)
	}
	return string(p.Control)
}

// release queues a publish's held deliveries again, or cancels them with it.
func (t *Topics) release(ctx context.Context, p Publish) (released int, err error) {
	var after []byte
	for {
		var held []queue.ID
		err := t.store.Scan(p.ID.Shard(), heldPrefix(p.ID), after, func(r queue.Record) bool {
			held = append(held, idOf(r.Key))
			return len(held) < 500
		})
		if err != nil || len(held) == 0 {
			return released, err
		}
		err = t.releaseSome(ctx, p, held)
		switch {
		case errors.Is(err, queue.ErrConflict): // one moved meanwhile: the page is read again
		case err != nil:
			return released, err
		default:
			released += len(held)
			after = heldKey(held[len(held)-1])
		}
	}
}

func (t *Topics) releaseSome(ctx context.Context, p Publish, held []queue.ID) error {
	b := &queue.Batch{}
	for _, id := range held {
		r, rev, err := get[deliveryRecord](t.store, id.Shard(), deliveryKey(id))
		if err != nil {
			return err
		}
		b.Expect(deliveryKey(id), rev)
		if p.Control == Stopped {
			err = t.move(b, id, &r, cmdCancel)
		} else {
			b.Send(channels.QueueName(r.Account, p.Lane), queue.Message{ID: id, Group: r.Group})
			err = t.move(b, id, &r, cmdRelease)
		}
		if errors.Is(err, errCommand) {
			return queue.ErrConflict // it is held no more
		}
		if err != nil {
			return err
		}
	}
	_, err := t.store.Commit(ctx, p.ID.Shard(), b)
	return err
}
