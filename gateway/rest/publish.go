package rest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// PublishRequest is a publish as it is asked for: to a topic or to one endpoint.
type PublishRequest struct {
	Topic           string                        `json:"topic,omitempty"`
	To              *topics.Target                `json:"to,omitempty" doc:"one endpoint instead of a topic"`
	Subject         string                        `json:"subject,omitempty"`
	Message         string                        `json:"message,omitempty"`
	HTML            string                        `json:"html,omitempty"`
	Overrides       map[string]Override           `json:"overrides,omitempty" doc:"other words for a protocol; the others get the message"`
	Template        string                        `json:"template,omitempty"`
	TemplateVersion int                           `json:"template_version,omitempty" minimum:"0"`
	Data            map[string]any                `json:"data,omitempty"`
	Attributes      map[string]channels.Attribute `json:"attributes,omitempty"`
	Lane            string                        `json:"lane,omitempty" enum:"critical,transactional,bulk"`
	ExpiresAt       time.Time                     `json:"expires_at,omitzero"`
	SendAt          time.Time                     `json:"send_at,omitzero"`
	Group           string                        `json:"group,omitempty" maxLength:"128"`
	CollapseID      string                        `json:"collapse_id,omitempty"`
}

// Override replaces parts of the message for one protocol.
type Override struct {
	Subject string          `json:"subject,omitempty"`
	Message string          `json:"message,omitempty"`
	HTML    string          `json:"html,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty" doc:"the whole body for a machine, or the provider's own JSON for a push"`
}

func (r PublishRequest) request(o topics.Owner, key string) topics.Request {
	out := topics.Request{
		Owner: o, Topic: r.Topic, To: r.To, Subject: r.Subject, Message: r.Message, HTML: r.HTML, Template: r.Template,
		TemplateVersion: r.TemplateVersion, Data: r.Data, Attributes: r.Attributes, Lane: channels.Lane(r.Lane),
		ExpiresAt: r.ExpiresAt, SendAt: r.SendAt, Group: r.Group, CollapseID: r.CollapseID, IdempotencyKey: key,
	}
	for protocol, v := range r.Overrides {
		if out.Overrides == nil {
			out.Overrides = map[string]topics.Override{}
		}
		out.Overrides[protocol] = topics.Override{Subject: v.Subject, Message: v.Message, HTML: v.HTML, Payload: v.Payload}
	}
	return out
}

// Publish is a publish with its ledger.
type Publish struct {
	ID              string           `json:"id"`
	Topic           string           `json:"topic,omitempty"`
	Lane            string           `json:"lane"`
	Phase           string           `json:"phase" doc:"scheduled, expanding, expanded (the audience is final), completed, or cancelled (while it was scheduled: nobody got it)"`
	Control         string           `json:"control,omitempty" doc:"paused or cancelled"`
	Template        string           `json:"template,omitempty"`
	TemplateVersion int              `json:"template_version,omitempty"`
	Created         time.Time        `json:"created"`
	SendAt          time.Time        `json:"send_at,omitzero"`
	ExpiresAt       time.Time        `json:"expires_at,omitzero"`
	CompletedAt     time.Time        `json:"completed_at,omitzero"`
	Ledger          map[string]int64 `json:"ledger,omitempty" doc:"deliveries by state"`
	Total           *int64           `json:"total,omitempty" doc:"deliveries in all"`
}

func showPublish(p topics.Publish) Publish {
	return Publish{
		ID: topics.PublishName(p.ID), Topic: p.Topic, Lane: string(p.Lane), Phase: string(p.Phase), Control: string(p.Control),
		Template: p.Template, TemplateVersion: p.TemplateVersion, Created: p.Created, SendAt: p.SendAt,
		ExpiresAt: p.ExpiresAt, CompletedAt: p.CompletedAt,
	}
}

func showStatus(st topics.Status) Publish {
	out := showPublish(st.Publish)
	out.Ledger = map[string]int64{}
	for _, s := range topics.States() {
		out.Ledger[s.String()] = st.Ledger[s]
	}
	total := st.Ledger.Sum()
	out.Total = &total
	return out
}

// PublishRoute is where publishes come in.
const PublishRoute = "POST /v1/publish"

// PublishPath names a publish.
type PublishPath struct {
	ID string `path:"id" doc:"pub_…"`
}

type publishOut struct{ Body Publish }

func (a *api) registerPublish() {
	type publishIn struct {
		Key  string `header:"Idempotency-Key" maxLength:"255" doc:"a repeat with the same key and payload returns the first publish; with another payload it is refused"`
		Body PublishRequest
	}
	type accepted struct {
		Replayed string `header:"Idempotency-Replayed"`
		Body     Publish
	}
	operation(a, "publish", PublishRoute, "Publish to a topic or one endpoint; durable when answered", func(ctx context.Context, in *publishIn) (*accepted, error) {
		p, replayed, err := a.Topics.Publish(ctx, in.Body.request(ownerOf(ctx), in.Key))
		out := &accepted{Body: showPublish(p)}
		if replayed {
			out.Replayed = "true"
		}
		return out, err
	})
	operation(a, "read", "GET /v1/publishes/{id}", "A publish and its ledger", func(ctx context.Context, in *PublishPath) (*publishOut, error) {
		id, err := parseID("pub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		st, err := a.Topics.Status(ownerOf(ctx), id)
		if err != nil {
			return nil, err
		}
		return &publishOut{showStatus(st)}, nil
	})
	a.registerPublishes()
	for verb, control := range map[string]topics.Control{"Pause": topics.Paused, "Resume": topics.Running, "Cancel": topics.Stopped} {
		operation(a, "manage", "POST /v1/publishes/{id}/"+strings.ToLower(verb), verb+" a publish; it holds from the next attempt on", func(ctx context.Context, in *PublishPath) (*publishOut, error) {
			id, err := parseID("pub_", "id", in.ID)
			if err != nil {
				return nil, err
			}
			p, err := a.Topics.SetControl(ctx, ownerOf(ctx), id, control)
			return &publishOut{showPublish(p)}, err
		})
	}
	a.registerDelivery()
	a.registerDeliveries()
}

func (a *api) registerPublishes() {
	type publishList struct {
		Body struct {
			Publishes []Publish `json:"publishes"`
			Next      string    `json:"next,omitempty" doc:"cursor of the next page; missing on the last"`
		}
	}
	operation(a, "read", "GET /v1/publishes", "Publishes, newest first; a page may be short, also an empty one, and have a next", func(ctx context.Context, in *struct {
		Page
		Topic string `query:"topic" doc:"only of this topic; status events are listed only with theirs"`
		Phase string `query:"phase" enum:"scheduled,expanding,expanded,completed,cancelled"`
	}) (*publishList, error) {
		before, err := in.behind("pub_")
		if err != nil {
			return nil, err
		}
		page, next, err := a.Topics.Publishes(ownerOf(ctx), topics.PublishFilter{Topic: in.Topic, Phase: topics.Phase(in.Phase)}, before, in.Limit)
		out := &publishList{}
		out.Body.Publishes = []Publish{}
		for _, st := range page {
			out.Body.Publishes = append(out.Body.Publishes, showStatus(st))
		}
		if !next.IsZero() {
			out.Body.Next = topics.PublishName(next)
		}
		return out, err
	})
}
