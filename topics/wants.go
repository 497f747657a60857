package topics

import "encoding/json"

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

// Check tells what is wrong with a filter; nil if nothing is.
func (f Filter) Check() error {
	var policy map[string]json.RawMessage
	if json.Unmarshal([]byte(f.Policy), &policy) != nil {
		return invalid("filter", "failed to parse JSON.")
	}
	if f.Scope != FilterAttributes && f.Scope != FilterBody {
		return invalid("filter_scope", "must be MessageBody or MessageAttributes")
	}
	return nil
}

// wants is the one place where a publish meets a subscription's filter policy.
// Policies are not evaluated yet: everything is wanted.
func (s *Subscription) wants(_ *content) bool { return true }
