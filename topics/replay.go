package topics

import (
	"encoding/json"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// Replay is a run over a topic's archive that delivers to one subscription what
// was published in a span of time. Meanwhile the subscription gets nothing
// else: what is published is archived and comes in its turn, so that a replayed
// message never overtakes, or is overtaken by, a new one of its group. When the
// replay has caught up, the subscription goes on with what is published; one
// with an end stays at its end.
type Replay struct {
	ID    queue.ID    `json:"id,omitzero"`    // zero until it begins: the subscription is not confirmed
	From  time.Time   `json:"from"`           // inclusive, to the millisecond
	Until time.Time   `json:"until,omitzero"` // exclusive; zero: until it has caught up
	State ReplayState `json:"state"`
	// Reason says why it failed.
	Reason string `json:"reason,omitempty"`
	// Publishes whose audience lies behind Asked, and, once Live is set, not
	// behind that, are those the replay brings.
	Asked queue.ID `json:"asked"`
	Live  queue.ID `json:"live,omitzero"`
}

// ReplayState is where a replay stands.
type ReplayState string

// The states of a replay. The last two are final.
const (
	ReplayPending   ReplayState = "pending"
	ReplayRunning   ReplayState = "running"
	ReplayCompleted ReplayState = "completed"
	ReplayFailed    ReplayState = "failed"
)

// Original is the publish another one repeats.
type Original struct {
	ID      queue.ID  `json:"id"`
	Created time.Time `json:"created"`
	Asked   time.Time `json:"asked"` // when the replay was asked for
}

// shown is the publish as its receivers see it: a replayed one has the id and
// the time of the original.
func (p Publish) shown() Publish {
	if p.Original != nil {
		p.ID, p.Created = p.Original.ID, p.Original.Created
	}
	return p
}

// runs tells whether this replay is the one with an id, and has work left.
func (r *Replay) runs(id queue.ID) bool {
	return r != nil && r.ID == id && (r.State == ReplayPending || r.State == ReplayRunning)
}

// withholds tells whether the subscription gets a publish by its replay, or not
// at all, rather than when it is published.
func (r *Replay) withholds(p *Publish) bool {
	switch {
	case r == nil || !behind(p.Audience, r.Asked):
		return false
	case !r.Until.IsZero():
		return true
	case p.Archived.IsZero(): // the archive was ended: no replay brings it
		return false
	}
	return r.Live.IsZero() || !behind(p.Audience, r.Live)
}

// withheldSince is from when on the archive may have what the subscription gets
// by this replay alone: that is kept for it, also when the archive was ended.
// False: the replay withholds nothing that is still to come.
func (r *Replay) withheldSince() (time.Time, bool) { return r.Asked.Time(), r.Until.IsZero() }

// cutOff tells whether the archive that the replay was asked for was ended.
func (r *Replay) cutOff(topic *Topic) bool {
	return topic.ArchiveDays == 0 || topic.ArchivedSince.After(r.Asked.Time())
}

func behind(a, b queue.ID) bool { return string(a[:]) > string(b[:]) }

// replayTask is the entry of a replay's work.
type replayTask struct {
	Owner        Owner    `json:"owner"`
	Topic        string   `json:"topic"`
	Subscription queue.ID `json:"subscription"`
}

// startReplay checks the replay asked for by a subscription that is written by
// b, and adds its beginning. One that was checked before only waits for the
// subscription to be confirmed.
func (t *Topics) startReplay(b *queue.Batch, o Owner, s *Subscription) error {
	if s.Replay == nil || !s.Replay.ID.IsZero() {
		return nil
	}
	r := *s.Replay
	s.Replay = &r
	if r.State == "" {
		topic, err := t.Topic(o, s.Topic)
		if err != nil {
			return err
		}
		if err := r.check(&topic, t.store.Now()); err != nil {
			return err
		}
		r.State, r.Asked, r.Live = ReplayPending, t.store.NewID(0), queue.ID{}
	}
	if s.Pending {
		return nil
	}
	r.ID = t.store.NewID(0)
	task, _ := json.Marshal(replayTask{o, s.Topic, s.ID}) // strings: cannot fail
	work := &queue.Batch{}
	work.Send(replayQueue, queue.Message{ID: r.ID, Group: r.ID.Hex(), Body: task})
	b.Forward(r.ID.Shard(), work)
	return nil
}

// check tells what is wrong with the span of time asked for.
func (r *Replay) check(topic *Topic, now time.Time) error {
	r.From = r.From.UTC().Truncate(time.Millisecond)
	switch begins := topic.ArchiveBegins(now).Truncate(time.Millisecond); {
	case topic.ArchiveDays == 0:
		return invalid("replay", "the topic has no archive")
	case r.From.Before(begins) || r.From.After(now):
		return invalid("from", "must lie between the beginning of the archive, "+begins.Format(time.RFC3339Nano)+", and now")
	case !r.Until.IsZero() && (r.Until.Before(r.From) || r.Until.After(now)):
		return invalid("until", "must lie between from and now")
	}
	return nil
}
