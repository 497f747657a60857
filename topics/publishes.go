package topics

import (
	"slices"
	"strings"

	"github.com/fanfare-gateway/fanfare/queue"
)

// PublishFilter narrows a list of publishes; the zero value of a field does not.
type PublishFilter struct {
	Topic string
	Phase Phase
}

func (f PublishFilter) match(o Owner, p *Publish) bool {
	if f.Topic == "" && p.Topic == EventsTopic {
		return false // they are listed when they are asked for
	}
	return p.Owner == o && (f.Topic == "" || p.Topic == f.Topic) && (f.Phase == "" || p.Phase == f.Phase)
}

// publishesLooked bounds how many publishes one page looks at.
const publishesLooked = 10_000

// Publishes lists an owner's publishes with their ledgers, newest first: those
// accepted before the publish before (zero: from the newest), at most limit.
// Status events are listed only if their topic is asked for. A page looks at a
// bounded number and may be short, even empty: next is where it goes on, zero
// at the end.
func (t *Topics) Publishes(o Owner, f PublishFilter, before queue.ID, limit int) (page []Status, next queue.ID, err error) {
	var found []Publish
	for shard := range t.store.Shards() {
		some, end, err := t.publishesOf(shard, o, f, before, limit)
		if err != nil {
			return nil, next, err
		}
		found = append(found, some...)
		if newer(end, next) < 0 {
			next = end // older ones of this shard were not looked at
		}
	}
	found = slices.DeleteFunc(found, func(p Publish) bool { return newer(p.ID, next) > 0 })
	slices.SortFunc(found, func(a, b Publish) int { return newer(a.ID, b.ID) })
	if len(found) > limit {
		found = found[:limit]
		next = found[limit-1].ID
	}
	page = make([]Status, len(found))
	for i, p := range found {
		l, err := t.ledger(p.ID)
		if err != nil {
			return nil, next, err
		}
		page[i] = Status{Publish: p, Ledger: l}
	}
	return page, next, nil
}

// newer orders ids by time, the newest first.
func newer(a, b queue.ID) int { return strings.Compare(string(b[:]), string(a[:])) }

// publishesOf looks through one shard. End is the last publish looked at; zero
// if there are no more.
func (t *Topics) publishesOf(shard int, o Owner, f PublishFilter, before queue.ID, limit int) (found []Publish, end queue.ID, err error) {
	var from []byte
	if !before.IsZero() {
		from = publishKey(before)
	}
	looked := 0
	for r, err := range each[Publish](t.store.ScanBack, shard, []byte{'p'}, from) {
		if err != nil || looked == publishesLooked/t.store.Shards() || len(found) == limit {
			return found, end, err
		}
		looked++
		if end = r.value.ID; f.match(o, &r.value) {
			found = append(found, r.value)
		}
	}
	return found, queue.ID{}, nil
}
