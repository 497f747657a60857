package topics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// What a step of a replay does at most: then it is the next one's turn.
const (
	replayPages = 10      // pages in a step
	replayPage  = 200     // messages of a shard in a page
	replayBytes = 8 << 20 // in a page, and one message more of each shard
	replayWait  = 100 * time.Millisecond
)

// replaying is a replay that goes on. How far it is in a shard's archive is
// kept there and moved by the batch that has what was sent, so that a crash
// neither repeats nor leaves out anything.
type replaying struct {
	*Topics
	owner     Owner
	sub       Subscription
	begins    []byte // the first key of the archive that counts
	cutOff    bool   // the archive was ended
	places    [][]byte
	revisions []uint64 // of places
}

// replay moves a replay on.
func (t *Topics) replay(ctx context.Context, m queue.Received) error {
	var task replayTask
	if err := json.Unmarshal(m.Body, &task); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(task.Owner, task.Topic, task.Subscription))
	if errors.Is(err, ErrNotFound) || (err == nil && !s.Replay.runs(m.ID)) {
		return t.forgetReplay(ctx, m)
	}
	if err != nil {
		return err
	}
	r := &replaying{Topics: t, owner: task.Owner, sub: s}
	if err := r.read(); err != nil {
		return err
	}
	wait, err := r.step(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) { // not found: it was taken away meanwhile
		return err
	}
	return t.later(ctx, m, wait)
}

// read finds out how far the replay is.
func (r *replaying) read() error {
	topic, err := r.Topic(r.owner, r.sub.Topic)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	begins := topic.ArchiveBegins(r.store.Now())
	if begins.Before(r.sub.Replay.From) {
		begins = r.sub.Replay.From
	}
	if since, ok := r.sub.Replay.withheldSince(); ok && since.Before(begins) {
		begins = since
	}
	r.cutOff = r.sub.Replay.cutOff(&topic)
	r.begins = archiveTime(r.owner, r.sub.Topic, begins)
	for shard := range r.store.Shards() {
		rec, err := r.store.Get(shard, replayKey(r.sub.Replay.ID))
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			return err
		}
		r.places, r.revisions = append(r.places, rec.Value), append(r.revisions, rec.Revision)
	}
	return nil
}

// step sends a few pages, and ends the replay if it is through.
func (r *replaying) step(ctx context.Context) (wait time.Duration, err error) {
	if r.sub.Disabled != "" {
		return 0, r.become(ctx, ReplayFailed, "the endpoint is disabled")
	}
	if r.sub.Replay.State == ReplayPending {
		if err := r.become(ctx, ReplayRunning, ""); err != nil {
			return 0, err
		}
	}
	var sealed []queue.ID
	for range replayPages {
		room, err := r.spare()
		if err != nil || room <= 0 {
			return replayWait, err
		}
		if sealed == nil {
			open := r.gates.shut(r.owner, r.sub.Topic)
			sealed = r.seal()
			open()
		}
		page, last, err := r.next(sealed, room)
		if err != nil {
			return 0, err
		}
		if all, err := r.send(ctx, page); err != nil || !all {
			return replayWait, err
		}
		if last {
			return 0, r.finish(ctx, room)
		}
	}
	return 0, nil
}

// finish ends the replay if nothing was archived since its last page. Nothing
// is published to the archive meanwhile, so that nothing falls between the
// replay and what follows.
func (r *replaying) finish(ctx context.Context, room int) error {
	defer r.gates.shut(r.owner, r.sub.Topic)()
	page, last, err := r.next(r.seal(), room)
	if err != nil || !last {
		return err
	}
	if all, err := r.send(ctx, page); err != nil || !all {
		return err
	}
	if r.cutOff {
		return r.become(ctx, ReplayFailed, "the archive was ended")
	}
	return r.become(ctx, ReplayCompleted, "")
}

// become notes the replay's state, unless it was taken away or replaced.
func (r *replaying) become(ctx context.Context, state ReplayState, why string) error {
	key := subscriptionKey(r.owner, r.sub.Topic, r.sub.ID)
	s, err := changeRecord(ctx, r.Topics, key, func(_ *queue.Batch, s *Subscription) error {
		if !s.Replay.runs(r.sub.Replay.ID) {
			return ErrNotFound
		}
		s.Replay.State, s.Replay.Reason = state, why
		if state != ReplayRunning {
			s.Replay.Live = r.store.NewID(0)
		}
		return nil
	})
	if err == nil {
		r.sub = s
	}
	return err
}

// seal is, for each shard, behind all that was archived in it. Publishes to
// the archive wait while it is asked for: one under way could have an id before
// it, and be seen only later.
func (r *replaying) seal() []queue.ID {
	all := make([]queue.ID, r.store.Shards())
	for shard := range all {
		all[shard] = r.store.NewID(shard)
	}
	return all
}

// spare is how many messages the replay may send now: what its subscription's
// replays brought and has not reached its end is bounded as for a broadcast. A
// retry counts too: all of it is for one endpoint, which takes nothing else then.
func (r *replaying) spare() (int, error) {
	room := r.Ahead
	for shard := range r.store.Shards() {
		n, err := r.store.Counter(shard, replayingKey(r.sub.ID))
		if err != nil {
			return 0, err
		}
		room -= int(n)
	}
	return min(room, replayPage), nil
}

// addReplaying counts the delivery n times if a replay brought it and it has
// work left.
func (d *deliveryRecord) addReplaying(b *queue.Batch, n int64) {
	if d.Replay && !d.State.Final() {
		b.Add(replayingKey(d.Sub), n)
	}
}

// archiveEntry is a record of an archive.
type archiveEntry struct {
	key, value []byte
	revision   uint64
}

// next reads the next page: of every shard what was archived up to the same
// moment, so that no shard runs ahead. Last tells that it ends where sealed
// does, or the replay.
func (r *replaying) next(sealed []queue.ID, most int) (page [][]archiveEntry, last bool, err error) {
	page, last = make([][]archiveEntry, len(sealed)), true
	var cut time.Time
	for shard := range page {
		found, more, err := r.nextOf(shard, sealed[shard], most)
		if err != nil {
			return nil, false, err
		}
		page[shard] = found
		if more {
			last = false
			if end := archiveID(found[len(found)-1].key).Time(); cut.IsZero() || end.Before(cut) {
				cut = end
			}
		}
	}
	for shard, found := range page {
		for !last && len(found) > 0 && archiveID(found[len(found)-1].key).Time().After(cut) {
			found = found[:len(found)-1]
		}
		page[shard] = found
	}
	return page, last, nil
}

func (r *replaying) nextOf(shard int, sealed queue.ID, most int) (found []archiveEntry, more bool, err error) {
	end := archiveKey(r.owner, r.sub.Topic, sealed)
	if until := r.sub.Replay.Until; !until.IsZero() {
		end = archiveTime(r.owner, r.sub.Topic, until)
	}
	after := r.places[shard]
	if bytes.Compare(after, r.begins) < 0 {
		after = r.begins
	}
	size := 0
	err = r.store.Scan(shard, archivePrefix(r.owner, r.sub.Topic), after, func(rec queue.Record) bool {
		if bytes.Compare(rec.Key, end) >= 0 {
			return false
		}
		if more = len(found) == most || size >= replayBytes/r.store.Shards(); more {
			return false
		}
		found = append(found, archiveEntry{bytes.Clone(rec.Key), bytes.Clone(rec.Value), rec.Revision})
		size += len(rec.Value)
		return true
	})
	return found, more, err
}

// forgetReplay removes a replay's places and the entry of its work.
func (t *Topics) forgetReplay(ctx context.Context, m queue.Received) error {
	for shard := t.store.Shards() - 1; shard >= 0; shard-- { // the one with the entry last
		b := &queue.Batch{}
		b.Remove(replayKey(m.ID))
		if shard == m.ID.Shard() {
			b.Delete(m.Handle)
		}
		if _, err := t.store.Commit(ctx, shard, b); err != nil {
			return err
		}
	}
	return nil
}
