package topics

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// index finds those subscriptions of a topic that want a message, so that a
// publish costs what its matches cost, however many subscriptions there are.
//
// It is never stale. The store tells of a changed subscription before anybody
// can read the change (queue.Store.Follow): before the call that made it
// returns, and so before every publish whose audience has it. The change is
// marked then, and who uses the index first reads anew what is marked. An index
// is known before its subscriptions are read for the first time, so what
// changes meanwhile is marked, too.
//
// What it names is taken in order of key behind the publish's cursor, as when
// all are walked: an expander goes on from its cursor whether the topic still
// has an index or not.
type index struct {
	name topicName
	mu   sync.Mutex    // held while it is brought up to date
	wish *filter.Index // nil: not made yet

	// Guarded by indexes.mu.
	marked map[queue.ID]struct{} // changed since they were read
	size   int                   // subscriptions, about
	used   time.Time             // last
	asked  bool                  // the indexer is to work on it
	made   bool                  // it was, once
}

type topicName struct {
	Owner
	topic string
}

// enlist takes a subscription in as it stands now.
func (t *Topics) enlist(wish *filter.Index, s *Subscription) error {
	if s.Disabled != "" || s.Pending {
		wish.Remove(filter.ID(s.ID))
		return nil
	}
	var f Filter // takes everything
	if s.Filter != nil {
		f = *s.Filter
	}
	p, err := t.policies.get(f)
	if err == nil {
		wish.Set(filter.ID(s.ID), p)
	}
	return err
}

// refresh reads at most so many marked subscriptions anew and gives the index
// to match with; nil if it is not made yet.
func (t *Topics) refresh(x *index, most int) (*filter.Index, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.wish == nil {
		return nil, nil
	}
	ids := t.indexes.take(x, most)
	for _, id := range ids {
		s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(x.name.Owner, x.name.topic, id))
		switch {
		case errors.Is(err, ErrNotFound):
			x.wish.Remove(filter.ID(id))
			err = nil
		case err == nil:
			err = t.enlist(x.wish, &s)
		}
		if err != nil { // what was marked is not known any more
			x.wish = nil
			t.indexes.drop(x)
			return nil, err
		}
	}
	if len(ids) > 0 {
		t.indexes.made(x, x.wish.Len())
	}
	return x.wish, nil
}

// indexOf gives the topic's index, true as of now. It is nil if the topic is
// better walked, or if the indexer has still to work on it: a publish does not
// wait for that.
func (t *Topics) indexOf(o Owner, topic string) (*filter.Index, error) {
	x := t.indexes.get(topicName{o, topic})
	if x == nil {
		filtered, err := t.store.Counter(queue.Registry, subscriptionCounter(o, topic, countFiltered))
		if err != nil || filtered <= int64(t.Matches) {
			return nil, err
		}
		counts, err := t.CountSubscriptions(o, topic)
		if err != nil || 4*counts.filtered < 3*counts.all() { // the others match anyway
			return nil, err
		}
		x = t.indexes.add(topicName{o, topic}, counts.all())
	}
	if x == nil || t.indexes.behind(x, t.Candidates) {
		return nil, nil
	}
	return t.refresh(x, math.MaxInt)
}

// makeIndexes is the indexer: it makes indexes and brings those up to date that
// many changes have left behind.
func (t *Topics) makeIndexes(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case x := <-t.indexes.wanted:
			if err := t.makeIndex(ctx, x); err != nil {
				t.indexes.drop(x)
				if errors.Is(err, queue.ErrStoreFailed) || errors.Is(err, queue.ErrClosed) || ctx.Err() != nil {
					return err
				}
				t.log.Error("subscriptions of a topic could not be indexed, its publishes read all of them", "topic", x.name.topic, "error", err)
			}
		}
	}
}

func (t *Topics) makeIndex(ctx context.Context, x *index) error {
	for t.indexes.working(x) {
		wish, err := t.refresh(x, t.Chunk)
		if wish == nil && err == nil {
			err = t.fill(ctx, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Topics) fill(ctx context.Context, x *index) error {
	wish := filter.NewIndex()
	for r, err := range each[Subscription](t.store.Scan, queue.Registry, subscriptionsPrefix(x.name.Owner, x.name.topic), nil) {
		if err == nil {
			err = errors.Join(t.enlist(wish, &r.value), ctx.Err())
		}
		if err != nil {
			return err
		}
	}
	x.mu.Lock()
	x.wish = wish
	x.mu.Unlock()
	t.indexes.made(x, wish.Len())
	return nil
}

// pick is match by the topic's index; ok is false if the subscriptions have to
// be walked.
func (t *Topics) pick(p *Publish, message *filter.Message, most limits) (m matched, ok bool, err error) {
	wish, err := t.indexOf(p.Owner, p.Topic)
	if wish == nil {
		return m, false, err
	}
	enough := min(wish.Len()/4, 16*t.Chunk) // beyond, to walk a chunk costs less than to find all again
	if most.whole {
		enough = most.matches
	}
	_, _, after, _ := parseSubscriptionKey(string(p.Cursor))
	var ids []queue.ID
	wish.Match(message, func(id filter.ID) bool {
		if bytes.Compare(id[:], after[:]) > 0 && bytes.Compare(id[:], p.Audience[:]) <= 0 {
			ids = append(ids, queue.ID(id))
		}
		return len(ids) <= enough
	})
	if len(ids) > enough {
		return m, most.whole, nil
	}
	slices.SortFunc(ids, func(a, b queue.ID) int { return bytes.Compare(a[:], b[:]) })
	m.cursor = p.Cursor
	for _, id := range ids {
		if len(m.found) == most.matches {
			return m, true, nil
		}
		key := subscriptionKey(p.Owner, p.Topic, id)
		s, _, err := get[Subscription](t.store, queue.Registry, key)
		if errors.Is(err, ErrNotFound) { // deleted just now
			continue
		}
		if err != nil {
			return m, true, err
		}
		m.found, m.cursor = append(m.found, s), key
	}
	m.done = true
	return m, true, nil
}
