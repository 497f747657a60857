// Package policy changes access policies as AddPermission and RemovePermission
// do. Policies are kept and shown; who may do what is decided by the account
// alone.
package policy

import (
	"encoding/json"
	"slices"
)

// Policy is an access policy. Its statements keep their text.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
type Policy struct {
	Version   string     `json:"Version"`
	ID        string     `json:"Id,omitempty"`
	Statement statements `json:"Statement"`
}

// statements are a list, or one without brackets.
type statements []json.RawMessage

// UnmarshalJSON reads either.
func (s *statements) UnmarshalJSON(text []byte) error {
	if text[0] == '{' {
		*s = statements{slices.Clone(text)}
		return nil
	}
	return json.Unmarshal(text, (*[]json.RawMessage)(s))
}

// Statement is one that Add makes.
type Statement struct {
	Sid       string         `json:"Sid"`
	Effect    string         `json:"Effect"`
	Principal map[string]any `json:"Principal"`
	Action    any            `json:"Action"`
	Resource  string         `json:"Resource"`
	Condition any            `json:"Condition,omitempty"`
}

// Accounts are a Principal: everybody in these AWS accounts.
func Accounts(numbers []string) map[string]any {
	return map[string]any{"AWS": oneOrMany("arn:aws:iam::", numbers, ":root")}
}

// Actions are an Action: these of a service, such as SQS.
func Actions(service string, names []string) any { return oneOrMany(service+":", names, "") }

// oneOrMany writes a list as policies do: one alone without brackets.
func oneOrMany(before string, names []string, behind string) any {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = before + name + behind
	}
	if len(all) == 1 {
		return all[0]
	}
	return all
}

// Read reads a policy's text. It fails where statements are no list of objects,
// nor one.
func Read(text string) (p Policy, err error) {
	err = json.Unmarshal([]byte(text), &p)
	return p, err
}

// String is the policy's text.
func (p *Policy) String() string {
	text, _ := json.Marshal(p) // it was read, or is made of strings: cannot fail
	return string(text)
}

// Add adds a statement, unless one has its Sid.
func (p *Policy) Add(s Statement) bool {
	if p.find(s.Sid) >= 0 {
		return false
	}
	text, _ := json.Marshal(s) // strings: cannot fail
	p.Statement = append(p.Statement, text)
	return true
}

// Remove takes a statement away, if there is one of this Sid.
func (p *Policy) Remove(sid string) bool {
	i := p.find(sid)
	if i < 0 {
		return false
	}
	p.Statement = slices.Delete(p.Statement, i, i+1)
	return true
}

// find is the place of a statement, or -1.
func (p *Policy) find(sid string) int {
	return slices.IndexFunc(p.Statement, func(text json.RawMessage) bool {
		var s struct{ Sid string }
		return json.Unmarshal(text, &s) == nil && s.Sid == sid
	})
}
