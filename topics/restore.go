package topics

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// A store restored from a backup does not know what was sent after the backup
// was made. Deliveries to people of publishes from before the restore are
// therefore held at hand-off, until an operator releases them. Machines get
// theirs: they know a repeat by its id.

// restoration is the registry's record of the latest restore.
type restoration struct {
	Incarnation uint64    `json:"incarnation"` // of the store when it was noted
	At          time.Time `json:"at"`          // first start after the restore
	Released    bool      `json:"released,omitempty"`
	// Done: what was held is queued again.
	Done bool `json:"done,omitempty"`
}

var restorationKey = []byte("restoration")

// noteRestore finds out whether the store was restored since it was last open.
func (t *Topics) noteRestore(ctx context.Context) error {
	r, rev, err := get[restoration](t.store, queue.Registry, restorationKey)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if now := t.store.Incarnation(); now != r.Incarnation {
		r = restoration{Incarnation: now, At: t.store.Now().UTC()}
		if err := t.putRestoration(ctx, r, rev); err != nil {
			return err
		}
	}
	t.restored.Store(&r)
	if t.holdsRestored() {
		t.log.Warn("the store was restored from a backup: deliveries to people of publishes before the restore are held until they are released (fanfare restore --release)", "restored", r.At)
	}
	return nil
}

func (t *Topics) putRestoration(ctx context.Context, r restoration, rev uint64) error {
	b := &queue.Batch{}
	b.Expect(restorationKey, rev)
	put(b, restorationKey, r)
	_, err := t.store.Commit(ctx, queue.Registry, b)
	return err
}

// holdsRestored tells whether a restore waits for its release.
func (t *Topics) holdsRestored() bool {
	r := t.restored.Load()
	return r.Incarnation > 0 && !r.Released
}

// maySendAgain tells whether a delivery may have been sent by a store that is
// no more.
func (t *Topics) maySendAgain(p *Publish, e channels.Entry) bool {
	if e.Idempotent || !t.holdsRestored() {
		return false
	}
	at, asked := t.restored.Load().At, p.Created
	if p.Original != nil { // the store that is no more may have been further with the replay
		asked = p.Original.Asked
	}
	return asked.Before(at) && p.SendAt.Before(at)
}

// ReleaseRestored ends the hold that follows a restore: deliveries to people
// of publishes from before it go out from now on, and those held are queued
// again, save those of paused publishes. It returns how many that were, once
// it is durable; when it fails in between, the next start goes on with it.
// Without a restore to release it does nothing.
func (t *Topics) ReleaseRestored(ctx context.Context) (released int, err error) {
	t.releasing.Lock()
	defer t.releasing.Unlock()
	r, rev, err := get[restoration](t.store, queue.Registry, restorationKey)
	if errors.Is(err, ErrNotFound) || (err == nil && (r.Done || r.Incarnation == 0)) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if !r.Released {
		r.Released = true
		if err := t.putRestoration(ctx, r, rev); err != nil {
			return 0, err
		}
		free := r // r is read anew below, while others read this
		t.restored.Store(&free)
	}
	released, err = t.releaseHeld(ctx)
	if err != nil {
		return released, err
	}
	r, rev, err = get[restoration](t.store, queue.Registry, restorationKey)
	if err != nil {
		return released, err
	}
	r.Done = true
	return released, t.putRestoration(ctx, r, rev)
}

// releaseStranded goes on with releases that another process began: of a
// resumed or cancelled publish, or of a restored store.
func (t *Topics) releaseStranded(ctx context.Context) error {
	t.releasing.Lock()
	defer t.releasing.Unlock()
	_, err := t.releaseHeld(ctx)
	return err
}

// releaseHeld queues every held delivery again that nothing holds any more, or
// cancels it with its publish.
func (t *Topics) releaseHeld(ctx context.Context) (released int, err error) {
	for shard := range t.store.Shards() {
		var after []byte
		for {
			id, err := t.nextHeld(shard, after)
			if err != nil {
				return released, err
			}
			if id.IsZero() {
				break
			}
			n, err := t.releaseIfFree(ctx, id)
			released += n
			if err != nil {
				return released, err
			}
			after = heldKey(id.WithOrdinal(math.MaxUint32))
		}
	}
	return released, nil
}

// nextHeld is the publish of the first held delivery behind a key; zero if
// there is none.
func (t *Topics) nextHeld(shard int, after []byte) (id queue.ID, err error) {
	err = t.store.Scan(shard, []byte{'h'}, after, func(r queue.Record) bool {
		id = idOf(r.Key)
		return false
	})
	return id, err
}

func (t *Topics) releaseIfFree(ctx context.Context, id queue.ID) (released int, err error) {
	p, _, err := get[Publish](t.store, id.Shard(), publishKey(id))
	switch {
	case errors.Is(err, ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case p.Control == Paused, p.Control == Running && t.maySendAgain(&p, channels.Entry{}):
		return 0, nil
	}
	return t.release(ctx, p)
}
