package topics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// EventsTopic is the reserved topic of the status events. Every owner has one:
// anybody may subscribe to it, nobody else publishes to it. An event is an
// ordinary publish whose message is an Event in JSON and whose attribute
// "event" is its name. Deliveries of events have no events themselves, and
// nothing is written while nobody is subscribed.
const EventsTopic = "fanfare.events"

const reservedPrefix = "fanfare."

// The events.
const (
	// PublishCompleted: all deliveries of a publish are final; its ledger is there.
	PublishCompleted = "publish.completed"
	// DeliveryFailed: a delivery became a dead letter. A publish has about ten of
	// these at most; the ledger of its completion counts them all.
	DeliveryFailed = "delivery.failed"
	// EndpointDisabled: a provider said that a subscription's endpoint is gone, or
	// a platform endpoint's token: then the event names it by its Path.
	EndpointDisabled = "endpoint.disabled"
	// SuppressionAdded: an endpoint must not be contacted any more. It is the one
	// event that names an address.
	SuppressionAdded = "suppression.added"
	// AccountPaused and AccountResumed: a provider's account stopped working
	// (state paused or faulted) or works again. They go to the topic of
	// DefaultOwner, and may be lost when the process ends at that moment.
	AccountPaused  = "account.paused"
	AccountResumed = "account.resumed"
)

// Events are the names of all events.
func Events() []string {
	return []string{PublishCompleted, DeliveryFailed, EndpointDisabled, SuppressionAdded, AccountPaused, AccountResumed}
}

// Event is the message of a status event. Besides its name and time it has what
// that event is about.
type Event struct {
	Event        string        `json:"event"`
	Time         time.Time     `json:"time"`
	Publish      string        `json:"publish_id,omitempty"`
	Topic        string        `json:"topic,omitempty"`
	Lane         channels.Lane `json:"lane,omitempty"`
	Ledger       Ledger        `json:"ledger,omitempty" doc:"deliveries by state"`
	Delivery     string        `json:"delivery_id,omitempty"`
	Subscription string        `json:"subscription_id,omitempty"`
	Protocol     string        `json:"protocol,omitempty"`
	Endpoint     string        `json:"endpoint,omitempty"`
	Account      string        `json:"account,omitempty"`
	State        string        `json:"state,omitempty" doc:"of the account"`
	Kind         string        `json:"kind,omitempty"`
	Code         string        `json:"code,omitempty"`
	Reason       string        `json:"reason,omitempty"`
}

// eventsOfFailures is how many failed deliveries of a publish have an event.
const eventsOfFailures = 10

// listeners remembers which owners' events are subscribed to, as of a revision
// of the registry.
type listeners struct {
	mu       sync.Mutex
	revision uint64
	known    map[Owner]bool
}

// listened tells whether anybody is subscribed to an owner's events.
func (t *Topics) listened(o Owner) bool {
	revision := t.store.Revision(queue.Registry) // first: what is found is not older
	t.listeners.mu.Lock()
	defer t.listeners.mu.Unlock()
	if t.listeners.revision != revision || t.listeners.known == nil {
		t.listeners.revision, t.listeners.known = revision, map[Owner]bool{}
	}
	some, ok := t.listeners.known[o]
	if ok {
		return some
	}
	err := t.store.Scan(queue.Registry, subscriptionsPrefix(o, EventsTopic), nil, func(queue.Record) bool {
		some = true
		return false
	})
	if err != nil {
		return false // the store is closing
	}
	t.listeners.known[o] = some
	return some
}

// emit adds the publish of an event to a batch of a data shard, if anybody
// listens.
func (t *Topics) emit(b *queue.Batch, shard int, o Owner, e Event) {
	if !t.listened(o) {
		return
	}
	if e.Time.IsZero() {
		e.Time = t.store.Now().UTC()
	}
	text, _ := json.Marshal(e) // strings, numbers and a time: cannot fail
	t.tell(b, shard, o, EventsTopic, content{
		Message: string(text), Attributes: map[string]channels.Attribute{"event": {Type: "String", Value: e.Event}},
	})
}

// tell adds a publish of the gateway's own to a batch of a data shard. The
// expander finds its audience.
func (t *Topics) tell(b *queue.Batch, shard int, o Owner, topic string, c content) {
	p := Publish{
		ID: t.store.NewID(shard), Owner: o, Topic: topic, Lane: channels.Transactional, Phase: Expanding,
		Created: t.store.Now().UTC(), Audience: t.store.NewID(0), Next: 1, Notice: true,
	}
	put(b, contentKey(p.ID), c)
	put(b, publishKey(p.ID), p)
	b.Put(openKey(p.ID), []byte{})
	b.Send(expandQueue, queue.Message{ID: p.ID, Group: p.ID.Hex()})
}

// emitCompleted adds the event of a publish's completion to the batch that
// completes it.
func (t *Topics) emitCompleted(b *queue.Batch, p *Publish, l Ledger) {
	if p.Topic == EventsTopic {
		return
	}
	t.emit(b, p.ID.Shard(), p.Owner, Event{
		Event: PublishCompleted, Time: p.CompletedAt, Publish: PublishName(p.ID), Topic: p.Topic, Ledger: l,
	})
}

// emitFailed adds the event of a dead letter to the batch that makes it one,
// unless the publish has had enough of them.
func (t *Topics) emitFailed(b *queue.Batch, p *Publish, id queue.ID, r *deliveryRecord) {
	if p.Topic == EventsTopic || !t.listened(p.Owner) {
		return
	}
	if n, err := t.store.Counter(id.Shard(), ledgerKey(id, Failed)); err != nil || n >= eventsOfFailures {
		return
	}
	e := Event{
		Event: DeliveryFailed, Time: r.At, Publish: PublishName(id), Topic: p.Topic, Delivery: DeliveryName(id),
		Protocol: r.Protocol, Account: r.Account, Kind: r.Kind, Code: r.Code, Reason: r.Reason,
	}
	if !r.Sub.IsZero() {
		e.Subscription = SubscriptionName(r.Sub)
	}
	t.emit(b, id.Shard(), p.Owner, e)
}

// AccountChanged tells of a provider's account that works no more, or again. It
// returns when the event is durable.
func (t *Topics) AccountChanged(s channels.AccountState) {
	e := Event{Event: AccountPaused, Account: s.Name, Protocol: s.Protocol, State: s.State, Code: s.Code, Reason: s.Reason}
	if s.State == channels.Active {
		e.Event = AccountResumed
	}
	b := &queue.Batch{}
	shard := t.store.NextShard()
	t.emit(b, shard, DefaultOwner, e)
	if b.Len() == 0 {
		return
	}
	if _, err := t.store.Commit(context.Background(), shard, b); err != nil {
		t.log.Error("event could not be written", "event", e.Event, "account", s.Name, "error", err)
	}
}

// noted is an event of a change to the registry, which holds no queues: it is
// written with the change and published from there, at least once.
type noted struct {
	Owner Owner `json:"owner"`
	Event Event `json:"event"`
	// Notice, if it has a topic, is published instead of an event.
	Notice Notice `json:"notice,omitzero"`
}

// notes are the gateway's own, so its own account and region are in front.
var notes = []byte("fanfare/local/v/")

// note adds an event to a batch of the registry, if anybody listens.
func (t *Topics) note(b *queue.Batch, o Owner, e Event) {
	if t.listened(o) {
		e.Time = t.store.Now().UTC()
		put(b, t.newNoteKey(), noted{Owner: o, Event: e})
	}
}

func (t *Topics) newNoteKey() []byte {
	return append(notes[:len(notes):len(notes)], t.store.NewID(0).Hex()...)
}

// publishNotes publishes what note left, as it comes.
func (t *Topics) publishNotes(ctx context.Context) error {
	changed, stop := t.store.Watch(queue.Registry, notes)
	defer stop()
	for {
		for more := true; more; {
			var err error
			if more, err = t.publishSomeNotes(ctx); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Topics) publishSomeNotes(ctx context.Context) (more bool, err error) {
	shard := t.store.NextShard()
	events, done := &queue.Batch{}, &queue.Batch{}
	for r, err := range each[noted](t.store.Scan, queue.Registry, notes, nil) {
		if err != nil {
			return false, err
		}
		if n := r.value; n.Notice.Topic != "" {
			t.tell(events, shard, n.Owner, n.Notice.Topic, content{Subject: n.Notice.Subject, Message: n.Notice.Message})
		} else {
			t.emit(events, shard, n.Owner, n.Event)
		}
		done.Remove(bytes.Clone(r.key))
		if done.Len() == 100 {
			break
		}
	}
	if done.Len() == 0 {
		return false, nil
	}
	if events.Len() > 0 {
		if _, err := t.store.Commit(ctx, shard, events); err != nil {
			return false, fmt.Errorf("publish events: %w", err)
		}
	}
	_, err = t.store.Commit(ctx, queue.Registry, done)
	return true, err
}

// checkNotReserved refuses what is the gateway's own.
func checkNotReserved(field, topic string) error {
	if strings.HasPrefix(topic, reservedPrefix) {
		return invalid(field, "must not begin with "+reservedPrefix+": those topics are the gateway's own")
	}
	return nil
}
