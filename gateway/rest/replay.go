package rest

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Replay is a replay of a topic's archive to a subscription.
type Replay struct {
	From   time.Time `json:"from" doc:"inclusive; not before the archive begins"`
	Until  time.Time `json:"until,omitzero" doc:"exclusive, in the past: nothing more comes then; missing: until it has caught up"`
	State  string    `json:"state,omitempty" readOnly:"true" doc:"pending, running, completed or failed"`
	Reason string    `json:"reason,omitempty" readOnly:"true" doc:"why it failed"`
}

func showReplay(r *topics.Replay) *Replay {
	if r == nil {
		return nil
	}
	return &Replay{r.From, r.Until, string(r.State), r.Reason}
}

func (a *api) registerReplays() {
	type archiveIn struct {
		TopicPath
		Body struct {
			ArchiveDays int `json:"archive_days" minimum:"0" maximum:"365" doc:"0 ends the archive and removes what it holds; running replays bring what they withheld and fail"`
		}
	}
	operation(a, "manage", "DELETE /v1/topics/{topic}/archive/{id}", "Take a publish out of the archive: no replay brings it any more, and what replays did not send of it yet is cancelled", func(ctx context.Context, in *struct {
		TopicPath
		PublishPath
	}) (*struct{}, error) {
		id, err := parseID("pub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		return nil, a.Topics.Unarchive(ctx, ownerOf(ctx), in.Topic, id)
	})
	type replayIn struct {
		ID   string `path:"id"`
		Body Replay
	}
	type subscriptionOut struct{ Body Subscription }
	operation(a, "manage", "PUT /v1/topics/{topic}/archive", "Keep what is published, for replays", func(ctx context.Context, in *archiveIn) (*topicOut, error) {
		t, err := a.Topics.ChangeTopic(ctx, ownerOf(ctx), in.Topic, func(t *topics.Topic) error {
			t.ArchiveDays = in.Body.ArchiveDays
			return nil
		})
		return &topicOut{t}, err
	})
	replay := func(ctx context.Context, name string, r *topics.Replay) (*subscriptionOut, error) {
		id, err := parseID("sub_", "id", name)
		if err != nil {
			return nil, err
		}
		s, err := a.Topics.ChangeSubscription(ctx, ownerOf(ctx), id, func(s *topics.Subscription) error {
			s.Replay = r
			return nil
		})
		return &subscriptionOut{showSubscription(s)}, err
	}
	operation(a, "manage", "PUT /v1/subscriptions/{id}/replay", "Deliver what was published before, from the topic's archive", func(ctx context.Context, in *replayIn) (*subscriptionOut, error) {
		return replay(ctx, in.ID, &topics.Replay{From: in.Body.From, Until: in.Body.Until})
	})
	operation(a, "manage", "DELETE /v1/subscriptions/{id}/replay", "End a replay: what it has not brought yet does not come", func(ctx context.Context, in *struct {
		ID string `path:"id"`
	}) (*subscriptionOut, error) {
		return replay(ctx, in.ID, nil)
	})
}
