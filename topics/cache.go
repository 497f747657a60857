package topics

import (
	"sync"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/templates"
)

// loaded is a publish with its content and compiled template, for hand-off.
type loaded struct {
	Publish
	content  content
	template *templates.Compiled
}

const cached = 256

// publishCache holds the publishes being delivered just now. An entry is
// forgotten when its publish changes.
type publishCache struct {
	mu  sync.Mutex
	all map[queue.ID]*loaded
	gen uint64
}

func (c *publishCache) get(id queue.ID) (*loaded, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[id], c.gen
}

// put keeps what was loaded, unless anything was forgotten since gen: then it
// may be old already.
func (c *publishCache) put(id queue.ID, l *loaded, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen != gen {
		return
	}
	if c.all == nil || len(c.all) >= cached {
		c.all = make(map[queue.ID]*loaded, cached)
	}
	c.all[id] = l
}

func (c *publishCache) forget(id queue.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	delete(c.all, id.WithOrdinal(0))
}

// load gets the publish of a delivery.
func (t *Topics) load(id queue.ID) (*loaded, error) {
	id = id.WithOrdinal(0)
	l, gen := t.cache.get(id)
	if l != nil {
		return l, nil
	}
	p, _, err := get[Publish](t.store, id.Shard(), publishKey(id))
	if err != nil {
		return nil, err
	}
	c, _, err := get[content](t.store, id.Shard(), contentKey(id))
	if err != nil {
		return nil, err
	}
	l = &loaded{Publish: p, content: c}
	if p.Template != "" {
		if l.template, err = t.compiled(p.Owner, p.Template, p.TemplateVersion); err != nil {
			return nil, err
		}
	}
	t.cache.put(id, l, gen)
	return l, nil
}
