package filter

import (
	"slices"
)

// reserved are the names that make a $or an ordinary key where an object in its
// list has one: https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html;
// the names are Ruler's, Constants.java.
func reserved(name string) bool {
	switch name {
	case "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
		"=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case",
		"date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
		"ip-address-in-range", "ip-address-not-in-range":
		return true
	}
	return false
}

// isOr tells the operator $or from a key of that name.
func isOr(key string, n *node) bool {
	return key == "$or" && n.kind == '[' && len(n.children) >= 2 &&
		!slices.ContainsFunc(n.children, func(alternative *node) bool {
			return alternative.kind != '{' || slices.ContainsFunc(alternative.keys, reserved)
		})
}

// measure checks the shape of an object and multiplies combinations by what is
// in it: values times level for each key, the sum of its alternatives for $or.
// It stops counting a little beyond what is allowed.
func (s *source) measure(n *node, level, combinations int) (int, error) {
	if len(n.children) == 0 {
		return 0, s.errorAt(n.end, "Empty objects are not allowed")
	}
	var err error
	for i, child := range n.children {
		switch {
		case isOr(n.keys[i], child):
			combinations, err = s.measureOr(child, level, combinations)
		case child.kind == '{':
			s.nested = true
			combinations, err = s.measure(child, level+1, combinations)
		case child.kind != '[':
			err = s.errorAt(child.mark, `"%s" must be an object or an array`, n.keys[i])
		case len(child.children) == 0:
			err = s.errorAt(child.end, "Empty arrays are not allowed")
		default:
			combinations = min(combinations*len(child.children)*level, maxCombinations+1)
		}
		if err != nil {
			return 0, err
		}
	}
	return combinations, nil
}

func (s *source) measureOr(n *node, level, combinations int) (int, error) {
	sum := 0
	for _, alternative := range n.children {
		c, err := s.measure(alternative, level, combinations)
		if err != nil {
			return 0, err
		}
		sum = min(sum+c, maxCombinations+1)
	}
	return sum, nil
}

// expand adds the terms of an object to each branch and multiplies the branches
// at each $or. As in Ruler a key that is asked twice is asked the last time.
func (s *source) expand(n *node, path string, branches []branch) ([]branch, error) {
	for i, child := range n.children {
		var err error
		key := path + n.keys[i]
		switch {
		case isOr(n.keys[i], child):
			branches, err = s.expandOr(child, path, branches)
		case child.kind == '{':
			branches, err = s.expand(child, key+".", branches)
		default:
			var conditions []condition
			conditions, err = s.conditions(child)
			for b := range branches {
				branches[b] = branches[b].with(term{key, conditions})
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return branches, nil
}

func (s *source) expandOr(n *node, path string, branches []branch) ([]branch, error) {
	var all []branch
	for _, alternative := range n.children {
		expanded, err := s.expand(alternative, path, slices.Clone(branches))
		if err != nil {
			return nil, err
		}
		all = append(all, expanded...)
	}
	return all, nil
}

// with is a copy of the branch with one more term: branches share what they have.
func (b branch) with(t term) branch {
	more := make(branch, 0, len(b)+1)
	for _, old := range b {
		if old.path != t.path {
			more = append(more, old)
		}
	}
	return append(more, t)
}
