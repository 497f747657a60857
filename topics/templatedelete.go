package topics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/queue"
)

// TemplateName names a template and its latest version.
type TemplateName struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
}

// deletedTemplate marks a template that was deleted: nobody finds its versions up
// to Through any more, save the publishes accepted before. They are kept until
// no ledger and no archive has such a publish.
type deletedTemplate struct {
	Owner   Owner     `json:"owner"`
	Name    string    `json:"name"`
	Through int       `json:"through"`
	At      time.Time `json:"at"`
}

// Templates lists templates in order of name, those behind after, at most limit.
func (t *Topics) Templates(o Owner, after string, limit int) ([]TemplateName, error) {
	deleted, err := list[deletedTemplate](t, deletedTemplateKey(o, ""), nil, -1)
	if err != nil {
		return nil, err
	}
	through := make(map[string]int, len(deleted))
	for _, d := range deleted {
		through[d.Name] = d.Through
	}
	prefix := templateLatestKey(o, "")
	var from []byte
	if after != "" {
		from = templateLatestKey(o, after)
	}
	all := []TemplateName{}
	var bad error
	err = t.store.Scan(queue.Registry, prefix, from, func(r queue.Record) bool {
		found := TemplateName{Name: string(r.Key[len(prefix):])}
		if strings.Contains(found.Name, "/") { // a version
			return true
		}
		if bad = json.Unmarshal(r.Value, &found.Version); bad != nil {
			return false
		}
		if found.Version > through[found.Name] {
			all = append(all, found)
		}
		return len(all) < limit
	})
	return all, errors.Join(err, bad)
}

// DeleteTemplate deletes a template with all its versions. What was published
// with it goes out as it was accepted, later too. Durable on return.
func (t *Topics) DeleteTemplate(ctx context.Context, o Owner, name string) error {
	for {
		latest, rev, err := get[int](t.store, queue.Registry, templateLatestKey(o, name))
		if err != nil {
			return fmt.Errorf("template %.256q: %w", name, err)
		}
		d, drev, err := t.deletedTemplate(o, name)
		if err != nil {
			return err
		}
		if latest <= d.Through {
			return fmt.Errorf("template %.256q: %w", name, ErrNotFound)
		}
		b := &queue.Batch{}
		b.Expect(templateLatestKey(o, name), rev)
		b.Expect(deletedTemplateKey(o, name), drev)
		put(b, deletedTemplateKey(o, name), deletedTemplate{Owner: o, Name: name, Through: latest, At: t.store.Now().UTC()})
		if _, err = t.store.Commit(ctx, queue.Registry, b); !errors.Is(err, queue.ErrConflict) {
			return err
		}
	}
}

// deletedTemplate is the mark of a deleted template; zero if there is none.
func (t *Topics) deletedTemplate(o Owner, name string) (deletedTemplate, uint64, error) {
	d, rev, err := get[deletedTemplate](t.store, queue.Registry, deletedTemplateKey(o, name))
	if errors.Is(err, ErrNotFound) {
		return deletedTemplate{}, 0, nil
	}
	return d, rev, err
}

// templateSweep is the pause between two rounds that remove deleted templates,
// and how old a deletion is at least by then: a publish that found the template
// before has been written long since.
const templateSweep = time.Hour

func (t *Topics) sweepTemplates(ctx context.Context) error {
	return rounds(ctx, templateSweep, func() (time.Duration, error) { return templateSweep, t.removeDeleted(ctx) })
}

// removeDeleted removes the versions of deleted templates that nothing refers to.
func (t *Topics) removeDeleted(ctx context.Context) error {
	all, err := list[deletedTemplate](t, deletedTemplatePrefix(), nil, -1)
	if err != nil {
		return err
	}
	free := map[string]deletedTemplate{}
	for _, d := range all {
		if t.store.Now().Sub(d.At) >= templateSweep {
			free[string(deletedTemplateKey(d.Owner, d.Name))] = d
		}
	}
	for shard := 0; shard < t.store.Shards() && len(free) > 0; shard++ {
		if err := t.keepUsed(ctx, shard, free); err != nil {
			return err
		}
	}
	for _, d := range free {
		if err := t.removeTemplate(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// keepUsed takes those out of free that a shard's publishes refer to, or its
// archives. Archives come first: what is replayed meanwhile is found as a publish.
func (t *Topics) keepUsed(ctx context.Context, shard int, free map[string]deletedTemplate) error {
	type use struct {
		Owner           Owner  `json:"owner"`
		Template        string `json:"template"`
		TemplateVersion int    `json:"template_version"`
	}
	for _, table := range []byte{archiveTable, 'p'} {
		for r, err := range each[use](t.store.Scan, shard, []byte{table}, nil) {
			if err = errors.Join(err, ctx.Err()); err != nil || len(free) == 0 {
				return err
			}
			p := r.value
			if table == archiveTable {
				p.Owner, _ = archiveOf(r.key)
			}
			key := string(deletedTemplateKey(p.Owner, p.Template))
			if d, ok := free[key]; ok && p.TemplateVersion <= d.Through {
				delete(free, key)
			}
		}
	}
	return nil
}

// removeTemplate removes the versions a deletion meant, a page at a time, and at
// last its mark. A template made anew meanwhile goes on counting its versions.
func (t *Topics) removeTemplate(ctx context.Context, d deletedTemplate) error {
	const page = 500
	for {
		mark, drev, err := t.deletedTemplate(d.Owner, d.Name)
		if err != nil || !mark.At.Equal(d.At) { // deleted once more: the next round has it
			return err
		}
		latest, rev, err := get[int](t.store, queue.Registry, templateLatestKey(d.Owner, d.Name))
		if err != nil {
			return err
		}
		b := &queue.Batch{}
		b.Expect(deletedTemplateKey(d.Owner, d.Name), drev)
		b.Expect(templateLatestKey(d.Owner, d.Name), rev)
		end := string(templateKey(d.Owner, d.Name, d.Through))
		err = t.store.Scan(queue.Registry, append(templateLatestKey(d.Owner, d.Name), '/'), nil, func(r queue.Record) bool {
			if string(r.Key) <= end {
				b.Remove([]byte(string(r.Key)))
			}
			return b.Len() < page && string(r.Key) < end
		})
		if err != nil {
			return err
		}
		last := b.Len() < page
		if last {
			b.Remove(deletedTemplateKey(d.Owner, d.Name))
		}
		if last && latest <= d.Through {
			b.Remove(templateLatestKey(d.Owner, d.Name))
		}
		if _, err := t.store.Commit(ctx, queue.Registry, b); err != nil && !errors.Is(err, queue.ErrConflict) {
			return err
		}
		if last {
			t.templates.forget()
			return nil
		}
	}
}
