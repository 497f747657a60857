// Package filter decides which messages a subscription wants: SNS filter
// policies, compiled once, and an index over very many of them that finds the
// policies that match a message without looking at the others.
//
// Where AWS's pages leave a question open, the behaviour is that of Ruler, the
// library AWS published its matching as: https://github.com/aws/event-ruler.
package filter

import (
	"fmt"
	"strings"
)

// Scope says which part of a message a policy looks at.
type Scope uint8

// The two values of a subscription's FilterPolicyScope.
const (
	Attributes Scope = iota // MessageAttributes, AWS's default
	Body                    // MessageBody
)

// Bounds of AWS on one policy:
// https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
const (
	AWSKeys         = 5
	maxCombinations = 150
	maxBytes        = 256 << 10
)

// Limits are those of AWS's bounds that an operator may lift.
type Limits struct {
	Keys int // at its top level, AWSKeys on AWS; 0 is no limit
}

// Error is what AWS says about a policy it refuses, always with its code
// InvalidParameter: the SNS face puts "Invalid parameter: " before it, or
// "Invalid parameter: Attributes Reason: " when it answers a Subscribe.
type Error string

func (e Error) Error() string { return string(e) }

// Policy is a compiled filter policy. It never changes and is safe for use by
// many goroutines.
type Policy struct {
	scope    Scope
	branches []branch // a message has to match one of them
}

// branch is one way through the $or of a policy: all of its terms must match.
type branch []term

// term asks one key for a value that one of the conditions takes.
type term struct {
	path       string // keys joined with dots, as AWS does
	conditions []condition
}

// Parse compiles the JSON text of a filter policy. An empty text or object is
// a policy that matches every message: AWS takes it to remove a policy. Any
// error is an Error.
func Parse(text []byte, scope Scope, limits Limits) (*Policy, error) {
	if len(text) > maxBytes {
		return nil, Error(fmt.Sprintf("FilterPolicy: Filter policy can not be larger than %d bytes", maxBytes))
	}
	if strings.TrimSpace(string(text)) == "" {
		text = []byte("{}")
	}
	c, root, err := read(text)
	switch {
	case err != nil:
		return nil, err
	case root.kind != '{':
		return nil, c.errorAt(root.mark, "Filter is not an object")
	case len(root.children) == 0:
		return &Policy{scope, []branch{nil}}, nil
	}
	combinations, err := c.measure(root, 1, 1)
	switch {
	case err != nil:
		return nil, err
	case c.nested && scope == Attributes:
		return nil, Error("Filter policy scope MessageAttributes does not support nested filter policy")
	case limits.Keys > 0 && len(root.keys) > limits.Keys:
		return nil, Error(fmt.Sprintf("FilterPolicy: Filter policy can not have more than %d keys", limits.Keys))
	case combinations > maxCombinations:
		return nil, errTooComplex
	}
	branches, err := c.expand(root, "", []branch{nil})
	if err != nil {
		return nil, err
	}
	return &Policy{scope, branches}, nil
}

const errTooComplex = Error("FilterPolicy: Filter policy is too complex")

// Match tells whether the policy takes the message. A policy on the body takes
// none whose body is no JSON object, one on attributes none without any.
func (p *Policy) Match(m *Message) bool {
	fs, ok := m.fields(p.scope)
	for _, b := range p.branches {
		if len(b) == 0 || ok && b.match(fs) {
			return true
		}
	}
	return false
}

func (b branch) match(fs fields) bool {
	for i := range b {
		if !b[i].match(fs) {
			return false
		}
	}
	return true
}

func (t *term) match(fs fields) bool {
	f := fs[t.path]
	for _, c := range t.conditions {
		if c.match(f) {
			return true
		}
	}
	return false
}
