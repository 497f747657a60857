package rest

import (
	"context"

	"github.com/fanfare-gateway/fanfare/topics"
)

// TopicPath names a topic.
type TopicPath struct {
	Topic string `path:"topic"`
}

type topicOut struct{ Body topics.Topic }

type topicList struct {
	Body struct {
		Topics []topics.Topic `json:"topics"`
		Next   string         `json:"next,omitempty" doc:"cursor of the next page; missing on the last"`
	}
}

func (a *api) registerTopics() {
	type topicCreate struct {
		Body struct {
			Name        string            `json:"name" doc:"1 to 256 letters, digits, hyphens, underscores or dots"`
			DisplayName string            `json:"display_name,omitempty"`
			OnUncertain string            `json:"on_uncertain,omitempty" enum:"resend,hold,drop"`
			Tags        map[string]string `json:"tags,omitempty"`
			ArchiveDays int               `json:"archive_days,omitempty" minimum:"0" maximum:"365" doc:"how long what is published is kept for replays; 0: not at all"`
		}
	}
	operation(a, "manage", "POST /v1/topics", "Create a topic", func(ctx context.Context, in *topicCreate) (*topicOut, error) {
		b := in.Body
		t, err := a.Topics.CreateTopic(ctx, ownerOf(ctx), topics.Topic{
			Name: b.Name, DisplayName: b.DisplayName, OnUncertain: topics.OnUncertain(b.OnUncertain), Tags: b.Tags, ArchiveDays: b.ArchiveDays,
		})
		return &topicOut{t}, err
	})
	operation(a, "read", "GET /v1/topics", "List topics", func(ctx context.Context, in *struct{ Page }) (*topicList, error) {
		list, err := a.Topics.Topics(ownerOf(ctx), in.Cursor, in.Limit)
		out := &topicList{}
		out.Body.Topics = list
		if len(list) == in.Limit {
			out.Body.Next = list[len(list)-1].Name
		}
		return out, err
	})
	operation(a, "read", "GET /v1/topics/{topic}", "Look a topic up", func(ctx context.Context, in *TopicPath) (*topicOut, error) {
		t, err := a.Topics.Topic(ownerOf(ctx), in.Topic)
		return &topicOut{t}, err
	})
	operation(a, "manage", "DELETE /v1/topics/{topic}", "Delete a topic and its subscriptions", func(ctx context.Context, in *TopicPath) (*struct{}, error) {
		return nil, a.Topics.DeleteTopic(ctx, ownerOf(ctx), in.Topic)
	})
}
