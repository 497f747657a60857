package topics

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/fanfare-gateway/fanfare/queue"
)

// send publishes a page again, to this subscription alone; all is false if it
// came to something that must wait.
func (r *replaying) send(ctx context.Context, page [][]archiveEntry) (all bool, err error) {
	all = true
	for shard, entries := range page {
		b := &queue.Batch{}
		b.Intake()
		sent, n, err := r.again(b, shard, entries)
		if err != nil {
			return false, err
		}
		all = all && n == len(entries)
		if n == 0 {
			continue
		}
		key, place := replayKey(r.sub.Replay.ID), entries[n-1].key
		b.Expect(key, r.revisions[shard])
		b.Put(key, place)
		revision, err := r.store.CommitApplied(ctx, shard, b) // before anything new of its group is sent
		if err != nil {
			return false, err
		}
		r.places[shard], r.revisions[shard] = place, revision
		r.Settled(sent...)
	}
	return all, nil
}

// again adds the publishes that repeat those of the first n entries the
// subscription wants. What has passed its deadline is not sent again, nor is
// what is taken out of the archive at this moment. A queue of this gateway gets
// all at once, so it waits before a publish that is paused; what goes elsewhere
// waits by itself, and holds up nothing.
func (r *replaying) again(b *queue.Batch, shard int, entries []archiveEntry) (sent []queue.ID, n int, err error) {
	now := r.store.Now().UTC()
	local := r.sub.Protocol == SQS && r.sub.Account == localQueue
	for i, e := range entries {
		var a archived
		if err := json.Unmarshal(e.value, &a); err != nil {
			return nil, 0, fmt.Errorf("replay %s: %w", PublishName(archiveID(e.key)), err)
		}
		wanted, err := r.audience(&a.Content).wanted(&r.sub)
		if err != nil {
			return nil, 0, err
		}
		if !wanted || !a.ExpiresAt.IsZero() && !a.ExpiresAt.After(now) {
			continue
		}
		if local && r.controlOf(a.ID) == Paused {
			return sent, i, nil
		}
		b.Expect(e.key, e.revision)
		id := r.store.NewID(shard)
		r.repeat(b, id, &a)
		sent = append(sent, id)
	}
	return sent, len(entries), nil
}

// repeat adds a publish of what was archived to this subscription alone.
func (r *replaying) repeat(b *queue.Batch, id queue.ID, a *archived) {
	p := Publish{
		ID: id, Owner: r.owner, Topic: r.sub.Topic, Lane: a.Lane, OnUncertain: a.OnUncertain, Phase: Expanded,
		Template: a.Template, TemplateVersion: a.TemplateVersion, Created: r.store.Now().UTC(), ExpiresAt: a.ExpiresAt, Next: 1,
		Original: &Original{ID: a.ID, Created: a.Created, Asked: r.sub.Replay.Asked.Time()},
	}
	put(b, contentKey(p.ID), a.Content)
	b.Put(openKey(p.ID), []byte{})
	r.enqueue(b, &p, &a.Content, r.sub)
	put(b, publishKey(p.ID), p)
}
