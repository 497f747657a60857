package rest

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Filter says which publishes a subscription gets: a filter policy as SNS has
// it (https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html).
type Filter struct {
	Policy json.RawMessage `json:"policy" doc:"an object: a name, and the values or conditions of which one must hold; all names must"`
	Scope  string          `json:"scope,omitempty" enum:"MessageAttributes,MessageBody" doc:"what it looks at: the publish's attributes (the default), or its message, a JSON object"`
}

// filter is what topics makes of it; nil of nil.
func (f *Filter) filter() (*topics.Filter, error) {
	if f == nil {
		return nil, nil
	}
	var text bytes.Buffer
	if err := json.Compact(&text, f.Policy); err != nil {
		return nil, invalid("filter.policy", "must be a JSON object")
	}
	out := &topics.Filter{Policy: text.String(), Scope: topics.FilterScope(f.Scope)}
	switch out.Scope {
	case "":
		out.Scope = topics.FilterAttributes
	case topics.FilterAttributes, topics.FilterBody:
	default: // of an import, which no schema has checked
		return nil, invalid("filter.scope", "must be MessageAttributes or MessageBody")
	}
	if err := out.Check(); err != nil {
		reason, _, _ := strings.Cut(err.Error(), "\n") // behind it SNS repeats the policy
		return nil, invalid("filter.policy", strings.TrimPrefix(reason, "FilterPolicy: "))
	}
	return out, nil
}

func showFilter(f *topics.Filter) *Filter {
	if f == nil {
		return nil
	}
	return &Filter{Policy: json.RawMessage(f.Policy), Scope: string(f.Scope)}
}
