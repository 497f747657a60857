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

// archiveSweep is the pause between two rounds that remove what archives keep
// no more; archivePage is how many records are gone through at a time.
const (
	archiveSweep = time.Minute
	archivePage  = 500
)

// sweepArchives removes what is too old from the archives, and all that is left
// of those that were ended.
func (t *Topics) sweepArchives(ctx context.Context) error {
	return rounds(ctx, 0, func() (time.Duration, error) { return archiveSweep, t.sweepOnce(ctx) })
}

// sweep is one round over all archives.
type sweep struct {
	*Topics
	now  time.Time            // it was begun: what comes into a new archive is newer
	owed map[string]time.Time // by archive, since when running replays withhold what comes into it
}

func (t *Topics) sweepOnce(ctx context.Context) error {
	s := &sweep{Topics: t, now: t.store.Now()}
	err := s.readOwed()
	for shard := 0; shard < t.store.Shards() && err == nil; shard++ {
		err = s.passOver(s.shard(ctx, shard), "work", "archives", "shard", shard)
	}
	return err
}

// readOwed looks what replays still owe to their subscriptions. One that is
// asked for later withholds only what is newer than the round.
func (s *sweep) readOwed() error {
	s.owed = map[string]time.Time{}
	for shard := range s.store.Shards() {
		var bad error
		err := s.store.Messages(replayQueue, shard, 0, func(m queue.Peeked) bool {
			bad = s.addOwed(&m.Message)
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return fmt.Errorf("replays: %w", err)
		}
	}
	return nil
}

func (s *sweep) addOwed(m *queue.Message) error {
	var task replayTask
	if err := json.Unmarshal(m.Body, &task); err != nil {
		return err
	}
	sub, _, err := get[Subscription](s.store, queue.Registry, subscriptionKey(task.Owner, task.Topic, task.Subscription))
	if errors.Is(err, ErrNotFound) || (err == nil && !sub.Replay.runs(m.ID)) {
		return nil
	}
	if err != nil {
		return err
	}
	archive := string(archivePrefix(task.Owner, task.Topic))
	since, ok := sub.Replay.withheldSince()
	if first, some := s.owed[archive]; ok && (!some || since.Before(first)) {
		s.owed[archive] = since
	}
	return nil
}

// shard goes from archive to archive. Nothing is written down of it: what
// is found is what there is to do.
func (s *sweep) shard(ctx context.Context, shard int) error {
	after := []byte(nil)
	for {
		var first []byte
		err := s.store.Scan(shard, []byte{archiveTable}, after, func(r queue.Record) bool {
			first = bytes.Clone(r.Key)
			return false
		})
		if err != nil || first == nil {
			return err
		}
		o, name := archiveOf(first)
		if err := s.archive(ctx, shard, o, name); err != nil {
			return err
		}
		after = append(archivePrefix(o, name), bytes.Repeat([]byte{0xff}, len(queue.ID{}))...)
	}
}

func (s *sweep) archive(ctx context.Context, shard int, o Owner, name string) error {
	topic, err := s.Topic(o, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	begins := topic.ArchiveBegins(s.now)
	if since, ok := s.owed[string(archivePrefix(o, name))]; ok && since.Before(begins) {
		begins = since
	}
	end := archiveTime(o, name, begins)
	for {
		b := &queue.Batch{}
		b.Unsynced() // after a crash it is done again
		err := s.store.Scan(shard, archivePrefix(o, name), nil, func(r queue.Record) bool {
			if bytes.Compare(r.Key, end) >= 0 {
				return false
			}
			b.Remove(bytes.Clone(r.Key))
			return b.Len() < archivePage
		})
		if err != nil || b.Len() == 0 {
			return err
		}
		if _, err := s.store.Commit(ctx, shard, b); err != nil {
			return err
		}
	}
}
