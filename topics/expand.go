package topics

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Run works in the background until ctx ends: it indexes subscriptions, expands
// broadcasts, fires scheduled publishes, settles uncertain deliveries, redrives,
// replays, completes publishes, publishes events, sweeps archives, removes deleted templates and audits. It
// returns the first error that is not ctx's. What cannot be read of the store is
// told and ends nothing.
func (t *Topics) Run(ctx context.Context) error {
	if err := t.passOver(t.releaseStranded(ctx), "work", "release"); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for name, work := range map[string]func(context.Context, queue.Received) error{
		expandQueue:    t.expand,
		scheduleQueue:  t.fire,
		uncertainQueue: t.settleUncertain,
		redriveQueue:   t.redriveOn,
		replayQueue:    t.replay,
		retentionQueue: t.forgetPublish,
	} {
		g.Go(func() error { return t.work(ctx, name, work) })
	}
	g.Go(func() error { return t.makeIndexes(ctx) })
	for name, work := range map[string]func(context.Context) error{
		"completion": t.complete,
		"audit":      t.audit,
		"archives":   t.sweepArchives,
		"templates":  t.sweepTemplates,
		"notes":      t.publishNotes,
	} {
		g.Go(func() error { return t.keepOn(ctx, name, work) })
	}
	err := g.Wait()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// work receives from one of topics' own queues and hands each entry to do: first
// those the process before this one had begun with, whose leases still run. What
// was received is done also when ctx ends: the next start would wait for it. An
// entry whose work failed comes back when its lease ends.
func (t *Topics) work(ctx context.Context, name string, do func(context.Context, queue.Received) error) error {
	for begun := true; ctx.Err() == nil; {
		var batch []queue.Received
		var err error
		if begun {
			batch, err = t.store.Orphans(ctx, name, 10, time.Minute)
			begun = len(batch) > 0
		} else {
			batch, err = t.store.Receive(ctx, name, queue.ReceiveOptions{Max: 10, Wait: time.Minute, PerGroup: 1})
		}
		if err != nil {
			return err
		}
		for _, r := range batch {
			received := context.WithoutCancel(ctx)
			err := do(received, r)
			switch {
			case errors.Is(err, queue.ErrConflict): // what it works on moved at the same moment: look again
				err = t.later(received, r, 0)
			case errors.Is(err, queue.ErrNotFound): // a queue it sends to was deleted at the same moment
				err = t.later(received, r, goneWait)
			}
			switch {
			case err == nil, errors.Is(err, queue.ErrStaleHandle):
			case errors.Is(err, queue.ErrStoreFailed), errors.Is(err, queue.ErrClosed), ctx.Err() != nil:
				return err
			default:
				t.log.Error("background work failed, will be tried again", "queue", name, "publish", r.ID, "error", err)
			}
		}
	}
	return ctx.Err()
}

// goneWait is the pause before work is done again that sent to a deleted queue.
const goneWait = 100 * time.Millisecond

// later gives an entry back for a while.
func (t *Topics) later(ctx context.Context, r queue.Received, d time.Duration) error {
	b := &queue.Batch{}
	b.Unsynced()
	b.Retry(r.Handle, t.store.Now().Add(d), true)
	_, err := t.store.Commit(ctx, r.ID.Shard(), b)
	return err
}

// discard deletes an entry that has no work left.
func (t *Topics) discard(ctx context.Context, r queue.Received) error {
	b := &queue.Batch{}
	b.Delete(r.Handle)
	_, err := t.store.Commit(ctx, r.ID.Shard(), b)
	return err
}

// fire starts a scheduled publish: its audience is taken now.
func (t *Topics) fire(ctx context.Context, r queue.Received) error {
	p, rev, err := get[Publish](t.store, r.ID.Shard(), publishKey(r.ID))
	if errors.Is(err, ErrNotFound) || (err == nil && p.Phase != Scheduled) {
		return t.discard(ctx, r)
	}
	if err != nil {
		return err
	}
	if p.Control == Paused {
		return t.later(ctx, r, time.Second)
	}
	c, _, err := get[content](t.store, r.ID.Shard(), contentKey(r.ID))
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Expect(publishKey(p.ID), rev)
	b.Delete(r.Handle)
	topic, leave, err := t.enter(p.Owner, p.Topic)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	defer leave()
	p.Audience, p.Phase = t.store.NewID(0), Expanding // before its place in the archive, as in accept
	if topic.ArchiveDays > 0 && p.Control != Stopped {
		p.Archived = t.store.NewID(p.ID.Shard())
	}
	if p.Control == Stopped {
		p.Phase = Expanded
	} else if err := t.begin(b, &p, &c); err != nil {
		return err
	}
	return t.commitExpansion(ctx, b, &p)
}

// expand writes the next chunk of a broadcast: its entries and the moved
// cursor are one batch, so a crash resumes exactly there.
func (t *Topics) expand(ctx context.Context, r queue.Received) error {
	p, rev, err := get[Publish](t.store, r.ID.Shard(), publishKey(r.ID))
	if errors.Is(err, ErrNotFound) || (err == nil && p.Phase != Expanding) {
		return t.discard(ctx, r)
	}
	if err != nil {
		return err
	}
	if p.Control == Paused {
		return t.later(ctx, r, 500*time.Millisecond)
	}
	room, err := t.room(p.ID)
	if err != nil {
		return err
	}
	if room <= 0 && p.Control != Stopped {
		return t.later(ctx, r, 100*time.Millisecond)
	}
	b := &queue.Batch{}
	b.Expect(publishKey(p.ID), rev)
	if err := t.chunk(b, &p, r, room); err != nil {
		return err
	}
	return t.commitExpansion(ctx, b, &p)
}

// commitExpansion writes what b adds to a publish, with its record.
func (t *Topics) commitExpansion(ctx context.Context, b *queue.Batch, p *Publish) error {
	put(b, publishKey(p.ID), p)
	_, err := t.store.Commit(ctx, p.ID.Shard(), b)
	t.cache.forget(p.ID)
	t.noteClosed(p.ID)
	return err
}

// chunk adds the next chunk's entries to b and moves the publish on.
func (t *Topics) chunk(b *queue.Batch, p *Publish, r queue.Received, room int) error {
	if p.Control == Stopped {
		p.Phase = Expanded
		b.Delete(r.Handle)
		return nil
	}
	c, _, err := get[content](t.store, r.ID.Shard(), contentKey(r.ID))
	if err != nil {
		return err
	}
	m, err := t.match(p, &c, limits{candidates: t.Chunk, matches: min(t.Chunk, room)})
	if err != nil {
		return err
	}
	for _, s := range m.found {
		t.enqueue(b, p, &c, s)
	}
	p.Cursor = m.cursor
	if m.done {
		p.Phase = Expanded
		b.Delete(r.Handle)
	} else {
		b.Retry(r.Handle, t.store.Now(), true)
	}
	return nil
}

// room is how many more entries of the publish may wait in the queues; those
// waiting for a retry are not counted.
func (t *Topics) room(id queue.ID) (int, error) {
	l, err := t.ledger(id)
	if err != nil {
		return 0, err
	}
	waiting, err := t.store.Counter(id.Shard(), waitingKey(id))
	return t.Ahead - int(l[Queued]+l[Sending]-waiting), err
}
