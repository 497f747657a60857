package topics

import (
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

// RedriveName is the native form of a redrive's id.
func RedriveName(id queue.ID) string { return "red_" + id.Hex() }
