package rest

import (
	"context"
	"slices"
	"strings"

	"github.com/fanfare-gateway/fanfare/templates"
	"github.com/fanfare-gateway/fanfare/topics"
)

func (a *api) registerTemplates() {
	type templateOut struct{ Body templates.Template }
	type templateList struct {
		Body struct {
			Templates []topics.TemplateName `json:"templates" doc:"each with its latest version"`
			Next      string                `json:"next,omitempty" doc:"cursor of the next page; missing on the last"`
		}
	}
	type templateIn struct {
		Name string `path:"name"`
		Body struct {
			Subject  string                    `json:"subject,omitempty"`
			Text     string                    `json:"text,omitempty"`
			HTML     string                    `json:"html,omitempty"`
			Channels map[string]templates.Part `json:"channels,omitempty" doc:"other parts for sms, push, email, webhook, queue or function"`
		}
	}
	operation(a, "manage", "PUT /v1/templates/{name}", "Store a template's next version", func(ctx context.Context, in *templateIn) (*templateOut, error) {
		b := in.Body
		t, err := a.Topics.PutTemplate(ctx, ownerOf(ctx), templates.Template{Name: in.Name, Subject: b.Subject, Text: b.Text, HTML: b.HTML, Channels: b.Channels})
		return &templateOut{t}, err
	})
	operation(a, "read", "GET /v1/templates", "List templates", func(ctx context.Context, in *struct{ Page }) (*templateList, error) {
		all, err := a.Topics.Templates(ownerOf(ctx), in.Cursor, in.Limit)
		out := &templateList{}
		out.Body.Templates = all
		if len(all) == in.Limit {
			out.Body.Next = all[len(all)-1].Name
		}
		return out, err
	})
	operation(a, "manage", "DELETE /v1/templates/{name}", "Delete a template with its versions; what was published with it still goes out", func(ctx context.Context, in *struct {
		Name string `path:"name"`
	}) (*struct{}, error) {
		return nil, a.Topics.DeleteTemplate(ctx, ownerOf(ctx), in.Name)
	})
	operation(a, "read", "GET /v1/templates/{name}", "Look a template up", func(ctx context.Context, in *struct {
		Name    string `path:"name"`
		Version int    `query:"version" minimum:"0" doc:"0: the latest"`
	}) (*templateOut, error) {
		t, err := a.Topics.Template(ownerOf(ctx), in.Name, in.Version)
		return &templateOut{t}, err
	})
	a.registerPreview()
}

func (a *api) registerPreview() {
	type previewIn struct {
		Name string `path:"name"`
		Body struct {
			Version int            `json:"version,omitempty" minimum:"0"`
			Channel string         `json:"channel"`
			Data    map[string]any `json:"data,omitempty"`
		}
	}
	type rendered struct{ Body templates.Content }
	operation(a, "read", "POST /v1/templates/{name}/preview", "Render a template", func(ctx context.Context, in *previewIn) (*rendered, error) {
		t, err := a.Topics.Template(ownerOf(ctx), in.Name, in.Body.Version)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(templates.Channels(), in.Body.Channel) {
			return nil, invalid("channel", "must be one of "+strings.Join(templates.Channels(), ", "))
		}
		c, err := templates.Parse(t)
		if err != nil {
			return nil, err
		}
		out, err := c.Render(in.Body.Channel, in.Body.Data)
		if err != nil {
			return nil, invalid("data", err.Error())
		}
		return &rendered{out}, nil
	})
}
