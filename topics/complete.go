package topics

import (
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Settled tells that deliveries may have reached their final state; their
// publishes are looked at for completion soon. Safe for concurrent use.
func (t *Topics) Settled(ids ...queue.ID) {
	for _, id := range ids {
		t.noteClosed(id)
	}
}

func (t *Topics) noteClosed(id queue.ID) {
	t.mu.Lock()
	t.closed[id.WithOrdinal(0)] = struct{}{}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// complete stamps publishes whose deliveries are all final. What a crash left
// unstamped is found in the index of open publishes at the start.
func (t *Topics) complete(ctx context.Context) error {
	if err := t.completeOpen(ctx); err != nil {
		return err
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-t.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := t.completeClosed(ctx); err != nil {
			return err
		}
		// Many outcomes of one publish fall together: look at it once.
		pause.Reset(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// completeOpen looks at all open publishes, page by page: there may be millions
// that wait. What closes meanwhile is looked at with the next page.
func (t *Topics) completeOpen(ctx context.Context) error {
	for shard := range t.store.Shards() {
		for after, more := []byte(nil), true; more; {
			page, err := t.openPage(shard, after)
			if more = err == nil && len(page) > 0; more {
				after = openKey(page[len(page)-1])
			}
			t.Settled(page...) // those before what cannot be read, too
			if err := t.passOver(err, "work", "completion", "shard", shard); err != nil {
				return err
			}
			if err := t.completeClosed(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// openPage is the open publishes of a shard behind a key, some at a time.
func (t *Topics) openPage(shard int, after []byte) (page []queue.ID, err error) {
	err = t.store.Scan(shard, []byte{'o'}, after, func(r queue.Record) bool {
		page = append(page, idOf(r.Key))
		return len(page) < 1000
	})
	return page, err
}

// completeClosed looks at the publishes that were noted. It fails if ctx has ended.
func (t *Topics) completeClosed(ctx context.Context) error {
	t.mu.Lock()
	ids := t.closed
	t.closed = map[queue.ID]struct{}{}
	t.mu.Unlock()
	for id := range ids {
		err := t.passOver(t.completeOne(ctx, id), "work", "completion", "publish", PublishName(id))
		if err != nil && !errors.Is(err, queue.ErrConflict) {
			return err
		}
	}
	return ctx.Err()
}

func (t *Topics) completeOne(ctx context.Context, id queue.ID) error {
	// The publish first: once it is expanded, deliveries are opened again only
	// with a write to it. A ledger read before could be one without audience yet.
	p, rev, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	l, err := t.ledger(id)
	if err == nil && l[Held] > 0 {
		_, err = t.releaseIfFree(ctx, id)
	}
	if err != nil || l.Open() > 0 {
		return err
	}
	needed := l[Failed]+l[Sent] > 0 // a redrive or a receipt may have it sent again
	if p.Phase == Completed && !needed {
		return t.dropContent(ctx, id, rev)
	}
	if p.Phase != Expanded {
		return nil
	}
	b := &queue.Batch{}
	b.Expect(publishKey(id), rev)
	if !needed {
		b.Remove(contentKey(id))
	}
	p.Phase, p.CompletedAt = Completed, t.store.Now().UTC()
	put(b, publishKey(id), p)
	b.Remove(openKey(id))
	b.Send(retentionQueue, queue.Message{ID: id, At: p.CompletedAt.Add(t.Retention)})
	t.emitCompleted(b, &p, l)
	_, err = t.store.Commit(ctx, id.Shard(), b)
	if err == nil {
		t.cache.forget(id)
		t.log.Debug("publish completed", "publish", PublishName(id), "deliveries", l.Sum())
	}
	return err
}

// dropContent removes the content of a publish that was complete before the
// last evidence came.
func (t *Topics) dropContent(ctx context.Context, id queue.ID, rev uint64) error {
	_, err := t.store.Get(id.Shard(), contentKey(id))
	if errors.Is(err, queue.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	b := &queue.Batch{}
	b.Expect(publishKey(id), rev)
	b.Remove(contentKey(id))
	_, err = t.store.Commit(ctx, id.Shard(), b)
	t.cache.forget(id)
	return err
}

// forgetPublish removes a publish whose ledger was kept long enough. A redrive
// meanwhile has opened it again: then its next completion counts.
func (t *Topics) forgetPublish(ctx context.Context, m queue.Received) error {
	id := m.ID
	p, rev, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if errors.Is(err, ErrNotFound) || (err == nil && (!p.Phase.over() || t.store.Now().Sub(p.CompletedAt) < t.Retention)) {
		return t.discard(ctx, m)
	}
	if err != nil {
		return err
	}
	if done, err := t.forgetDeliveries(ctx, id, rev); err != nil || !done {
		return errors.Join(err, t.later(ctx, m, 0))
	}
	b := &queue.Batch{}
	b.Expect(publishKey(id), rev)
	b.Delete(m.Handle)
	b.Remove(publishKey(id))
	b.Remove(contentKey(id))
	b.RemovePrefix(append([]byte{'l'}, id.Prefix()...))
	if p.Key != nil {
		r, rev, err := get[idempotencyRecord](t.store, id.Shard(), p.Key)
		if err == nil && r.Publish == id { // a later publish may have taken the key
			b.Expect(p.Key, rev)
			b.Remove(p.Key)
		}
	}
	_, err = t.store.Commit(ctx, id.Shard(), b)
	return err
}

// forgetDeliveries removes a page of a publish's deliveries with their attempts.
// A publish that was opened again at the same moment keeps them.
func (t *Topics) forgetDeliveries(ctx context.Context, id queue.ID, rev uint64) (done bool, err error) {
	page, err := t.deliveries(id, queue.ID{}, 500, nil)
	if err != nil || len(page) == 0 {
		return true, err
	}
	b := &queue.Batch{}
	b.Expect(publishKey(id), rev)
	for _, d := range page {
		r, rev, err := get[deliveryRecord](t.store, id.Shard(), deliveryKey(d.ID))
		if err != nil {
			return false, err
		}
		b.Expect(deliveryKey(d.ID), rev)
		if r.State == Failed {
			t.dropCause(b, &r, d.ID)
		}
		b.Remove(deliveryKey(d.ID))
		b.Add(ledgerKey(d.ID, r.State), -1)
		for n := 1; n <= r.Failures; n++ {
			b.Remove(attemptKey(d.ID, n))
		}
	}
	_, err = t.store.Commit(ctx, id.Shard(), b)
	return false, err
}
