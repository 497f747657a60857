package topics

import (
	"context"
	"errors"

	"github.com/fanfare-gateway/fanfare/queue"
)

// ChangeTopic applies change to a topic as it stands, again if it was changed
// at the same moment; an error of change is returned and nothing is written.
// The name stays. Durable on return.
func (t *Topics) ChangeTopic(ctx context.Context, o Owner, name string, change func(*Topic) error) (Topic, error) {
	if err := checkNotReserved("topic", name); err != nil {
		return Topic{}, err
	}
	return changeRecord(ctx, t, topicKey(o, name), func(_ *queue.Batch, topic *Topic) error {
		if topic.Deleting {
			return ErrNotFound
		}
		if err := change(topic); err != nil {
			return err
		}
		topic.Name = name
		return topic.setArchive(t.store.Now())
	})
}

// ChangeSubscription is ChangeTopic for a subscription; what it ties together
// (topic, protocol, endpoint) stays. A Replay that is new begins, if its
// subscription is confirmed, or once it is.
func (t *Topics) ChangeSubscription(ctx context.Context, o Owner, id queue.ID, change func(*Subscription) error) (Subscription, error) {
	s, err := t.Subscription(o, id)
	if err != nil {
		return s, err
	}
	return changeRecord(ctx, t, subscriptionKey(o, s.Topic, id), func(b *queue.Batch, s *Subscription) error {
		was := *s
		if err := change(s); err != nil {
			return err
		}
		var counts SubscriptionCounts
		counts.add(&was, -1)
		counts.add(s, 1)
		counts.write(b, o, was.Topic)
		s.ID, s.Topic, s.Protocol, s.Account, s.Endpoint, s.Group = was.ID, was.Topic, was.Protocol, was.Account, was.Endpoint, was.Group
		return t.startReplay(b, o, s)
	})
}

func changeRecord[T any](ctx context.Context, t *Topics, key []byte, change func(*queue.Batch, *T) error) (T, error) {
	for {
		b := &queue.Batch{}
		v, revision, err := get[T](t.store, queue.Registry, key)
		if err == nil {
			err = change(b, &v)
		}
		if err != nil {
			return v, err
		}
		b.Expect(key, revision)
		put(b, key, v)
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return v, err
		}
	}
}
