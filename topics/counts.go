package topics

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/fanfare-gateway/fanfare/queue"
)

// SubscriptionCounts says how many subscriptions a topic has.
type SubscriptionCounts struct {
	Confirmed, Pending int
	Deleted            int // since the topic was made
	filtered           int // of the confirmed and the pending, those with a filter
}

func (c SubscriptionCounts) all() int { return c.Confirmed + c.Pending }

// CountSubscriptions counts a topic's subscriptions. O(1): the counters are
// written with each change of a subscription.
func (t *Topics) CountSubscriptions(o Owner, topic string) (c SubscriptionCounts, err error) {
	prefix := subscriptionsPrefix(o, topic)
	err = t.store.Counters(queue.Registry, prefix, func(key []byte, n int64) bool {
		*c.by(key[len(prefix)]) = int(n)
		return true
	})
	return c, err
}

// What is counted of a topic's subscriptions.
const (
	countConfirmed = 'c'
	countDeleted   = 'd'
	countFiltered  = 'f'
	countPending   = 'p'
)

func (c *SubscriptionCounts) by(what byte) *int {
	switch what {
	case countConfirmed:
		return &c.Confirmed
	case countPending:
		return &c.Pending
	case countFiltered:
		return &c.filtered
	}
	return &c.Deleted
}

// add counts a subscription n times.
func (c *SubscriptionCounts) add(s *Subscription, n int) {
	if s.Pending {
		c.Pending += n
	} else {
		c.Confirmed += n
	}
	if s.Filter != nil {
		c.filtered += n
	}
}

// write adds the counts to the counters of a topic.
func (c *SubscriptionCounts) write(b *queue.Batch, o Owner, topic string) {
	for _, what := range []byte{countConfirmed, countDeleted, countFiltered, countPending} {
		if n := *c.by(what); n != 0 {
			b.Add(subscriptionCounter(o, topic, what), int64(n))
		}
	}
}

// countedKey is the record of a store whose subscriptions are counted.
var countedKey = []byte("subscriptions-counted")

// countOnce counts the subscriptions of a store that comes from a version
// without counters. Until it is through it begins anew; nobody else writes yet.
func (t *Topics) countOnce(ctx context.Context) error {
	if _, err := t.store.Get(queue.Registry, countedKey); !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	type name struct {
		Owner
		topic string
	}
	counts := map[name]*SubscriptionCounts{}
	var bad error
	err := t.store.Scan(queue.Registry, nil, nil, func(r queue.Record) bool {
		o, topic, _, ok := parseSubscriptionKey(string(r.Key))
		if !ok {
			return true
		}
		c := counts[name{o, topic}]
		if c == nil {
			c = &SubscriptionCounts{}
			counts[name{o, topic}] = c
		}
		var s Subscription
		bad = json.Unmarshal(r.Value, &s)
		c.add(&s, 1)
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	for n, c := range counts {
		have, err := t.CountSubscriptions(n.Owner, n.topic)
		if err != nil {
			return err
		}
		c.Confirmed, c.Pending, c.filtered = c.Confirmed-have.Confirmed, c.Pending-have.Pending, c.filtered-have.filtered
		b := &queue.Batch{}
		c.write(b, n.Owner, n.topic)
		b.Unsynced()
		if _, err := t.store.Commit(ctx, queue.Registry, b); err != nil {
			return err
		}
	}
	b := &queue.Batch{} // makes the others durable, too
	b.Put(countedKey, []byte{})
	_, err = t.store.Commit(ctx, queue.Registry, b)
	return err
}

// parseSubscriptionKey reads a key of subscriptionKey; ok is false for others.
func parseSubscriptionKey(key string) (o Owner, topic string, id queue.ID, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 5 || parts[2] != "s" {
		return o, "", id, false
	}
	id, err := queue.ParseID(parts[4])
	return Owner{Account: parts[0], Region: parts[1]}, parts[3], id, err == nil
}

func subscriptionCounter(o Owner, topic string, what byte) []byte {
	return append(subscriptionsPrefix(o, topic), what)
}
