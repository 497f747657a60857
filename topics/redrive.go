package topics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Redrive is a run over the dead letters of a cause that queues them again. It
// goes through those that had failed when it was asked for, once, and leaves
// those that may not go any more as they are.
type Redrive struct {
	ID        queue.ID  `json:"-"`
	Cause     Cause     `json:"cause"`
	Rate      int       `json:"rate"` // deliveries a second, at most
	Created   time.Time `json:"created"`
	Ended     time.Time `json:"ended,omitzero"` // zero: it runs
	Cancelled bool      `json:"cancelled,omitempty"`
	Total     int64     `json:"total"` // dead letters of the cause when it began
	Done      int64     `json:"-"`     // queued again
	Skipped   int64     `json:"-"`     // left as they are
}

// redriveRecord is a redrive and where it stands.
type redriveRecord struct {
	Redrive
	Shard int       `json:"shard"`
	Due   time.Time `json:"due"` // when the next delivery is

	// after is the last key looked at there. It is kept in that shard, written
	// with what was done: after a crash nothing is gone through twice.
	after []byte
}

// Bounds of a redrive.
const (
	MaxRedriveRate = 10_000 // deliveries a second
	redriveSample  = 1000   // dead letters a plan looks at
	redriveBatch   = 500    // dead letters one batch goes through
	redriveStep    = 100 * time.Millisecond
)

// RedrivePlan is what a redrive would do.
type RedrivePlan struct {
	Count int64 // dead letters of the cause
	// Examined is how many of them were looked at: all up to 1,000, else about
	// that many of those that failed first. Lanes and Skip are of these.
	Examined int64
	Lanes    map[channels.Lane]int64 // would be queued again
	Skip     map[string]int64        // would be left as they are, by reason
}

// PlanRedrive tells what a redrive of a cause would do, and does nothing.
func (t *Topics) PlanRedrive(c Cause) (RedrivePlan, error) {
	plan := RedrivePlan{Lanes: map[channels.Lane]int64{}, Skip: map[string]int64{}}
	var err error
	if plan.Count, err = t.deadOf(c); err != nil {
		return plan, err
	}
	share := redriveSample
	if plan.Count > redriveSample {
		share /= t.store.Shards()
	}
	r := redriveRecord{Redrive: Redrive{Cause: c, Created: t.store.Now()}}
	for ; r.Shard < t.store.Shards(); r.Shard, r.after = r.Shard+1, nil {
		found, err := t.nextDead(&r, share)
		if err != nil {
			return plan, err
		}
		for _, key := range found {
			plan.Examined++
			w, err := t.wayBack(causeID(key))
			switch {
			case err != nil:
				return plan, err
			case w.skip != "":
				plan.Skip[w.skip]++
			default:
				plan.Lanes[w.Lane]++
			}
		}
	}
	return plan, nil
}

// deadOf counts the dead letters of a cause; ErrNotFound if there are none.
func (t *Topics) deadOf(c Cause) (n int64, err error) {
	for shard := range t.store.Shards() {
		k, err := t.store.Counter(shard, causeCounter(c.text()))
		if err != nil {
			return 0, err
		}
		n += k
	}
	if n == 0 {
		return 0, fmt.Errorf("dead letters of this cause: %w", ErrNotFound)
	}
	return n, nil
}

// Redrive queues the dead letters of a cause again, at most rate (1 to 10,000)
// a second, in the background and over restarts. One of a cause runs at a time
// (ErrConflict). Durable on return.
func (t *Topics) Redrive(ctx context.Context, c Cause, rate int) (Redrive, error) {
	if rate < 1 || rate > MaxRedriveRate {
		return Redrive{}, invalid("rate", fmt.Sprintf("must be 1 to %d a second", MaxRedriveRate))
	}
	total, err := t.deadOf(c)
	if err != nil {
		return Redrive{}, err
	}
	rev, err := t.noneRuns(c)
	if err != nil {
		return Redrive{}, err
	}
	now := t.store.Now().UTC()
	r := redriveRecord{Redrive: Redrive{ID: t.store.NewID(0), Cause: c, Rate: rate, Created: now, Total: total}, Due: now}
	b := &queue.Batch{}
	b.Expect(latestRedriveKey(c), rev)
	put(b, latestRedriveKey(c), r.ID)
	put(b, redriveKey(r.ID), r)
	// What fails again does so in a later millisecond: it is told from the rest.
	b.Send(redriveQueue, queue.Message{ID: r.ID, At: now.Add(time.Millisecond)})
	_, err = t.store.Commit(ctx, 0, b)
	if errors.Is(err, queue.ErrConflict) {
		err = fmt.Errorf("%w: a redrive of this cause has just begun", ErrConflict)
	}
	return r.Redrive, err
}

// noneRuns is an error if a redrive of a cause is running. Rev is that of the
// cause's latest.
func (t *Topics) noneRuns(c Cause) (rev uint64, err error) {
	id, rev, err := get[queue.ID](t.store, 0, latestRedriveKey(c))
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	r, _, err := t.redriveRecord(id)
	switch {
	case errors.Is(err, ErrNotFound): // forgotten
		return rev, nil
	case err == nil && r.Ended.IsZero():
		err = fmt.Errorf("%w: the redrive %s of this cause is running", ErrConflict, RedriveName(id))
	}
	return rev, err
}

// Redrives lists the redrives, newest first. One that has ended is listed as
// long as a ledger is kept.
func (t *Topics) Redrives() ([]Redrive, error) {
	out := []Redrive{}
	for r, err := range each[Redrive](t.store.ScanBack, 0, []byte{'r'}, nil) {
		if err != nil {
			return nil, err
		}
		r.value.ID = idOf(r.key)
		if err := t.countRedrive(&r.value); err != nil {
			return nil, err
		}
		out = append(out, r.value)
	}
	return out, nil
}

// RedriveOf looks a redrive up.
func (t *Topics) RedriveOf(id queue.ID) (Redrive, error) {
	r, _, err := t.redriveRecord(id)
	if err != nil {
		return Redrive{}, err
	}
	return r.Redrive, t.countRedrive(&r.Redrive)
}

func (t *Topics) redriveRecord(id queue.ID) (redriveRecord, uint64, error) {
	r, rev, err := get[redriveRecord](t.store, 0, redriveKey(id))
	r.ID = id
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("redrive %s: %w", RedriveName(id), ErrNotFound)
	}
	return r, rev, err
}

func (t *Topics) countRedrive(r *Redrive) error {
	for shard := range t.store.Shards() {
		for what, n := range map[byte]*int64{redriveQueued: &r.Done, redriveSkipped: &r.Skipped} {
			k, err := t.store.Counter(shard, redriveCounter(r.ID, what))
			if err != nil {
				return err
			}
			*n += k
		}
	}
	return nil
}

// CancelRedrive ends a redrive: what it has queued goes on, the rest stays as
// it is. One that has ended is ErrState. Durable on return.
func (t *Topics) CancelRedrive(ctx context.Context, id queue.ID) (Redrive, error) {
	for {
		r, rev, err := t.redriveRecord(id)
		if err != nil {
			return Redrive{}, err
		}
		if !r.Ended.IsZero() {
			return Redrive{}, fmt.Errorf("%w: the redrive has ended", ErrState)
		}
		r.Ended, r.Cancelled = t.store.Now().UTC(), true
		b := &queue.Batch{}
		b.Expect(redriveKey(id), rev)
		put(b, redriveKey(id), r)
		_, err = t.store.Commit(ctx, 0, b)
		if errors.Is(err, queue.ErrConflict) {
			continue // a step at the same moment
		}
		if err != nil {
			return Redrive{}, err
		}
		return r.Redrive, t.countRedrive(&r.Redrive)
	}
}

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

// RedriveName is the native form of a redrive's id.
func RedriveName(id queue.ID) string { return "red_" + id.Hex() }
