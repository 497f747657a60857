package topics

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Bounds of a step of a redrive.
const (
	redriveBatch = 500 // dead letters one batch goes through
	redriveStep  = 100 * time.Millisecond
)

// redriveOn queues what is due of a redrive and moves it on.
func (t *Topics) redriveOn(ctx context.Context, m queue.Received) error {
	r, rev, err := t.redriveRecord(m.ID)
	if errors.Is(err, ErrNotFound) {
		return t.discard(ctx, m)
	}
	if err != nil {
		return err
	}
	if !r.Ended.IsZero() {
		return t.forgetRedrive(ctx, m, r)
	}
	err = t.redriveDue(ctx, &r)
	if errors.Is(err, queue.ErrConflict) {
		return t.later(ctx, m, redriveStep) // something moved meanwhile: look again
	}
	if err != nil {
		return err
	}
	next := t.store.Now().UTC().Add(redriveStep)
	if r.Shard == t.store.Shards() {
		r.Ended = next
	} else if r.Due.After(next) {
		next = r.Due
	}
	b := &queue.Batch{}
	b.Expect(redriveKey(r.ID), rev)
	put(b, redriveKey(r.ID), r)
	b.Retry(m.Handle, next, true)
	_, err = t.store.Commit(ctx, 0, b)
	return err
}

// redriveDue queues as many dead letters as are due and may go. It looks at a
// bounded number: those that may not go take nothing of the rate.
func (t *Topics) redriveDue(ctx context.Context, r *redriveRecord) error {
	due := r.take(t.store.Now())
	for looked := 0; due > 0 && r.Shard < t.store.Shards() && looked < 10*redriveBatch; {
		if err := t.placeOf(r); err != nil {
			return err
		}
		found, err := t.nextDead(r, redriveBatch)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			r.Shard++
			continue
		}
		looked += len(found)
		queued, err := t.redriveSome(ctx, r, found, due)
		if err != nil {
			return err
		}
		due -= queued
	}
	return nil
}

// placeOf reads where a redrive stands in its shard.
func (t *Topics) placeOf(r *redriveRecord) error {
	place, err := t.store.Get(r.Shard, redrivePlaceKey(r.ID))
	if errors.Is(err, queue.ErrNotFound) {
		err = nil
	}
	r.after = place.Value
	return err
}

// take is how many deliveries are due, and notes when the next one is. What was
// missed beyond a second is not made up for.
func (r *redriveRecord) take(now time.Time) int {
	gap := time.Second / time.Duration(r.Rate)
	if late := now.Add(gap - time.Second); r.Due.Before(late) {
		r.Due = late
	}
	if r.Due.After(now) {
		return 0
	}
	n := int(now.Sub(r.Due)/gap) + 1
	r.Due = r.Due.Add(time.Duration(n) * gap)
	return n
}

// nextDead is the index keys of the next dead letters behind a redrive's place
// in its shard, of those that had failed when it began.
func (t *Topics) nextDead(r *redriveRecord, limit int) (keys [][]byte, err error) {
	err = t.store.Scan(r.Shard, causePrefix(r.Cause.text()), r.after, func(rec queue.Record) bool {
		if causeTime(rec.Key).After(r.Created) {
			return false
		}
		keys = append(keys, bytes.Clone(rec.Key))
		return len(keys) < limit
	})
	return keys, err
}

// redriveSome goes through dead letters until most of them are queued again:
// those, their count and the redrive's new place are one batch.
func (t *Topics) redriveSome(ctx context.Context, r *redriveRecord, keys [][]byte, most int) (queued int, err error) {
	b := &queue.Batch{}
	skipped, place := 0, r.after
	opened := map[queue.ID]bool{}
	for _, key := range keys {
		if queued == most {
			break
		}
		id := causeID(key)
		w, err := t.wayBack(id)
		if err != nil {
			return 0, err
		}
		place = key
		if w.skip != "" {
			skipped++
			continue
		}
		queued++
		if err := t.sendBack(b, id, w); err != nil {
			return 0, err
		}
		opened[w.ID] = true
	}
	for id := range opened {
		if err := t.reopen(b, id); err != nil {
			return 0, err
		}
	}
	b.Put(redrivePlaceKey(r.ID), place)
	b.Add(redriveCounter(r.ID, redriveQueued), int64(queued))
	b.Add(redriveCounter(r.ID, redriveSkipped), int64(skipped))
	if _, err := t.store.Commit(ctx, r.Shard, b); err != nil {
		return 0, err
	}
	for id := range opened {
		t.cache.forget(id)
		t.noteClosed(id)
	}
	return queued, nil
}

// forgetRedrive removes a redrive that ended long enough ago.
func (t *Topics) forgetRedrive(ctx context.Context, m queue.Received, r redriveRecord) error {
	if wait := r.Ended.Add(t.Retention).Sub(t.store.Now()); wait > 0 {
		return t.later(ctx, m, wait)
	}
	for shard := t.store.Shards() - 1; shard >= 0; shard-- { // the one with its record last
		b := &queue.Batch{}
		b.RemovePrefix(redriveKey(r.ID))
		b.Remove(redrivePlaceKey(r.ID))
		if shard == 0 {
			b.Delete(m.Handle)
			if id, rev, err := get[queue.ID](t.store, 0, latestRedriveKey(r.Cause)); err == nil && id == r.ID {
				b.Expect(latestRedriveKey(r.Cause), rev)
				b.Remove(latestRedriveKey(r.Cause))
			}
		}
		if _, err := t.store.Commit(ctx, shard, b); err != nil {
			return err
		}
	}
	return nil
}
