package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// Each text and column is AWS's own answer as localstack recorded it in
// tests/aws/services/sns/test_sns_filter_policy.snapshot.json, the first lines,
// or what Ruler's source says, the rest.
func TestErrorsAreAWSs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy, want string
		column       int
	}{
		{`{"key":[["value"]]}`, `Match value must be String, number, true, false, or null`, 10},
		{`{"key":[{"wrong-operator":true}]}`, `Unrecognized match type wrong-operator`, 31},
		{`{"key":[{"suffix":"value","prefix":"value2"}]}`, `Only one key allowed in match expression`, 37},
		{`{"key":[{"suffix":100}]}`, `suffix match pattern must be a string`, 22},
		{`{"key":[{"suffix":null}]}`, `suffix match pattern must be a string`, 23},
		{`{"key":{"suffix":"value"}}`, `"suffix" must be an object or an array`, 19},
		{`{"key":[{"suffix":[]}]}`, `suffix match pattern must be a string`, 20},
		{`{"key":[{"suffix":["test","test2"]}]}`, `suffix match pattern must be a string`, 20},
		{`{"key":{"suffix":"value","prefix":"value"}}`, `"suffix" must be an object or an array`, 19},
		{`{"key":{"not-an-operator":"value"}}`, `"not-an-operator" must be an object or an array`, 28},
		{`{"key":[{"numeric":[]}]}`, `Invalid member in numeric match: ]`, 22},
		{`{"key":[{"numeric":["operator"]}]}`, `Unrecognized numeric range operator: operator`, 32},
		{`{"key":[{"numeric":[1,"<="]}]}`, `Invalid member in numeric match: 1`, 22},
		{`{"key":[{"numeric":["=","000"]}]}`, `Value of equals must be numeric`, 26},
		{`{"key":[{"numeric":[">="]}]}`, `Value of >= must be numeric`, 26},
		{`{"key":[{"numeric":["<",100,">",10]}]}`, `Too many elements in numeric expression`, 30},
		{`{"key":[{"numeric":[">=",1,">",2]}]}`, `Bad numeric range operator: >`, 31},
		{`{"key":[{"numeric":[">",3,"<",1]}]}`, `Bottom must be less than top`, 33},
		{`{"key":[{"numeric":[">",20,"<="]}]}`, `Value of <= must be numeric`, 33},
		{`{"key":[{"numeric":[">",20,30]}]}`, `Bad value in numeric range: 30`, 30},
		{`{"key":[{"numeric":[">",20,"test"]}]}`, `Bad numeric range operator: test`, 34},
		{`{"key":[{"numeric":[">","20","<","30"]}]}`, `Value of > must be numeric`, 26},
		{`{"key":[{"numeric":[">",20,"<","30"]}]}`, `Value of < must be numeric`, 33},
		{`{"key":[{"numeric":[">",20,"<",30,"<",50]}]}`, `Too many terms in numeric range expression`, 36},
		{`{"key":[{"exists":null}]}`, `exists match pattern must be either true or false.`, 23},
		{`{"key":[{"exists":"no"}]}`, `exists match pattern must be either true or false.`, 20},
		{`{"key":[{"anything-but":{"wrong-operator":null}}]}`, `Unsupported anything-but pattern: wrong-operator`, 47},
		{`{"key":[{"anything-but":{"suffix":"test"}}]}`, `Unsupported anything-but pattern: suffix`, 36},
		{`{"key":[{"anything-but":{"exists":false}}]}`, `Unsupported anything-but pattern: exists`, 40},
		{`{"key":[{"anything-but":{"prefix":false}}]}`, `prefix match pattern must be a string`, 40},
		{`{"key_a":"value_one"}`, `"key_a" must be an object or an array`, 11},

		{`[]`, `Filter is not an object`, 2},
		{`{"key":[]}`, `Empty arrays are not allowed`, 10},
		{`{"key":{}}`, `Empty objects are not allowed`, 10},
		{`{"$or":[{"a":["x"]},{}]}`, `Empty objects are not allowed`, 23},
		{`{"$or":{"a":"x"}}`, `"a" must be an object or an array`, 14},
		{`{"key":[{}]}`, `Match expression name not found`, 11},
		{`{"key":[{"wildcard":"a*"}]}`, `Unrecognized match type wildcard`, 22},
		{`{"key":[{"cidr":7}]}`, `prefix match pattern must be a string`, 18},
		{`{"key":[{"numeric":"="}]}`, `Value of numeric must be an array.`, 21},
		{`{"key":[{"numeric":["=",1000000000.1]}]}`, `Value must be between -1.0E9 and 1.0E9, inclusive`, 38},
		{`{"key":[{"numeric":["=",1],"prefix":"x"}]}`, `Too many elements in numeric expression`, 38},
		{`{"key":[{"anything-but":true}]}`, `Value of anything-but must be an array or single string/number value.`, 29},
		{`{"key":[{"anything-but":["x",1]}]}`, mixed, 32},
		{`{"key":[{"anything-but":[]}]}`, mixed, 27},
		{`{"key":[{"anything-but":["x",null]}]}`, `Inside anything but list, start|null|boolean is not supported.`, 34},
		{`{"key":[{"anything-but":{"prefix":""}}]}`, `Null prefix not allowed`, 37},
		{`{"key":[{"anything-but":{}}]}`, `Anything-But expression name not found`, 27},
		{`{"key":[{"anything-but":-1000000001}]}`, `Value must be between -1.0E9 and 1.0E9, inclusive`, 36},
		{`{"$or":[{"numeric":123},{"prefix":"abc"}]}`, `Value of numeric must be an array.`, 23},
		{`{"😀é":1}`, `"😀é" must be an object or an array`, 9},
	} {
		want := fmt.Sprintf("FilterPolicy: %s\n at [Source: (String)\"%s\"; line: 1, column: %d]", c.want, c.policy, c.column)
		spaced := strings.NewReplacer(",", " ,\n\t", ":", " :  ", "]", " ] ").Replace(c.policy)
		for _, text := range []string{c.policy, spaced} { // AWS shows the text without white space
			_, err := filter.Parse([]byte(text), filter.Body, aws)
			require.EqualError(t, err, want, text)
			require.ErrorAs(t, err, new(filter.Error))
		}
	}
}

const mixed = `Inside anything but list, either all values are number or string, mixed type is not supported`

func TestErrorsWithoutAPlace(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{
		`{"key":[`:                                       `failed to parse JSON.`,
		`{"key":["x"]} 1`:                                `failed to parse JSON.`,
		"{\"key\":[\"\xff\"]}":                           `failed to parse JSON.`,
		`{"key":[{"cidr":"10.0.0.0"}]}`:                  `Malformed CIDR, one '/' required`,
		`{"key":[{"cidr":"10.0.0.0/"}]}`:                 `Malformed CIDR, one '/' required`,
		`{"key":[{"cidr":"10.0.0.0/8/8"}]}`:              `Malformed CIDR, one '/' required`,
		`{"key":[{"cidr":"10.0.0.0/x"}]}`:                `Malformed CIDR, mask bits must be an integer`,
		`{"key":[{"cidr":"10.0.0.0/-1"}]}`:               `Malformed CIDR, mask bits must not be negative`,
		`{"key":[{"cidr":"10.0.0/8"}]}`:                  `Nonstandard IP address: 10.0.0`,
		`{"key":[{"cidr":"10.0.0.1/32"}]}`:               `IPv4 mask bits must be < 32`,
		`{"key":[{"cidr":"2001:db8::/128"}]}`:            `IPv6 mask bits must be < 128`,
		`{"a":["` + strings.Repeat("x", 256<<10) + `"]}`: `Filter policy can not be larger than 262144 bytes`,
	} {
		_, err := filter.Parse([]byte(policy), filter.Body, aws)
		require.EqualError(t, err, "FilterPolicy: "+want, "%.100s", policy)
	}
}

func TestLongPoliciesAreCutInErrors(t *testing.T) {
	t.Parallel()
	text := `{"key":["` + strings.Repeat("x", 600) + `",[1]]}`
	_, err := filter.Parse([]byte(text), filter.Body, aws)
	require.EqualError(t, err, "FilterPolicy: Match value must be String, number, true, false, or null\n at [Source: (String)\""+
		text[:500]+`"[truncated 116 chars]; line: 1, column: 613]`)
}

// list is a list of n strings.
func list(n int) string {
	return `["` + strings.Repeat(`x","`, n-1) + `x"]`
}

// The counts are those of AWS's page and of the policies that localstack tried
// on AWS: https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
func TestLimits(t *testing.T) {
	t.Parallel()
	const complexity = "FilterPolicy: Filter policy is too complex"
	nested := func(d int) string { return strings.Repeat(`{"a":`, d) + `["x"]` + strings.Repeat("}", d) }
	flat := func(a, b, c, d int) string {
		return fmt.Sprintf(`{"source":%s,"$or":[{"metricName":%s},{"metricType":%s,"$or":[{"metricId":[1234,4321,5678,9012]},{"spaceId":%s}]}]}`,
			list(a), list(b), list(c), list(d))
	}
	for _, c := range []struct {
		policy string
		scope  filter.Scope
		want   string
	}{
		{`{"key":` + list(150) + `}`, filter.Attributes, ""},
		{`{"key":` + list(151) + `}`, filter.Attributes, complexity},
		{`{"key1":` + list(100) + `,"key2":` + list(51) + `}`, filter.Attributes, complexity},
		{flat(4, 6, 4, 4), filter.Attributes, complexity}, // 4×6 + 4×4×4 + 4×4×4 = 152
		{flat(3, 6, 4, 7), filter.Attributes, ""},         // 3×6 + 3×4×4 + 3×4×7 = 150
		{`{"$or":[{"a":` + list(3) + `},{"b":` + list(2) + `}],"d":{"e":` + list(2) + `,"$or":[{"f":["x"]},{"g":` + list(3) + `}]}}`, filter.Body, complexity}, // 160
		{`{"a":{"b":{"c":` + list(4) + `}},"d":{"e":` + list(3) + `}}`, filter.Body, ""},                                                                       // 4×3 × 3×2 = 72
		{`{"a":{"b":{"c":` + list(4) + `}},"d":{"e":` + list(3) + `},"f":` + list(3) + `}`, filter.Body, complexity},                                           // 216
		{nested(150), filter.Body, ""},
		{nested(151), filter.Body, complexity},
		{nested(5_000), filter.Body, complexity},
		{nested(2), filter.Attributes, "Filter policy scope MessageAttributes does not support nested filter policy"},
		{`{"$or":[{"a":{"b":["x"]}},{"c":["x"]}]}`, filter.Attributes, "Filter policy scope MessageAttributes does not support nested filter policy"},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1]}`, filter.Attributes, ""},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`, filter.Attributes, "FilterPolicy: Filter policy can not have more than 5 keys"},
		{`{"a":[1],"b":[1],"c":[1],"d":[1],"$or":[{"e":[1],"f":[1]},{"g":[1]}]}`, filter.Attributes, ""},
		{`{"a":{"b":[1],"c":[1],"d":[1],"e":[1],"f":[1],"g":[1]}}`, filter.Body, ""}, // 2⁶ = 64
		{`{"$or":` + strings.Repeat(`[{"a":[1]},{"$or":`, 100) + `[{"a":[1]},{"b":[1]}]` + strings.Repeat(`}]`, 100) + `}`, filter.Body, ""},
		{`{"x":[` + strings.Repeat(`[`, 9_000) + strings.Repeat(`]`, 9_000) + `]}`, filter.Body, complexity},
		{`{` + strings.Repeat(`"a":{"$or":[{"b":[1]},{"c":[1]}],`, 8) + `"d":[1]` + strings.Repeat(`}`, 8) + `}`, filter.Body, complexity},
	} {
		_, err := filter.Parse([]byte(c.policy), c.scope, aws)
		if c.want == "" {
			require.NoError(t, err, "%.100s", c.policy)
			continue
		}
		require.EqualError(t, err, c.want, "%.100s", c.policy)
	}
	_, err := filter.Parse([]byte(`{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`), filter.Attributes, filter.Limits{})
	require.NoError(t, err, "no limit of keys")
}
