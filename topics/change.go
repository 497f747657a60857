package topics

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

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
// subscription is confirmed, or once it is. One whose Disabled is taken away
// gets what is published from now on.
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
		if err := s.check(); err != nil {
			return err
		}
		switch {
		case was.Disabled != "" && s.Disabled == "":
			s.enable(t.store.Now())
		case was.Disabled == "" && s.Disabled != "":
			s.DisabledSince = t.store.Now().UTC()
		}
		var counts SubscriptionCounts
		counts.add(&was, -1)
		counts.add(s, 1)
		counts.write(b, o, was.Topic)
		s.ID, s.Topic, s.Protocol, s.Account, s.Endpoint, s.Group = was.ID, was.Topic, was.Protocol, was.Account, was.Endpoint, was.Group
		return t.startReplay(b, o, s)
	})
}

// What people write of a subscription, in bytes at most.
const maxRecipient, maxDisabled = 256, 256

// check tells what is wrong with what can be changed of a subscription.
func (s *Subscription) check() error {
	switch {
	case len(s.Recipient) > maxRecipient:
		return invalid("recipient", fmt.Sprintf("must be at most %d bytes", maxRecipient))
	case len(s.Disabled) > maxDisabled:
		return invalid("disabled", fmt.Sprintf("must be at most %d bytes", maxDisabled))
	}
	return nil
}

// enable lets a disabled subscription have what is published. It counts as
// registered anew: newer than the evidence against it.
func (s *Subscription) enable(now time.Time) {
	s.Disabled, s.DisabledSince, s.Created = "", time.Time{}, now.UTC()
}

// agrees tells, for an endpoint that is subscribed already, which of the
// settings that are named differ from those it has.
func (s *Subscription) agrees(first *Subscription) error {
	differs := ""
	switch {
	case first == nil:
	case s.Filter != nil && (first.Filter == nil || *s.Filter != *first.Filter):
		differs = "filter"
	case s.Raw && !first.Raw:
		differs = "raw"
	case s.Recipient != "" && s.Recipient != first.Recipient:
		differs = "recipient"
	case s.Retry != nil && !reflect.DeepEqual(s.Retry, first.Retry):
		differs = "retry"
	case s.DeadLetterQueue != "" && s.DeadLetterQueue != first.DeadLetterQueue:
		differs = "dead_letter_queue"
	}
	if differs == "" {
		return nil
	}
	return fmt.Errorf("%w: the endpoint is subscribed already with another %s; change that of %s", ErrConflict, differs, SubscriptionName(first.ID))
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
