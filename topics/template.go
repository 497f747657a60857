package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/templates"
)

// templateCache holds compiled template versions; a version never changes.
type templateCache struct {
	mu  sync.Mutex
	all map[string]*templates.Compiled
}

// forget lets go of all: a name may begin anew.
func (c *templateCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}

// PutTemplate checks a template and stores it as its next version. Durable on return.
func (t *Topics) PutTemplate(ctx context.Context, o Owner, tpl templates.Template) (templates.Template, error) {
	if _, err := templates.Parse(tpl); err != nil {
		return tpl, invalid("template", err.Error())
	}
	for {
		latest, rev, err := get[int](t.store, queue.Registry, templateLatestKey(o, tpl.Name))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return tpl, err
		}
		tpl.Version = latest + 1
		b := &queue.Batch{}
		b.Expect(templateLatestKey(o, tpl.Name), rev)
		put(b, templateLatestKey(o, tpl.Name), tpl.Version)
		put(b, templateKey(o, tpl.Name, tpl.Version), tpl)
		_, err = t.store.Commit(ctx, queue.Registry, b)
		if !errors.Is(err, queue.ErrConflict) {
			return tpl, err
		}
	}
}

// Template looks a version up; 0 is the latest. Of a deleted one nothing is found.
func (t *Topics) Template(o Owner, name string, version int) (templates.Template, error) {
	latest, _, err := get[int](t.store, queue.Registry, templateLatestKey(o, name))
	if err != nil {
		return templates.Template{}, fmt.Errorf("template %.256q: %w", name, err)
	}
	deleted, _, err := t.deletedTemplate(o, name)
	if err != nil {
		return templates.Template{}, err
	}
	switch {
	case latest <= deleted.Through:
		return templates.Template{}, fmt.Errorf("template %.256q: %w", name, ErrNotFound)
	case version == 0:
		version = latest
	case version <= deleted.Through:
		return templates.Template{}, fmt.Errorf("template %.256q version %d: %w", name, version, ErrNotFound)
	}
	return t.templateVersion(o, name, version)
}

// templateVersion reads a version, also of a template that was deleted since.
func (t *Topics) templateVersion(o Owner, name string, version int) (templates.Template, error) {
	tpl, _, err := get[templates.Template](t.store, queue.Registry, templateKey(o, name, version))
	if err != nil {
		return tpl, fmt.Errorf("template %.256q version %d: %w", name, version, err)
	}
	return tpl, nil
}

func (t *Topics) compiled(o Owner, name string, version int) (*templates.Compiled, error) {
	key := string(templateKey(o, name, version))
	t.templates.mu.Lock()
	c := t.templates.all[key]
	t.templates.mu.Unlock()
	if c != nil {
		return c, nil
	}
	tpl, err := t.templateVersion(o, name, version)
	if err != nil {
		return nil, err
	}
	if c, err = templates.Parse(tpl); err != nil {
		return nil, err
	}
	t.templates.mu.Lock()
	defer t.templates.mu.Unlock()
	if t.templates.all == nil || len(t.templates.all) >= cached {
		t.templates.all = map[string]*templates.Compiled{}
	}
	t.templates.all[key] = c
	return c, nil
}

// pinTemplate finds the version of a publish's template and renders it once
// for every channel, so that a missing variable is found before it is accepted.
func (t *Topics) pinTemplate(req *Request) error {
	if req.Template == "" {
		if req.Data != nil {
			return invalid("data", "is only for a template")
		}
		return nil
	}
	tpl, err := t.Template(req.Owner, req.Template, req.TemplateVersion)
	if err != nil {
		return invalid("template", err.Error())
	}
	req.TemplateVersion = tpl.Version
	c, err := t.compiled(req.Owner, tpl.Name, tpl.Version)
	if err != nil {
		return invalid("template", err.Error())
	}
	for _, channel := range templates.Channels() {
		data := req.Data
		if channel == Email && t.offersUnsubscribe(req.Topic, req.Lane) {
			data = withLink(data, "https://example.com/u/token")
		}
		if _, err := c.Render(channel, data); err != nil {
			return invalid("data", err.Error())
		}
	}
	return nil
}

// linkVariable is the unsubscribe link in a template, in mails that carry one:
// {{.unsubscribe_url}}, or, for a template that other mails and channels use as
// well, {{with default "" .unsubscribe_url}}…{{end}}.
const linkVariable = "unsubscribe_url"

// withLink is the data with the link, unless the publisher gave one.
func withLink(data map[string]any, link string) map[string]any {
	if _, given := data[linkVariable]; given || link == "" {
		return data
	}
	data = maps.Clone(data)
	if data == nil {
		data = map[string]any{}
	}
	data[linkVariable] = link
	return data
}
