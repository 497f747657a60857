package filter

import (
	"net/netip"
	"strconv"
	"strings"
)

// The texts and places of errors are Ruler's (JsonRuleCompiler.java), as SNS
// answers them: AWS's answers are recorded in localstack's
// tests/aws/services/sns/test_sns_filter_policy.snapshot.json.

func (s *source) conditions(list *node) ([]condition, error) {
	all := make([]condition, 0, len(list.children))
	for _, n := range list.children {
		c, err := s.condition(n)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (s *source) condition(n *node) (condition, error) {
	switch n.kind {
	case '[':
		return nil, s.errorAt(n.mark, "Match value must be String, number, true, false, or null")
	case '{':
		return s.operator(n)
	}
	return equals(scalar(n)), nil
}

// scalar is the value of a node that is no list and no object.
func scalar(n *node) value {
	switch n.kind {
	case '"':
		return value{kind: isString, text: n.text}
	case '0':
		return number(n.text)
	}
	return value{kind: isLiteral, text: n.text}
}

// operator compiles {"prefix":"x"} and its like.
func (s *source) operator(n *node) (condition, error) {
	if len(n.keys) == 0 {
		return nil, s.errorAt(n.end, "Match expression name not found")
	}
	name, arg := n.keys[0], n.children[0]
	var c condition
	var err error
	more := "Only one key allowed in match expression"
	switch name {
	case "prefix", "suffix", "equals-ignore-case", "cidr":
		c, err = s.textOperator(name, arg)
	case "exists":
		if arg.kind != 't' && arg.kind != 'f' {
			return nil, s.errorAt(arg.mark, "exists match pattern must be either true or false.")
		}
		c = exists(arg.kind == 't')
	case "numeric":
		more = "Too many elements in numeric expression"
		c, err = s.numeric(arg)
	case "anything-but":
		more = "Too many elements in numeric expression"
		c, err = s.anythingBut(arg)
	default:
		return nil, s.errorAt(arg.mark, "Unrecognized match type %s", name)
	}
	if err == nil && len(n.keys) > 1 {
		err = s.errorAt(n.children[1].mark, "%s", more)
	}
	return c, err
}

// textOperator compiles the operators that take one string.
func (s *source) textOperator(name string, arg *node) (condition, error) {
	if arg.kind != '"' {
		if name == "cidr" {
			name = "prefix" // so says AWS
		}
		return nil, s.errorAt(arg.mark, "%s match pattern must be a string", name)
	}
	switch name {
	case "prefix":
		return prefix(arg.text), nil
	case "suffix":
		return suffix(arg.text), nil
	case "cidr":
		return cidr(arg.text)
	}
	return fold(strings.ToLower(arg.text)), nil
}

// cidr refuses, as Ruler does, a network of a single address. Its errors name
// no place.
func cidr(text string) (condition, error) {
	address, mask, found := strings.Cut(text, "/")
	if !found || mask == "" || strings.Contains(mask, "/") {
		return nil, Error("FilterPolicy: Malformed CIDR, one '/' required")
	}
	bits, err := strconv.Atoi(mask)
	if err != nil {
		return nil, Error("FilterPolicy: Malformed CIDR, mask bits must be an integer")
	}
	ip, err := netip.ParseAddr(address)
	switch {
	case bits < 0:
		return nil, Error("FilterPolicy: Malformed CIDR, mask bits must not be negative")
	case err != nil, ip.Zone() != "":
		return nil, Error("FilterPolicy: Nonstandard IP address: " + address)
	case ip.Is4() && bits > 31:
		return nil, Error("FilterPolicy: IPv4 mask bits must be < 32")
	case bits > 127:
		return nil, Error("FilterPolicy: IPv6 mask bits must be < 128")
	}
	return network(netip.PrefixFrom(ip, bits).Masked()), nil
}

// anythingBut takes a string, a number, a list of either, or a prefix; SNS
// refuses the other operators inside of it that Ruler knows.
func (s *source) anythingBut(arg *node) (condition, error) {
	switch arg.kind {
	case '{':
		return s.anythingButPrefix(arg)
	case '"', '0':
		return s.not(arg, []*node{arg})
	case '[':
		return s.not(arg, arg.children)
	}
	return nil, s.errorAt(arg.mark, "Value of anything-but must be an array or single string/number value.")
}

func (s *source) anythingButPrefix(arg *node) (condition, error) {
	if len(arg.keys) == 0 {
		return nil, s.errorAt(arg.end, "Anything-But expression name not found")
	}
	inner := arg.children[0]
	switch {
	case arg.keys[0] != "prefix":
		return nil, s.errorAt(inner.mark, "Unsupported anything-but pattern: %s", arg.keys[0])
	case inner.kind != '"':
		return nil, s.errorAt(inner.mark, "prefix match pattern must be a string")
	case inner.text == "":
		return nil, s.errorAt(inner.end, "Null prefix not allowed")
	case len(arg.keys) > 1:
		return nil, s.errorAt(arg.children[1].mark, "Only one key allowed in match expression")
	}
	return notPrefix(inner.text), nil
}

func (s *source) not(arg *node, list []*node) (condition, error) {
	values := make(not, 0, len(list))
	for _, n := range list {
		if n.kind != '"' && n.kind != '0' {
			return nil, s.errorAt(n.mark, "Inside anything but list, start|null|boolean is not supported.")
		}
		v := scalar(n)
		if v.kind == isOther {
			return nil, s.errorAt(n.end, "%s", outOfRange)
		}
		values = append(values, v)
		if v.kind != values[0].kind {
			return nil, s.errorAt(arg.end, "%s", mixed)
		}
	}
	if len(values) == 0 {
		return nil, s.errorAt(arg.end, "%s", mixed)
	}
	return values, nil
}

const mixed = "Inside anything but list, either all values are number or string, mixed type is not supported"
