package topics

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Deactivated is a subscription that was ended and can be brought back.
type Deactivated struct {
	Subscription Subscription `json:"subscription"`
	At           time.Time    `json:"at"`
}

// deactivatedSweep is how many of those ended before one Deactivate looks at,
// to remove what is too old: more than it adds, so they do not pile up.
const deactivatedSweep = 100

// Deactivate ends a subscription as Unsubscribe does, and keeps it so that
// Reactivate can bring it back for as long as life; one that is ended already is
// given as it was. Durable on return.
func (t *Topics) Deactivate(ctx context.Context, o Owner, id queue.ID, life time.Duration) (Deactivated, error) {
	for {
		s, rev, err := t.subscription(o, id)
		if errors.Is(err, ErrNotFound) {
			return t.Deactivated(o, id)
		}
		if err != nil {
			return Deactivated{}, err
		}
		d := Deactivated{Subscription: s, At: t.store.Now().UTC()}
		d.Subscription.Replay = nil // a replay ends with it
		b := &queue.Batch{}
		b.Expect(subscriptionKey(o, s.Topic, id), rev)
		unsubscribe(b, o, s)
		put(b, deactivatedKey(o, id), d)
		if err := t.sweepDeactivated(b, o, d.At.Add(-life)); err != nil {
			return d, err
		}
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return d, err
		}
	}
}

// Deactivated looks up what Deactivate keeps.
func (t *Topics) Deactivated(o Owner, id queue.ID) (Deactivated, error) {
	d, _, err := get[Deactivated](t.store, queue.Registry, deactivatedKey(o, id))
	return d, err
}

// Reactivate brings a subscription back as it was. If its endpoint was
// subscribed anew meanwhile, that subscription stands and is given. Durable on
// return.
func (t *Topics) Reactivate(ctx context.Context, o Owner, id queue.ID) (Subscription, error) {
	for {
		d, rev, err := get[Deactivated](t.store, queue.Registry, deactivatedKey(o, id))
		if err != nil {
			return Subscription{}, err
		}
		s := d.Subscription
		w := subscribing{Topics: t, owner: o}
		topic, err := t.Topic(o, s.Topic)
		if err == nil && !topic.Created.Before(d.At) { // another of the same name
			err = ErrNotFound
		}
		if err == nil {
			err = w.expectTopic(s.Topic)
		}
		if err != nil {
			return s, err
		}
		unique := endpointKey(o, s.Topic, s.Protocol, s.Account, s.Endpoint)
		other, _, err := get[queue.ID](t.store, queue.Registry, unique)
		switch {
		case err == nil:
			s, err = w.again(s.Topic, other, func(*Subscription) error { return nil }) // whatever its settings
		case errors.Is(err, ErrNotFound):
			err = nil
			w.write(unique, s)
		}
		if err != nil && !errors.Is(err, queue.ErrConflict) {
			return s, err
		}
		if err == nil {
			w.b.Expect(deactivatedKey(o, id), rev)
			w.b.Remove(deactivatedKey(o, id))
			_, err = t.store.Commit(ctx, queue.Registry, &w.b)
		}
		if !errors.Is(err, queue.ErrConflict) {
			return s, err
		}
	}
}

// sweepDeactivated adds the removal of some that ended before a time.
func (t *Topics) sweepDeactivated(b *queue.Batch, o Owner, before time.Time) error {
	type ended struct {
		At time.Time `json:"at"`
	}
	n := 0
	for r, err := range each[ended](t.store.Scan, queue.Registry, deactivatedPrefix(o), nil) {
		if err != nil || n == deactivatedSweep {
			return err
		}
		if !r.value.At.After(before) {
			b.Remove(bytes.Clone(r.key))
		}
		n++
	}
	return nil
}
