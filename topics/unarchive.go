package topics

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Unarchive takes a publish out of its topic's archive, whatever became of it: no
// replay brings it any more, and what replays brought of it and did not send yet
// is cancelled. ErrNotFound if there is neither. Durable on return; one that was
// cut off is finished by the next.
func (t *Topics) Unarchive(ctx context.Context, o Owner, topic string, id queue.ID) error {
	if _, err := t.Topic(o, topic); err != nil {
		return err
	}
	missing := fmt.Errorf("publish %s in the archive of topic %q: %w", PublishName(id), topic, ErrNotFound)
	if id.Shard() >= t.store.Shards() {
		return missing
	}
	key, err := t.findArchived(o, topic, id)
	if err != nil {
		return err
	}
	if key != nil { // first: then no replay brings it again
		b := &queue.Batch{}
		b.Remove(key)
		if _, err := t.store.Commit(ctx, id.Shard(), b); err != nil {
			return err
		}
	}
	cancelled, err := t.cancelRepeats(ctx, o, topic, id)
	if err == nil && key == nil && cancelled == 0 {
		return missing
	}
	return err
}

// findArchived is where a publish is in its topic's archive; nil if it is not.
// One that was sent at a time lies behind its id, and is looked for if its ledger
// is not kept any more.
func (t *Topics) findArchived(o Owner, topic string, id queue.ID) ([]byte, error) {
	p, _, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if errors.Is(err, ErrNotFound) {
		return t.searchArchive(o, topic, id)
	}
	if err != nil {
		return nil, err
	}
	key := archiveKey(o, topic, p.Archived)
	if _, err = t.store.Get(id.Shard(), key); errors.Is(err, queue.ErrNotFound) {
		return nil, nil
	}
	return key, err
}

func (t *Topics) searchArchive(o Owner, topic string, id queue.ID) ([]byte, error) {
	type named struct {
		ID queue.ID `json:"id"`
	}
	for r, err := range each[named](t.store.Scan, id.Shard(), archivePrefix(o, topic), archiveTime(o, topic, id.Time())) {
		if err != nil {
			return nil, err
		}
		if r.value.ID == id {
			return bytes.Clone(r.key), nil
		}
	}
	return nil, nil
}

// cancelRepeats cancels what replays brought of a publish and has work left. It
// lives where the publish does.
func (t *Topics) cancelRepeats(ctx context.Context, o Owner, topic string, id queue.ID) (n int, err error) {
	var after []byte
	for {
		page, err := t.openPage(id.Shard(), after)
		if err != nil || len(page) == 0 {
			return n, err
		}
		after = openKey(page[len(page)-1])
		for _, open := range page {
			p, _, err := t.publish(o, open)
			if errors.Is(err, ErrNotFound) || (err == nil && (p.Original == nil || p.Original.ID != id || p.Topic != topic || p.Control == Stopped)) {
				continue
			}
			if err == nil {
				_, err = t.SetControl(ctx, o, open, Stopped)
			}
			switch {
			case err == nil:
				n++
			case !errors.Is(err, ErrState): // it just completed
				return n, err
			}
		}
	}
}
