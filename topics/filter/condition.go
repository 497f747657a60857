package filter

import (
	"net/netip"
	"slices"
	"strings"
)

type kind uint8

const (
	isString  kind = iota + 1
	isNumber       // within the bounds of numeric conditions
	isOther        // a number beyond them
	isLiteral      // true, false, null
)

// value is one value of a message or policy; equal ones are ==.
type value struct {
	kind   kind
	number int64 // of isNumber, in 0.00001
	text   string
}

// condition is one element of a policy's list.
type condition interface {
	// match tells whether one of the values of a key does; no values: the message
	// does not have the key.
	match(f field) bool
}

type (
	equals    value
	prefix    string
	suffix    string
	fold      string // in lower case
	between   struct{ lo, hi int64 }
	network   netip.Prefix
	exists    bool
	not       []value
	notPrefix string
)

func (c equals) match(f field) bool { return slices.Contains(f.values, value(c)) }

func (c prefix) match(f field) bool {
	return f.anyText(func(s string) bool { return strings.HasPrefix(s, string(c)) })
}

func (c suffix) match(f field) bool {
	return f.anyText(func(s string) bool { return strings.HasSuffix(s, string(c)) })
}

func (c fold) match(f field) bool {
	return f.anyText(func(s string) bool { return strings.ToLower(s) == string(c) })
}

func (c network) match(f field) bool {
	return f.anyText(func(s string) bool {
		ip, err := netip.ParseAddr(s)
		return err == nil && netip.Prefix(c).Contains(ip)
	})
}

func (c between) match(f field) bool {
	return slices.ContainsFunc(f.values, func(v value) bool {
		return v.kind == isNumber && c.lo <= v.number && v.number <= c.hi
	})
}

func (c exists) match(f field) bool { return !f.invalid && bool(c) == (len(f.values) > 0) }

func (c not) match(f field) bool {
	return slices.ContainsFunc(f.values, func(v value) bool { return !slices.Contains(c, v) })
}

func (c notPrefix) match(f field) bool {
	return slices.ContainsFunc(f.values, func(v value) bool {
		return v.kind != isString || !strings.HasPrefix(v.text, string(c))
	})
}
