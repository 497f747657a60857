package topics

import (
	"context"
	"errors"
	"fmt"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Subscribe makes a subscription. An endpoint that is subscribed already is
// returned with its first subscription; a disabled one is enabled again. One
// that has other settings than those named is ErrConflict. Durable on return.
func (t *Topics) Subscribe(ctx context.Context, o Owner, s Subscription) (Subscription, error) {
	return t.SubscribeIf(ctx, o, s, s.agrees)
}

// SubscribeIf is Subscribe for a face with rules of its own: agrees is asked about
// the subscription the endpoint has, nil if there is none yet, and its error is
// returned with nothing written.
func (t *Topics) SubscribeIf(ctx context.Context, o Owner, s Subscription, agrees func(first *Subscription) error) (Subscription, error) {
	for {
		made, err := t.subscribe(ctx, o, s, agrees)
		if !errors.Is(err, queue.ErrConflict) { // subscribed or deleted at the same moment
			return made, err
		}
	}
}

func (t *Topics) subscribe(ctx context.Context, o Owner, s Subscription, agrees func(first *Subscription) error) (Subscription, error) {
	w := subscribing{Topics: t, owner: o}
	if err := w.expectTopic(s.Topic); err != nil {
		return s, err
	}
	made, err := w.add(s, agrees)
	if err != nil || !w.some {
		return made, err
	}
	_, err = t.store.Commit(ctx, queue.Registry, &w.b)
	return made, err
}

// SubscribeAll is Subscribe for many of one topic: the good ones are made in
// one write, whatever the others are. Errs has what was wrong with each; err is
// the store's word on all that are not made.
func (t *Topics) SubscribeAll(ctx context.Context, o Owner, topic string, all []Subscription) (made []Subscription, errs []error, err error) {
	made, errs = make([]Subscription, len(all)), make([]error, len(all))
	w := subscribing{Topics: t, owner: o, added: map[string]Subscription{}}
	if err := w.expectTopic(topic); err != nil {
		return nil, nil, err
	}
	for i, s := range all {
		s.Topic = topic
		made[i], errs[i] = w.add(s, s.agrees)
		if errors.Is(errs[i], queue.ErrConflict) { // deleted at the same moment
			made[i], errs[i] = t.Subscribe(ctx, o, s)
		}
	}
	if !w.some {
		return made, errs, nil
	}
	_, err = t.store.Commit(ctx, queue.Registry, &w.b)
	if !errors.Is(err, queue.ErrConflict) && !errors.Is(err, queue.ErrInvalid) {
		return made, errs, err
	}
	for i, s := range all { // one was subscribed at the same moment, or they are too large together
		if errs[i] == nil {
			s.Topic = topic
			if made[i], err = t.Subscribe(ctx, o, s); err != nil {
				return made, errs, err
			}
		}
	}
	return made, errs, nil
}

// subscribing gathers subscriptions for one write.
type subscribing struct {
	*Topics
	owner Owner
	b     queue.Batch
	some  bool                    // there is something to write
	added map[string]Subscription // by unique key; nil if there is only one
}

// expectTopic has the write fail if the topic is deleted meanwhile.
func (w *subscribing) expectTopic(name string) error {
	_, rev, err := w.topic(w.owner, name)
	w.b.Expect(topicKey(w.owner, name), rev)
	return err
}

// add checks a subscription and adds its writes, unless it is there already.
func (w *subscribing) add(s Subscription, agrees func(first *Subscription) error) (Subscription, error) {
	to, end, err := w.resolve(w.owner, Target{Protocol: s.Protocol, Endpoint: s.Endpoint, Account: s.Account}, "")
	if err != nil {
		return s, err
	}
	if err := s.check(); err != nil {
		return s, err
	}
	s.Endpoint, s.Group, s.Account = end.Address, end.Group, to.Account
	unique := endpointKey(w.owner, s.Topic, s.Protocol, s.Account, s.Endpoint)
	if first, ok := w.added[string(unique)]; ok {
		return first, agrees(&first)
	}
	id, _, err := get[queue.ID](w.store, queue.Registry, unique)
	switch {
	case err == nil:
		s, err = w.again(s.Topic, id, agrees)
	case errors.Is(err, ErrNotFound):
		if err = agrees(nil); err != nil {
			return s, err
		}
		s.ID, s.Created = w.store.NewID(0), w.store.Now().UTC()
		if err = w.startReplay(&w.b, w.owner, &s); err != nil {
			return s, err
		}
		w.write(unique, s)
	}
	if err == nil && w.added != nil {
		w.added[string(unique)] = s
	}
	return s, err
}

// write adds the records of a subscription whose endpoint has none.
func (w *subscribing) write(unique []byte, s Subscription) {
	w.some = true
	w.b.Expect(unique, 0)
	put(&w.b, unique, s.ID)
	put(&w.b, subscriptionTopicKey(w.owner, s.ID), s.Topic)
	put(&w.b, subscriptionKey(w.owner, s.Topic, s.ID), s)
	var counts SubscriptionCounts
	counts.add(&s, 1)
	counts.write(&w.b, w.owner, s.Topic)
}

// again is the subscription an endpoint has; one that was disabled is enabled.
func (w *subscribing) again(topic string, id queue.ID, agrees func(first *Subscription) error) (Subscription, error) {
	key := subscriptionKey(w.owner, topic, id)
	first, rev, err := get[Subscription](w.store, queue.Registry, key)
	if errors.Is(err, ErrNotFound) { // deleted at the same moment
		return first, queue.ErrConflict
	}
	if err == nil {
		err = agrees(&first)
	}
	if err == nil && first.Disabled != "" {
		w.some = true
		w.b.Expect(key, rev)
		first.enable(w.store.Now())
		put(&w.b, key, first)
	}
	return first, err
}

// Subscription looks one up by id.
func (t *Topics) Subscription(o Owner, id queue.ID) (Subscription, error) {
	s, _, err := t.subscription(o, id)
	return s, err
}

func (t *Topics) subscription(o Owner, id queue.ID) (s Subscription, revision uint64, err error) {
	topic, _, err := get[string](t.store, queue.Registry, subscriptionTopicKey(o, id))
	if err == nil {
		s, revision, err = get[Subscription](t.store, queue.Registry, subscriptionKey(o, topic, id))
	}
	if err != nil {
		return s, 0, fmt.Errorf("subscription %s: %w", SubscriptionName(id), err)
	}
	return s, revision, nil
}

// Subscriptions lists a topic's subscriptions in order of creation, those
// behind after, at most limit.
func (t *Topics) Subscriptions(o Owner, topic string, after queue.ID, limit int) ([]Subscription, error) {
	if _, err := t.Topic(o, topic); err != nil {
		return nil, err
	}
	var from []byte
	if !after.IsZero() {
		from = subscriptionKey(o, topic, after)
	}
	return list[Subscription](t, subscriptionsPrefix(o, topic), from, limit)
}

// AllSubscriptions lists the subscriptions of all topics, by topic and in order
// of creation, those behind after, at most limit.
func (t *Topics) AllSubscriptions(o Owner, after *Subscription, limit int) ([]Subscription, error) {
	var from []byte
	if after != nil {
		from = subscriptionKey(o, after.Topic, after.ID)
	}
	return list[Subscription](t, []byte(o.prefix()+"s/"), from, limit)
}

// Unsubscribe removes a subscription. Durable on return.
func (t *Topics) Unsubscribe(ctx context.Context, o Owner, id queue.ID) error {
	for {
		s, rev, err := t.subscription(o, id)
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		b.Expect(subscriptionKey(o, s.Topic, id), rev) // it is counted once
		unsubscribe(b, o, s)
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return err
		}
	}
}

// unsubscribe adds the writes that remove a subscription and count it.
func unsubscribe(b *queue.Batch, o Owner, s Subscription) {
	removeSubscription(b, o, s)
	counts := SubscriptionCounts{Deleted: 1}
	counts.add(&s, -1)
	counts.write(b, o, s.Topic)
}

func removeSubscription(b *queue.Batch, o Owner, s Subscription) {
	b.Remove(subscriptionKey(o, s.Topic, s.ID))
	b.Remove(subscriptionTopicKey(o, s.ID))
	b.Remove(endpointKey(o, s.Topic, s.Protocol, s.Account, s.Endpoint))
}

// disable marks a subscription's endpoint dead, unless it was registered anew
// after the provider's evidence.
func (t *Topics) disable(ctx context.Context, o Owner, topic string, id queue.ID, err *channels.Error) error {
	key := subscriptionKey(o, topic, id)
	s, rev, e := get[Subscription](t.store, queue.Registry, key)
	if errors.Is(e, ErrNotFound) {
		return nil
	}
	if e != nil {
		return e
	}
	if s.Disabled != "" || (!err.Since.IsZero() && s.Created.After(err.Since)) {
		return nil
	}
	s.Disabled, s.DisabledSince = err.Provider+": "+err.Code, t.store.Now().UTC()
	b := &queue.Batch{}
	b.Expect(key, rev)
	put(b, key, s)
	if topic != EventsTopic {
		t.note(b, o, Event{
			Event: EndpointDisabled, Topic: topic, Subscription: SubscriptionName(id), Protocol: s.Protocol, Account: s.Account,
			Kind: err.Kind.String(), Code: err.Code,
		})
	}
	b.After(func() { t.m.disabled.WithLabelValues(accountProtocol(s.Protocol), err.Kind.String()).Inc() })
	_, e = t.store.Commit(ctx, queue.Registry, b)
	return e
}
