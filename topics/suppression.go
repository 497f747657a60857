package topics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Suppression forbids deliveries to an endpoint: a consent record. It forbids
// all of them, or, with Topic, those that come by this topic, or, with Lane,
// those published to the endpoint itself in this lane.
type Suppression struct {
	Protocol string        `json:"protocol"`
	Endpoint string        `json:"endpoint"`
	Topic    string        `json:"topic,omitempty"`
	Lane     channels.Lane `json:"lane,omitempty"`
	Reason   string        `json:"reason"`
	Created  time.Time     `json:"created"`
}

// What bounds a reason, and an endpoint, which is a key of the store, in bytes.
const (
	maxReason     = 256
	maxSuppressed = 2048
)

// Suppress records a suppression; it holds from the next hand-off on. One that
// stands already is returned as it is: the first word is the evidence. Durable
// on return.
func (t *Topics) Suppress(ctx context.Context, o Owner, s Suppression) (Suppression, error) {
	s, err := t.checkSuppression(s)
	if err != nil {
		return s, err
	}
	old, err := t.Suppression(o, s)
	if !errors.Is(err, ErrNotFound) {
		return old, err
	}
	s.Created = t.store.Now().UTC()
	b := &queue.Batch{}
	put(b, suppressionKey(o, s), s)
	t.note(b, o, Event{
		Event: SuppressionAdded, Protocol: s.Protocol, Endpoint: s.Endpoint, Topic: s.Topic, Lane: s.Lane, Reason: s.Reason,
	})
	_, err = t.store.Commit(ctx, queue.Registry, b)
	return s, err
}

// checkSuppression checks a suppression's fields and gives its endpoint the
// normal form.
func (t *Topics) checkSuppression(s Suppression) (Suppression, error) {
	switch {
	case !knownProtocol(s.Protocol):
		return s, invalid("protocol", aProtocol())
	case s.Endpoint == "":
		return s, invalid("endpoint", "is missing")
	case len(s.Endpoint) > maxSuppressed:
		return s, invalid("endpoint", fmt.Sprintf("must be at most %d bytes, not %d", maxSuppressed, len(s.Endpoint)))
	case s.Topic != "" && s.Lane != "":
		return s, invalid("lane", "is for what is published to the endpoint itself: give topic or lane, not both")
	case len(s.Reason) > maxReason:
		return s, invalid("reason", fmt.Sprintf("must be at most %d bytes, not %d", maxReason, len(s.Reason)))
	}
	if s.Topic != "" {
		if err := checkName("topic", s.Topic); err != nil {
			return s, err
		}
	}
	if err := checkLane(laneOf(s.Lane)); err != nil {
		return s, err
	}
	if account := t.Accounts.Default(accountProtocol(s.Protocol)); account != "" {
		end, err := t.Accounts.CheckEndpoint(account, s.Endpoint)
		if err != nil {
			return s, invalid("endpoint", err.Error())
		}
		s.Endpoint = end.Address
	}
	return s, nil
}

// Unsuppress lifts the suppression of this endpoint with this Topic or Lane;
// others of the endpoint stay. Durable on return.
func (t *Topics) Unsuppress(ctx context.Context, o Owner, s Suppression) error {
	s, err := t.checkSuppression(s)
	if err != nil {
		return err
	}
	if _, err := t.Suppression(o, s); err != nil {
		return fmt.Errorf("suppression of this protocol, endpoint, topic and lane: %w", err)
	}
	b := &queue.Batch{}
	b.Remove(suppressionKey(o, s))
	_, err = t.store.Commit(ctx, queue.Registry, b)
	return err
}

// Suppression is the record of this endpoint, in its normal form, with this
// Topic or Lane; ErrNotFound if there is none.
func (t *Topics) Suppression(o Owner, s Suppression) (Suppression, error) {
	found, _, err := get[Suppression](t.store, queue.Registry, suppressionKey(o, s))
	return found, err
}

// Suppressions lists them by protocol and endpoint; after is the last one of
// the page before.
func (t *Topics) Suppressions(o Owner, after *Suppression, limit int) ([]Suppression, error) {
	var from []byte
	if after != nil {
		from = suppressionKey(o, *after)
	}
	return list[Suppression](t, []byte(o.prefix()+"u/"), from, limit)
}

// suppressed says why a publish must not reach an endpoint; "" if it may.
func (t *Topics) suppressed(p Publish, s Subscription) (why string, err error) {
	all := Suppression{Protocol: s.Protocol, Endpoint: s.Endpoint}
	for _, c := range []struct {
		record Suppression
		why    string
	}{{all, "suppressed"}, {all.only(p), "unsubscribed"}} {
		_, err := t.store.Get(queue.Registry, suppressionKey(p.Owner, c.record))
		if !errors.Is(err, queue.ErrNotFound) {
			return c.why, err
		}
	}
	return "", nil
}

// only is the suppression of no more than what comes the way a publish came.
func (s Suppression) only(p Publish) Suppression {
	if s.Topic = p.Topic; p.Topic == "" {
		s.Lane = p.Lane
	}
	return s
}
