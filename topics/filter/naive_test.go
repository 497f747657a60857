package filter_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// naive evaluates the JSON of a policy on the JSON of a body each time anew,
// the plainest way there is. It knows correct policies only.
func naive(policy, body string) bool {
	var p map[string]any
	var b any
	if json.Unmarshal([]byte(policy), &p) != nil || json.Unmarshal([]byte(body), &b) != nil {
		return false
	}
	object, ok := b.(map[string]any)
	return len(p) == 0 || ok && slices.ContainsFunc(alternatives(p, ""), func(rules map[string][]any) bool {
		for path, conditions := range rules {
			values := under(object, strings.Split(path, "."))
			if !slices.ContainsFunc(conditions, func(c any) bool { return takes(c, values) }) {
				return false
			}
		}
		return true
	})
}

// alternatives are the ways through a policy as flat rules. Policies here ask
// no key twice, so the order of a map does not matter.
func alternatives(p map[string]any, path string) []map[string][]any {
	all := []map[string][]any{{}}
	for key, rule := range p {
		var ways []map[string][]any
		switch rule := rule.(type) {
		case map[string]any:
			ways = alternatives(rule, path+key+".")
		case []any:
			if key != "$or" {
				ways = []map[string][]any{{path + key: rule}}
				break
			}
			for _, alternative := range rule {
				ways = append(ways, alternatives(alternative.(map[string]any), path)...)
			}
		}
		var product []map[string][]any
		for _, a := range all {
			for _, w := range ways {
				both := map[string][]any{}
				for _, m := range []map[string][]any{a, w} {
					for k, v := range m {
						both[k] = v
					}
				}
				product = append(product, both)
			}
		}
		all = product
	}
	return all
}

// under are the values at a path, in and below lists.
func under(v any, path []string) (values []any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			values = append(values, under(e, path)...)
		}
	case map[string]any:
		for n := range path { // a key may have dots
			if below, ok := v[strings.Join(path[:n+1], ".")]; ok {
				values = append(values, under(below, path[n+1:])...)
			}
		}
	default:
		if len(path) == 0 {
			values = []any{v}
		}
	}
	return values
}

func takes(c any, values []any) bool {
	operator, ok := c.(map[string]any)
	if !ok {
		return slices.ContainsFunc(values, func(v any) bool { return same(c, v) })
	}
	for name, arg := range operator {
		if name == "exists" {
			return arg == (len(values) > 0)
		}
		return slices.ContainsFunc(values, func(v any) bool { return takesOne(name, arg, v) })
	}
	return false
}

func same(a, b any) bool {
	x, ok := a.(float64)
	y, both := b.(float64)
	if ok && both && math.Abs(x) <= 1e9 && math.Abs(y) <= 1e9 {
		return math.Abs(x-y) < 0.000005
	}
	return a == b
}

func takesOne(name string, arg, v any) bool {
	s, isText := v.(string)
	switch name {
	case "prefix":
		return isText && strings.HasPrefix(s, arg.(string))
	case "suffix":
		return isText && strings.HasSuffix(s, arg.(string))
	case "equals-ignore-case":
		return isText && strings.EqualFold(s, arg.(string))
	case "cidr":
		ip, err := netip.ParseAddr(s)
		return isText && err == nil && netip.MustParsePrefix(arg.(string)).Masked().Contains(ip)
	case "anything-but":
		switch arg := arg.(type) {
		case []any:
			return !slices.ContainsFunc(arg, func(a any) bool { return same(a, v) })
		case map[string]any:
			return !isText || !strings.HasPrefix(s, arg["prefix"].(string))
		}
		return !same(arg, v)
	case "numeric":
		n, ok := v.(float64)
		list := arg.([]any)
		for i := 0; i < len(list); i += 2 {
			bound := list[i+1].(float64)
			ok = ok && map[string]bool{"=": n == bound, "<": n < bound, "<=": n <= bound, ">": n > bound, ">=": n >= bound}[list[i].(string)]
		}
		return ok
	}
	panic("no operator " + name)
}

var (
	words   = []string{"", "a", "ab", "abc", "bc", "ABC", "1", "10.0.0.1", "10.1.0.1", "2001:db8::1", "true"}
	numbers = []float64{-1e9, -1, 0, 1, 1.5, 99.99999, 100, 1e9}
)

func quoted(w string) string { return strconv.Quote(w) }

func text(n float64) string { return strconv.FormatFloat(n, 'g', -1, 64) }

// draws are what the generators draw from: words, numbers and literals.
type draws struct{ *rapid.T }

func (d draws) word() string { return quoted(rapid.SampledFrom(words).Draw(d.T, "word")) }

func (d draws) number() string { return text(rapid.SampledFrom(numbers).Draw(d.T, "number")) }

func (d draws) scalar() string {
	switch rapid.IntRange(0, 4).Draw(d.T, "kind") {
	case 0:
		return d.number()
	case 1:
		return rapid.SampledFrom([]string{"true", "false", "null"}).Draw(d.T, "literal")
	}
	return d.word()
}

func (d draws) list(least, most int, element func() string) string {
	all := make([]string, rapid.IntRange(least, most).Draw(d.T, "n"))
	for i := range all {
		all[i] = element()
	}
	return "[" + strings.Join(all, ",") + "]"
}

func (d draws) condition() string {
	operator := rapid.SampledFrom([]string{"", "", "", "prefix", "suffix", "equals-ignore-case", "numeric", "exists", "cidr",
		"not word", "not number", "not list", "not prefix"}).Draw(d.T, "operator")
	switch operator {
	case "":
		return d.scalar()
	case "numeric":
		return d.numeric()
	case "exists":
		return fmt.Sprintf(`{"exists":%v}`, rapid.Bool().Draw(d.T, "exists"))
	case "cidr":
		return `{"cidr":` + quoted(rapid.SampledFrom([]string{"10.0.0.0/8", "10.0.0.0/16", "10.1.2.3/16", "2001:db8::/32", "::/0"}).Draw(d.T, "net")) + `}`
	case "not word":
		return `{"anything-but":` + d.word() + `}`
	case "not number":
		return `{"anything-but":` + d.number() + `}`
	case "not list":
		return `{"anything-but":` + d.list(1, 3, d.word) + `}`
	case "not prefix":
		return `{"anything-but":{"prefix":` + quoted(rapid.SampledFrom(words[1:]).Draw(d.T, "prefix")) + `}}`
	}
	return `{"` + operator + `":` + d.word() + `}`
}

func (d draws) numeric() string {
	i := rapid.IntRange(0, len(numbers)-2).Draw(d.T, "bottom")
	bottom, top := text(numbers[i]), text(numbers[rapid.IntRange(i+1, len(numbers)-1).Draw(d.T, "top")])
	switch up, down := ">=", "<="; rapid.IntRange(0, 3).Draw(d.T, "form") {
	case 0:
		return `{"numeric":["=",` + bottom + `]}`
	case 1:
		return `{"numeric":["` + up[:rapid.IntRange(1, 2).Draw(d.T, "up")] + `",` + bottom + `]}`
	case 2:
		return `{"numeric":["` + down[:rapid.IntRange(1, 2).Draw(d.T, "down")] + `",` + top + `]}`
	default:
		return `{"numeric":["` + up[:rapid.IntRange(1, 2).Draw(d.T, "up")] + `",` + bottom + `,"` +
			down[:rapid.IntRange(1, 2).Draw(d.T, "down")] + `",` + top + `]}`
	}
}

// object draws a policy's object over some of the keys, each asked once at most.
func (d draws) object(keys []string, depth int) string {
	var members []string
	for i := 0; i < len(keys); i++ {
		form := rapid.IntRange(0, 5).Draw(d.T, "form of "+keys[i])
		switch {
		case form == 0 && len(members) > 0:
		case form == 1 && depth > 0 && keys[i] == "a": // not too complex
			members = append(members, `"a":`+d.object([]string{"x", "y"}, depth-1))
		case form == 2 && i+1 < len(keys):
			members = append(members, `"$or":[`+d.object(keys[i:i+1], 0)+`,`+d.object(keys[i+1:], depth)+`]`)
			return "{" + strings.Join(members, ",") + "}"
		default:
			members = append(members, quoted(keys[i])+":"+d.list(1, 2, d.condition))
		}
	}
	return "{" + strings.Join(members, ",") + "}"
}

var keys = []string{"a", "b", "c.x", "d"}

func (d draws) policy(scope filter.Scope) string { return d.object(keys, int(scope)) }

// body draws a message's body over the same keys.
func (d draws) body() string {
	var value func(depth int) string
	object := func(depth int, keys []string) string {
		var members []string
		for _, k := range keys {
			if rapid.IntRange(0, 3).Draw(d.T, "has "+k) > 0 {
				members = append(members, quoted(k)+":"+value(depth))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	value = func(depth int) string {
		form := rapid.IntRange(0, 6).Draw(d.T, "form")
		switch {
		case form == 0 && depth > 0:
			return object(depth-1, []string{"x", "y"})
		case form == 1 && depth > 0:
			return d.list(0, 3, func() string { return value(depth - 1) })
		}
		return d.scalar()
	}
	return object(2, append(slices.Clone(keys), "c"))
}

// attributes draws message attributes, and the body that says the same.
func (d draws) attributes() (attributes, string) {
	all, members := attributes{}, []string{}
	for _, k := range keys {
		dataType := rapid.SampledFrom([]string{"", "Binary", "String", "String", "Number", "String.Array"}).Draw(d.T, "type of "+k)
		a, same := filter.Attribute{DataType: dataType}, ""
		switch dataType {
		case "":
			continue
		case "Binary":
			a.Value = "a"
		case "String":
			a.Value = rapid.SampledFrom(words).Draw(d.T, "word")
			same = quoted(a.Value)
		case "Number":
			a.Value = d.number()
			same = a.Value
		case "String.Array":
			a.Value = d.list(0, 3, d.scalar)
			same = a.Value
		}
		all[k] = a
		if same != "" {
			members = append(members, quoted(k)+":"+same)
		}
	}
	return all, "{" + strings.Join(members, ",") + "}"
}
