package filter

import (
	"math"
	"strconv"
	"strings"
)

// Numbers compare as whole numbers of 0.00001: AWS promises five digits after
// the point, from -10⁹ to 10⁹.
const (
	grid      = 1e5
	maxNumber = 1e9
	top       = int64(maxNumber * grid)
)

const outOfRange = "Value must be between -1.0E9 and 1.0E9, inclusive"

// number reads a number. One beyond the bounds keeps its text: like in Ruler it
// equals the same text only (AWS's account numbers, for example).
func number(text string) value {
	if strings.Trim(text, "+-.0123456789eE") == "" {
		if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) <= maxNumber {
			return value{kind: isNumber, number: int64(math.Round(f * grid))}
		}
	}
	return value{kind: isOther, text: text}
}

// numeric compiles ["=", 1], ["<", 1] and [">", 1, "<=", 2].
func (s *source) numeric(arg *node) (condition, error) {
	if arg.kind != '[' {
		return nil, s.errorAt(arg.mark, "Value of numeric must be an array.")
	}
	r := terms{s, arg, 0}
	operator, pos := r.next()
	switch {
	case operator == nil:
		return nil, s.errorAt(pos, "Invalid member in numeric match: ]")
	case operator.kind != '"':
		return nil, s.errorAt(pos, "Invalid member in numeric match: %s", operator.text)
	}
	bound, err := r.number(operator.text)
	if err != nil {
		return nil, err
	}
	all := between{-top, top}
	switch operator.text {
	case "=":
		return equals(value{kind: isNumber, number: bound}), r.end("Too many elements in numeric expression")
	case "<":
		all.hi = bound - 1
		return all, r.end("Too many elements in numeric expression")
	case "<=":
		all.hi = bound
		return all, r.end("Too many elements in numeric expression")
	case ">":
		all.lo = bound + 1
	case ">=":
		all.lo = bound
	}
	if len(arg.children) == 2 {
		return all, nil
	}
	return r.upper(all, bound)
}

// terms walks over the list of a numeric condition.
type terms struct {
	s    *source
	list *node
	i    int
}

// next is the next term, or nil, and where Ruler stands when it has met it.
func (r *terms) next() (*node, int) {
	if r.i == len(r.list.children) {
		return nil, r.list.end
	}
	n := r.list.children[r.i]
	r.i++
	return n, n.mark
}

// number is the term after an operator.
func (r *terms) number(operator string) (int64, error) {
	n, pos := r.next()
	switch operator {
	case "=":
		operator = "equals"
	case "<", "<=", ">", ">=":
	default:
		return 0, r.s.errorAt(pos, "Unrecognized numeric range operator: %s", operator)
	}
	if n == nil || n.kind != '0' {
		return 0, r.s.errorAt(pos, "Value of %s must be numeric", operator)
	}
	v := number(n.text)
	if v.kind != isNumber {
		return 0, r.s.errorAt(r.list.end, "%s", outOfRange)
	}
	return v.number, nil
}

func (r *terms) end(text string) error {
	if n, pos := r.next(); n != nil {
		return r.s.errorAt(pos, "%s", text)
	}
	return nil
}

// upper adds the second half of a range.
func (r *terms) upper(all between, bottom int64) (condition, error) {
	operator, pos := r.next()
	switch {
	case operator.kind != '"':
		return nil, r.s.errorAt(pos, "Bad value in numeric range: %s", operator.text)
	case operator.text != "<" && operator.text != "<=":
		return nil, r.s.errorAt(operator.end, "Bad numeric range operator: %s", operator.text)
	}
	bound, err := r.number(operator.text)
	if err != nil {
		return nil, err
	}
	if err := r.end("Too many terms in numeric range expression"); err != nil {
		return nil, err
	}
	if bound <= bottom {
		return nil, r.s.errorAt(r.list.end, "Bottom must be less than top")
	}
	all.hi = bound
	if operator.text == "<" {
		all.hi--
	}
	return all, nil
}
