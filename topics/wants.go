package topics

import (
	"sync"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// Filter is a filter policy in the form SNS gives it.
type Filter struct {
	Policy string      `json:"policy"` // a JSON object
	Scope  FilterScope `json:"scope"`
}

// FilterScope is what a filter policy looks at.
type FilterScope string

// The scopes.
const (
	FilterAttributes FilterScope = "MessageAttributes"
	FilterBody       FilterScope = "MessageBody"
)

// Check tells what is wrong with a filter, in AWS's words; nil if nothing is.
func (f Filter) Check() error {
	_, err := f.compile()
	return err
}

func (f Filter) compile() (*filter.Policy, error) {
	scope := filter.Attributes
	if f.Scope == FilterBody {
		scope = filter.Body
	}
	return filter.Parse([]byte(f.Policy), scope, filter.Limits{Keys: filter.AWSKeys})
}

// maxPolicies is how many compiled policies are kept.
const maxPolicies = 10_000

// policies are compiled policies by their text: many subscriptions share one.
type policies struct {
	mu  sync.Mutex
	all map[Filter]*filter.Policy
}

func (c *policies) get(f Filter) (*filter.Policy, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.all[f]; p != nil {
		return p, nil
	}
	p, err := f.compile()
	if err != nil {
		return nil, err
	}
	if c.all == nil || len(c.all) >= maxPolicies {
		c.all = map[Filter]*filter.Policy{}
	}
	c.all[f] = p
	return p, nil
}

// audience is one publish as filter policies see it.
type audience struct {
	policies *policies
	message  *filter.Message
}

func (t *Topics) audience(c *content) audience {
	attributes := make(map[string]filter.Attribute, len(c.Attributes))
	for name, a := range c.Attributes {
		attributes[name] = filter.Attribute{DataType: a.Type, Value: a.Value}
	}
	return audience{&t.policies, filter.NewMessage(attributes, []byte(c.Message))}
}

// wanted tells whether a subscription gets the publish.
func (a audience) wanted(s *Subscription) (bool, error) {
	if s.Disabled != "" || s.Pending {
		return false, nil
	}
	if s.Filter == nil {
		return true, nil
	}
	p, err := a.policies.get(*s.Filter)
	return err == nil && p.Match(a.message), err
}

// limits bound one match.
type limits struct {
	candidates, matches int
	whole               bool // a part of the audience is of no use
}

// matched is what one match found.
type matched struct {
	found  []Subscription
	cursor []byte // where the next begins
	done   bool   // the audience ended
}

// match finds subscriptions that want the publish, in order of their keys
// behind its cursor: by the topic's index, or by walking them until it has
// looked at so many candidates or found so many matches.
func (t *Topics) match(p *Publish, c *content, most limits) (m matched, err error) {
	audience := t.audience(c)
	if m, ok, err := t.pick(p, audience.message, most); ok || err != nil {
		return m, err
	}
	m = matched{cursor: p.Cursor, done: true}
	looked := 0
	for r, err := range each[Subscription](t.store.Scan, queue.Registry, subscriptionsPrefix(p.Owner, p.Topic), p.Cursor) {
		if err != nil {
			return m, err
		}
		if looked == most.candidates || len(m.found) == most.matches {
			m.done = false
			break
		}
		looked++
		s := &r.value
		if string(s.ID[:]) > string(p.Audience[:]) {
			break
		}
		m.cursor = append(m.cursor[:0:0], r.key...)
		wanted, err := audience.wanted(s)
		if err != nil {
			return m, err
		}
		if wanted {
			m.found = append(m.found, *s)
		}
	}
	return m, nil
}
