package topics

import (
	"context"
	"errors"
	"fmt"

	"github.com/fanfare-gateway/fanfare/queue"
)

// CreateTopic makes a topic; one of the same name and content is returned as
// it is, with other content ErrConflict. Durable on return.
func (t *Topics) CreateTopic(ctx context.Context, o Owner, topic Topic) (Topic, error) {
	if err := checkName("name", topic.Name); err != nil {
		return Topic{}, err
	}
	if err := checkNotReserved("name", topic.Name); err != nil {
		return Topic{}, err
	}
	switch topic.OnUncertain {
	case OnUncertainDefault, Resend, HoldUncertain, DropUncertain:
	default:
		return Topic{}, invalid("on_uncertain", "must be resend, hold or drop")
	}
	topic.Created = t.store.Now().UTC()
	if err := topic.setArchive(topic.Created); err != nil {
		return Topic{}, err
	}
	key := topicKey(o, topic.Name)
	b := &queue.Batch{}
	b.Expect(key, 0)
	put(b, key, topic)
	_, err := t.store.Commit(ctx, queue.Registry, b)
	if !errors.Is(err, queue.ErrConflict) {
		return topic, err
	}
	old, _, err := get[Topic](t.store, queue.Registry, key)
	if errors.Is(err, ErrNotFound) || old.Deleting { // its end comes first
		if err := t.deleteTopic(ctx, o, topic.Name); err != nil {
			return Topic{}, err
		}
		return t.CreateTopic(ctx, o, topic)
	}
	if err != nil {
		return Topic{}, err
	}
	if old.DisplayName != topic.DisplayName || old.OnUncertain != topic.OnUncertain || old.ArchiveDays != topic.ArchiveDays {
		return Topic{}, fmt.Errorf("%w: topic %s exists with other settings", ErrConflict, topic.Name)
	}
	return old, nil
}

// Topic looks a topic up.
func (t *Topics) Topic(o Owner, name string) (Topic, error) {
	topic, _, err := t.topic(o, name)
	return topic, err
}

// topic reads a topic and its revision. One that is being deleted is not found.
func (t *Topics) topic(o Owner, name string) (Topic, uint64, error) {
	if name == EventsTopic {
		return Topic{Name: EventsTopic, DisplayName: "Status events"}, 0, nil
	}
	topic, rev, err := get[Topic](t.store, queue.Registry, topicKey(o, name))
	if errors.Is(err, ErrNotFound) || topic.Deleting {
		return Topic{}, rev, fmt.Errorf("topic %.256q: %w", name, ErrNotFound)
	}
	return topic, rev, err
}

// Topics lists topics in order of name, those behind after, at most limit.
func (t *Topics) Topics(o Owner, after string, limit int) ([]Topic, error) {
	var from []byte
	if after != "" {
		from = topicKey(o, after)
	}
	return list[Topic](t, topicKey(o, ""), from, limit)
}

// list reads records behind after, at most limit; all if that is negative.
func list[T any](t *Topics, prefix, after []byte, limit int) ([]T, error) {
	out := []T{}
	for r, err := range each[T](t.store.Scan, queue.Registry, prefix, after) {
		if err != nil {
			return nil, err
		}
		if topic, ok := any(&r.value).(*Topic); !ok || !topic.Deleting {
			out = append(out, r.value)
		}
		if len(out) == limit {
			break
		}
	}
	return out, nil
}

// DeleteTopic removes a topic and its subscriptions. Deliveries under way go
// on for endpoints already handed over; the others end as cancelled. One with
// an archive is not removed (ErrState).
func (t *Topics) DeleteTopic(ctx context.Context, o Owner, name string) error {
	if err := checkNotReserved("topic", name); err != nil {
		return err
	}
	// The mark comes first: from then on nobody subscribes.
	topic, rev, err := t.topic(o, name)
	if err != nil {
		return err
	}
	if topic.ArchiveDays > 0 {
		return fmt.Errorf("%w: the topic %s has an archive; end that first", ErrState, name)
	}
	topic.Deleting = true
	b := &queue.Batch{}
	b.Expect(topicKey(o, name), rev)
	put(b, topicKey(o, name), topic)
	if _, err := t.store.Commit(ctx, queue.Registry, b); err != nil {
		if errors.Is(err, queue.ErrConflict) {
			return t.DeleteTopic(ctx, o, name) // changed at the same moment
		}
		return err
	}
	return t.deleteTopic(ctx, o, name)
}

// deleteTopic removes a topic that is marked, and what is left of it. It ends
// when another call was first: the name may be a new topic's by then.
func (t *Topics) deleteTopic(ctx context.Context, o Owner, name string) error {
	topic, rev, err := get[Topic](t.store, queue.Registry, topicKey(o, name))
	if errors.Is(err, ErrNotFound) || (err == nil && !topic.Deleting) {
		return nil
	}
	if err != nil {
		return err
	}
	for {
		subs, err := list[Subscription](t, subscriptionsPrefix(o, name), nil, 500)
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		b.Expect(topicKey(o, name), rev)
		for _, s := range subs {
			removeSubscription(b, o, s)
		}
		if len(subs) < 500 {
			b.Remove(topicKey(o, name))
			b.RemovePrefix(subscriptionsPrefix(o, name)) // its counters
		}
		_, err = t.store.Commit(ctx, queue.Registry, b)
		if errors.Is(err, queue.ErrConflict) {
			return nil
		}
		if err != nil || len(subs) < 500 {
			return err
		}
	}
}
