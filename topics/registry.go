package topics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
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
	if old.DisplayName != topic.DisplayName || old.OnUncertain != topic.OnUncertain {
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
		return Topic{}, rev, fmt.Errorf("topic %q: %w", name, ErrNotFound)
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

func list[T any](t *Topics, prefix, after []byte, limit int) ([]T, error) {
	out := []T{}
	var bad error
	err := t.store.Scan(queue.Registry, prefix, after, func(r queue.Record) bool {
		var v T
		if bad = json.Unmarshal(r.Value, &v); bad != nil {
			return false
		}
		if topic, ok := any(v).(Topic); !ok || !topic.Deleting {
			out = append(out, v)
		}
		return len(out) < limit
	})
	return out, errors.Join(err, bad)
}

// DeleteTopic removes a topic and its subscriptions. Deliveries under way go
// on for endpoints already handed over; the others end as cancelled.
func (t *Topics) DeleteTopic(ctx context.Context, o Owner, name string) error {
	if err := checkNotReserved("topic", name); err != nil {
		return err
	}
	// The mark comes first: from then on nobody subscribes.
	topic, rev, err := t.topic(o, name)
	if err != nil {
		return err
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

// deleteTopic removes a topic that is marked, and what is left of it.
func (t *Topics) deleteTopic(ctx context.Context, o Owner, name string) error {
	for {
		subs, err := list[Subscription](t, subscriptionsPrefix(o, name), nil, 500)
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		for _, s := range subs {
			removeSubscription(b, o, s)
		}
		if len(subs) < 500 {
			b.Remove(topicKey(o, name))
		}
		if _, err := t.store.Commit(ctx, queue.Registry, b); err != nil {
			return err
		}
		if len(subs) < 500 {
			return nil
		}
	}
}

// Subscribe makes a subscription. An endpoint that is subscribed already is
// returned with its first subscription; a disabled one is enabled again.
// Durable on return.
func (t *Topics) Subscribe(ctx context.Context, o Owner, s Subscription) (Subscription, error) {
	for {
		made, err := t.subscribe(ctx, o, s)
		if !errors.Is(err, queue.ErrConflict) { // subscribed or deleted at the same moment
			return made, err
		}
	}
}

func (t *Topics) subscribe(ctx context.Context, o Owner, s Subscription) (Subscription, error) {
	w := subscribing{Topics: t, owner: o}
	if err := w.expectTopic(s.Topic); err != nil {
		return s, err
	}
	made, err := w.add(s)
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
		made[i], errs[i] = w.add(s)
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
func (w *subscribing) add(s Subscription) (Subscription, error) {
	to, end, err := w.resolve(w.owner, Target{Protocol: s.Protocol, Endpoint: s.Endpoint, Account: s.Account}, "")
	if err != nil {
		return s, err
	}
	if len(s.Recipient) > maxRecipient {
		return s, invalid("recipient", fmt.Sprintf("must be at most %d bytes", maxRecipient))
	}
	s.Endpoint, s.Group, s.Account = end.Address, end.Group, to.Account
	unique := endpointKey(w.owner, s.Topic, s.Protocol, s.Account, s.Endpoint)
	if first, ok := w.added[string(unique)]; ok {
		return first, nil
	}
	id, _, err := get[queue.ID](w.store, queue.Registry, unique)
	switch {
	case err == nil:
		s, err = w.again(s.Topic, id)
	case errors.Is(err, ErrNotFound):
		err = nil
		s.ID, s.Created = w.store.NewID(0), w.store.Now().UTC()
		w.some = true
		w.b.Expect(unique, 0)
		put(&w.b, unique, s.ID)
		put(&w.b, subscriptionTopicKey(w.owner, s.ID), s.Topic)
		put(&w.b, subscriptionKey(w.owner, s.Topic, s.ID), s)
	}
	if err == nil && w.added != nil {
		w.added[string(unique)] = s
	}
	return s, err
}

// again is the subscription an endpoint has; one that was disabled is enabled.
func (w *subscribing) again(topic string, id queue.ID) (Subscription, error) {
	key := subscriptionKey(w.owner, topic, id)
	first, rev, err := get[Subscription](w.store, queue.Registry, key)
	if errors.Is(err, ErrNotFound) { // deleted at the same moment
		return first, queue.ErrConflict
	}
	if err == nil && first.Disabled != "" {
		w.some = true
		w.b.Expect(key, rev)
		first.Disabled = ""
		first.Created = w.store.Now().UTC() // registered anew: newer than the evidence against it
		put(&w.b, key, first)
	}
	return first, err
}

// maxRecipient bounds the name of a person, in bytes.
const maxRecipient = 256

// localQueue is the account of a queue of this gateway.
const localQueue = ""

// resolve checks a target and finds the account that serves it. The account is
// localQueue for a queue of this gateway.
func (t *Topics) resolve(o Owner, to Target, field string) (Target, channels.Endpoint, error) {
	if !knownProtocol(to.Protocol) {
		return to, channels.Endpoint{}, invalid(field+"protocol", "must be one of "+strings.Join(Protocols(), ", "))
	}
	if to.Protocol == SQS && to.Account == "" && !strings.Contains(to.Endpoint, "://") {
		return t.resolveQueue(o, to, field)
	}
	if to.Account == "" {
		to.Account = t.Accounts.Default(accountProtocol(to.Protocol))
	}
	info, ok := t.Accounts.Account(to.Account)
	switch {
	case to.Account == "":
		return to, channels.Endpoint{}, invalid(field+"protocol", "no account is configured for "+to.Protocol+"; add one to the configuration (accounts)")
	case !ok:
		return to, channels.Endpoint{}, invalid(field+"account", "there is no such account")
	case info.Protocol != accountProtocol(to.Protocol):
		return to, channels.Endpoint{}, invalid(field+"account", "is for "+info.Protocol+", not "+to.Protocol)
	}
	end, err := t.Accounts.CheckEndpoint(to.Account, to.Endpoint)
	if err != nil {
		return to, end, invalid(field+"endpoint", err.Error())
	}
	if (to.Protocol == HTTP || to.Protocol == HTTPS) && !strings.HasPrefix(end.Address, to.Protocol+"://") {
		return to, end, invalid(field+"endpoint", "must begin with "+to.Protocol+"://")
	}
	return to, end, nil
}

// Webhook is the protocol of the accounts that serve http and https.
const Webhook = "webhook"

func accountProtocol(protocol string) string {
	if protocol == HTTP || protocol == HTTPS {
		return Webhook
	}
	return protocol
}

// resolveQueue finds a queue of this gateway by name or ARN. One named by its
// ARN need not exist yet, as with SNS: what it does not get is a dead letter.
func (t *Topics) resolveQueue(o Owner, to Target, field string) (Target, channels.Endpoint, error) {
	name := to.Endpoint
	var missing error
	if arn := strings.Split(name, ":"); len(arn) == 6 && arn[0] == "arn" {
		o, name = Owner{Account: arn[4], Region: arn[3]}, arn[5]
	} else {
		_, missing = t.store.Queue(QueueName(o, name))
	}
	full := QueueName(o, name)
	if missing != nil {
		return to, channels.Endpoint{}, invalid(field+"endpoint", "there is no such queue here; a remote one is named by its URL")
	}
	to.Account = localQueue
	return to, channels.Endpoint{Address: full, Group: full}, nil
}

// ShownEndpoint is a subscription's endpoint as its owner knows it: a queue of
// this gateway by its name.
func ShownEndpoint(s Subscription) string {
	if s.Protocol == SQS && s.Account == localQueue {
		return s.Endpoint[strings.LastIndexByte(s.Endpoint, '/')+1:]
	}
	return s.Endpoint
}

// QueueName is the engine's name of a user's queue.
func QueueName(o Owner, name string) string { return "sqs/" + o.prefix() + name }

// Subscription looks one up by id.
func (t *Topics) Subscription(o Owner, id queue.ID) (Subscription, error) {
	topic, _, err := get[string](t.store, queue.Registry, subscriptionTopicKey(o, id))
	if err != nil {
		return Subscription{}, err
	}
	s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(o, topic, id))
	return s, err
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

// CountSubscriptions counts a topic's subscriptions; it reads all of them.
func (t *Topics) CountSubscriptions(o Owner, topic string) (confirmed, pending int, err error) {
	var bad error
	err = t.store.Scan(queue.Registry, subscriptionsPrefix(o, topic), nil, func(r queue.Record) bool {
		var s struct {
			Pending bool `json:"pending"`
		}
		if bad = json.Unmarshal(r.Value, &s); bad != nil {
			return false
		}
		if s.Pending {
			pending++
		} else {
			confirmed++
		}
		return true
	})
	return confirmed, pending, errors.Join(err, bad)
}

// Unsubscribe removes a subscription. Durable on return.
func (t *Topics) Unsubscribe(ctx context.Context, o Owner, id queue.ID) error {
	s, err := t.Subscription(o, id)
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	removeSubscription(b, o, s)
	_, err = t.store.Commit(ctx, queue.Registry, b)
	return err
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
