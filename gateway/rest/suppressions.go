package rest

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

func (a *api) registerSuppressions() {
	type suppressionOut struct{ Body topics.Suppression }
	type suppressionList struct {
		Body struct {
			Suppressions []topics.Suppression `json:"suppressions"`
			Next         string               `json:"next,omitempty"`
		}
	}
	type suppressionIn struct {
		Body struct {
			Protocol string        `json:"protocol"`
			Endpoint string        `json:"endpoint"`
			Topic    string        `json:"topic,omitempty" doc:"forbid only what comes by this topic"`
			Lane     channels.Lane `json:"lane,omitempty" doc:"forbid only what is published to the endpoint itself in this lane"`
			Reason   string        `json:"reason,omitempty" doc:"at most 256 bytes"`
		}
	}
	operation(a, "read", "GET /v1/suppressions", "List suppressions", func(ctx context.Context, in *struct{ Page }) (*suppressionList, error) {
		var after *topics.Suppression
		if in.Cursor != "" {
			after = &topics.Suppression{}
			text, err := base64.RawURLEncoding.DecodeString(in.Cursor)
			if err != nil || json.Unmarshal(text, after) != nil {
				return nil, invalid("cursor", "must be the next field of the page before")
			}
		}
		all, err := a.Topics.Suppressions(ownerOf(ctx), after, in.Limit)
		out := &suppressionList{}
		out.Body.Suppressions = all
		if len(all) == in.Limit {
			text, _ := json.Marshal(all[len(all)-1]) // plain data: cannot fail
			out.Body.Next = base64.RawURLEncoding.EncodeToString(text)
		}
		return out, err
	})
	operation(a, "manage", "POST /v1/suppressions", "Suppress an endpoint; a suppression that stands is returned as it is", func(ctx context.Context, in *suppressionIn) (*suppressionOut, error) {
		s, err := a.Topics.Suppress(ctx, ownerOf(ctx), topics.Suppression{
			Protocol: in.Body.Protocol, Endpoint: in.Body.Endpoint, Topic: in.Body.Topic, Lane: in.Body.Lane, Reason: in.Body.Reason,
		})
		return &suppressionOut{s}, err
	})
	operation(a, "manage", "DELETE /v1/suppressions", "Lift a suppression", func(ctx context.Context, in *struct {
		Protocol string `query:"protocol" required:"true"`
		Endpoint string `query:"endpoint" required:"true"`
		Topic    string `query:"topic"`
		Lane     string `query:"lane"`
	}) (*struct{}, error) {
		return nil, a.Topics.Unsuppress(ctx, ownerOf(ctx), topics.Suppression{
			Protocol: in.Protocol, Endpoint: in.Endpoint, Topic: in.Topic, Lane: channels.Lane(in.Lane),
		})
	})
}
