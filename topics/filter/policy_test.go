package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

var aws = filter.Limits{Keys: filter.AWSKeys}

type attributes = map[string]filter.Attribute

func parse(t require.TestingT, text string, scope filter.Scope) *filter.Policy {
	p, err := filter.Parse([]byte(text), scope, aws)
	require.NoError(t, err, text)
	return p
}

// attribute writes one message attribute: "String rugby".
func attribute(name, typeAndValue string) attributes {
	dataType, v, _ := strings.Cut(typeAndValue, " ")
	return attributes{name: {DataType: dataType, Value: v}}
}

// The examples of AWS's pages, each policy with what it takes (+) and what not (-):
// https://docs.aws.amazon.com/sns/latest/dg/string-value-matching.html,
// https://docs.aws.amazon.com/sns/latest/dg/numeric-value-matching.html,
// https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
func TestExamplesOfOneAttribute(t *testing.T) {
	t.Parallel()
	for policy, cases := range map[string][]string{
		`["rugby","tennis"]`: {
			"+String rugby", "+String tennis", `+String.Array ["rugby","tennis"]`, `+String.Array ["baseball","tennis"]`,
			"-String baseball", `-String.Array ["baseball"]`, "-String Rugby", "-Binary rugby", "-",
		},
		`[{"anything-but":["rugby","tennis"]}]`: {
			"+String baseball", "+String football", `+String.Array ["rugby","baseball"]`,
			"-String rugby", `-String.Array ["rugby"]`, "-",
		},
		`[{"anything-but":["rugby"]},{"exists":false}]`: {"+String tennis", "-", "+Binary x", "-String rugby"},
		`[{"anything-but":{"prefix":"order-"}}]`:        {"+String data-entry", "-String order-number", "-"},
		`[{"equals-ignore-case":"tennis"}]`:             {"+String TENNIS", "+String Tennis", "-String rugby"},
		`[{"prefix":"bas"}]`:                            {"+String baseball", "+String basketball", "+String bas", "-String rugby", "-String Baseball"},
		`[{"suffix":"ball"}]`:                           {"+String baseball", "+String basketball", "-String rugby", "-String all"},
		`[{"cidr":"10.0.0.0/24"}]`:                      {"+String 10.0.0.0", "+String 10.0.0.255", "-String 10.1.1.0", "-String 10.0.0", "-String ::1"},
		`[{"cidr":"2001:db8::/32"}]`:                    {"+String 2001:db8:1::1", "-String 2001:db9::1", "-String 10.0.0.1"},
		`[{"numeric":["=",301.5]}]`:                     {"+Number 301.5", "+Number 3.015e2", "-Number 301.6", "-String 301.5"},
		`[301.5]`:                                       {"+Number 301.5", "+Number 301.50", "+Number 3.015e2", "-String 301.5"},
		`["301.5"]`:                                     {"+String 301.5", "-String 301.50", "-Number 301.5"},
		`[{"anything-but":[100,500]}]`:                  {"+Number 101", "+Number 100.1", "+Number.Array [100,50]", "-Number 100", "-Number 1e2", "-"},
		`[{"anything-but":100}]`:                        {"+Number 101", "-Number 100"},
		`[{"numeric":["<",0]}]`:                         {"+Number -1", "+Number -0.00001", "-Number 0", "-Number 1"},
		`[{"numeric":[">",0,"<=",150]}]`:                {"+Number 0.00001", "+Number 100", "+Number 150", "-Number 0", "-Number 150.00001", "-Number 151"},
		`[{"numeric":[">=",1e9]}]`:                      {"+Number 1000000000", "-Number 1000000001", "-Number 1e400", "-Number NaN"},
		`[123456789012]`:                                {"+Number 123456789012", "-Number 123456789013", "-Number 1.23456789012e11"},
		`[123.456789]`:                                  {"+Number 123.4567891", `+String.Array [123.4567891]`, "-Number 123.4567"},
		`[{"exists":true}]`:                             {"+String x", "+Number 99", "+String.Array [null]", "-", "-Binary x", "-String.Array []", "-String.Array [", `-String.Array ["a"] 1`},
		`[{"exists":false}]`:                            {"-", "+Binary x", "+String.Array []", "-String x", "-String.Array [", `-String.Array [["a"]]`},
		`[true]`:                                        {"+String.Array [true]", "+String.Array true", "-String true", "-String.Array [false]"},
		`[null]`:                                        {"+String.Array [null]", "-String null", "-"},
		`[null,{"anything-but":"whatever"}]`:            {"-", "+String x"},
		`[""]`:                                          {"+String ", "-", "-String x"},
	} {
		for _, scope := range []string{"key", "$or"} { // $or as an ordinary key
			p := parse(t, `{"`+scope+`":`+policy+`}`, filter.Attributes)
			for _, c := range cases {
				attributes := attribute(scope, c[1:])
				if c[1:] == "" {
					attributes = nil
				}
				require.Equal(t, c[0] == '+', p.Match(filter.NewMessage(attributes, nil)), "%s: %s", policy, c)
			}
		}
	}
}

// What AWS did to these messages is recorded in localstack's
// tests/aws/services/sns/test_sns_filter_policy.py, where it says aws.validated.
func TestExamplesOfBodies(t *testing.T) {
	t.Parallel()
	records := `{"Records":{"s3":{"object":{"key":[{"prefix":"auto-"}]}},"eventName":[{"prefix":"ObjectCreated:"}]}}`
	or := `{"$or":[{"metricName":["CPUUtilization","ReadLatency"]},{"namespace":["AWS/EC2","AWS/ES"]}],
		"detail":{"scope":["Service"],"$or":[{"source":["aws.cloudwatch"]},{"type":["CloudWatch Alarm State Change"]}]}}`
	for policy, cases := range map[string][]string{
		`{"object":{"key":[{"prefix":"auto-"},"hardcodedvalue"],"nested_key":[{"exists":false}]},"test":[{"exists":false}]}`: {
			`+{"object":{"key":"auto-test"}}`, `+{"object":{"key":"hardcodedvalue"}}`,
			`-{"object":{"key":"test-auto"}}`, `-{"object":{"key":"auto-test"},"test":"just-exists"}`,
			`-{"object":{"key":"auto-test","nested_key":"just-exists"}}`, `-{"object":{"test":"auto-test"}}`,
			`-{"test":"auto-test"}`, `-Regular string message`, `-"Regular string message"`, `-`, `-[]`, `-{} {}`,
		},
		`{"object.nested.test":["string.value"]}`: {
			`+{"object":{"nested":{"test":"string.value"}}}`, `+{"object.nested.test":"string.value"}`,
			`+{"object.nested":{"test":"string.value"}}`, `+{"object":{"nested.test":"string.value"}}`,
			`-{"object":{"nested":{"test":"string.notvalue"}}}`,
		},
		`{"headers":{"route-to":["queue1"]}}`: {
			`+{"headers":{"route-to":["queue1"]}}`, `+{"headers":{"route-to":["queue1","queue2"]}}`, `-{"headers":{"route-to":["queue3"]}}`,
		},
		records: {
			`+{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"key":"auto-insurance-2314.xml","size":17}}}]}`,
			`+{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":[[{"key":"auto-insurance-2314.xml"}]]}},{"eventName":"ObjectRemoved:Delete"}]}`,
			`-{"Records":[{"eventName":"ObjectRemoved:Delete","s3":{"object":{"key":"auto-insurance-2314.xml"}}}]}`,
			`-{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"key":"home-insurance-2314.xml"}}}]}`,
		},
		or: {
			`-{"metricName":"CPUUtilization","detail":{"scope":"aws.cloudwatch","type":"CloudWatch Alarm State Change"}}`,
			`-{"metricName":"CPUUtilization","detail":{"scope":"Service","type":"CPUUtilization"}}`,
			`-{"metricName":"CPUUtilization","detail":{"scope":"Service"}}`,
			`-{"metricName":"AWS/EC2","detail":{"scope":"Service","source":"aws.cloudwatch"}}`,
			`+{"metricName":"CPUUtilization","detail":{"scope":"Service","source":"aws.cloudwatch"}}`,
			`+{"namespace":"AWS/ES","detail":{"scope":"Service","type":"CloudWatch Alarm State Change"}}`,
		},
		// An object or an empty list is no value.
		`{"a":[{"exists":true}]}`:  {`+{"a":null}`, `+{"a":[1]}`, `-{"a":{"b":1}}`, `-{"a":[]}`, `-{}`},
		`{"a":[{"exists":false}]}`: {`+{"a":{"b":1}}`, `+{"a":[]}`, `+{}`, `-{"a":null}`},
		`{"a":[null,true]}`:        {`+{"a":null}`, `+{"a":true}`, `-{"a":"null"}`, `-{"a":false}`},
		`{"a":{"":["x"]}}`:         {`+{"a":{"":"x"}}`, `+{"a.":"x"}`, `-{"":{"a":"x"}}`, `-{"a":"x"}`},
		// Of a key that occurs twice the last value counts.
		`{"a":["x"],"a":["y"]}`:                       {`+{"a":"y"}`, `-{"a":"x"}`, `+{"a":"x","a":"y"}`, `-{"a":"y","a":"x"}`},
		`{"a":["x"],"$or":[{"a":["y"]},{"b":["z"]}]}`: {`+{"a":"y"}`, `+{"a":"x","b":"z"}`, `-{"a":"x"}`, `-{"b":"z"}`},
		`{"$or":["x",{"prefix":"y"}]}`:                {`+{"$or":"x"}`, `+{"$or":"yes"}`, `-{"x":"x"}`},
		`{"$or":[{"prefix":"y"}]}`:                    {`+{"$or":"yes"}`, `-{}`},
		`{"é":[{"suffix":"ü"}]}`:                      {`+{"\u00e9":"Menü"}`, `-{"é":"u"}`},
		`{}`:                                          {`+`, `+x`, `+{}`},
		"  ":                                          {`+`, `+x`, `+{}`},
		`{"a":[{"anything-but":"x"}]}`:                {`+{"a":null}`, `+{"a":1}`, `+{"a":["x",1]}`, `-{"a":"x"}`, `-{"a":["x"]}`, `-{}`},
		`{"a":[{"numeric":[">",100,"<",100.00001]}]}`:     {`-{"a":100}`, `-{"a":100.00001}`},
		`{"a":[{"prefix":""}],"b":[{"suffix":""},false]}`: {`+{"a":"","b":"x"}`, `+{"a":"x","b":false}`, `-{"a":1,"b":"x"}`},
	} {
		p := parse(t, policy, filter.Body)
		for _, c := range cases {
			require.Equal(t, c[0] == '+', p.Match(filter.NewMessage(nil, []byte(c[1:]))), "%s: %s", policy, c)
		}
	}
}

func TestTermsAreAllAskedOfAttributes(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"source":["aws.cloudwatch"],"$or":[{"metricName":["CPU"]},{"size":[{"numeric":[">",10]}],"zone":["a","b"]}]}`, filter.Attributes)
	text := func(s string) filter.Attribute { return filter.Attribute{DataType: "String", Value: s} }
	source, eleven := text("aws.cloudwatch"), filter.Attribute{DataType: "Number", Value: "11"}
	for _, c := range []struct {
		attributes attributes
		want       bool
	}{
		{attributes{"source": source, "metricName": text("CPU")}, true},
		{attributes{"source": source, "size": eleven, "zone": text("b"), "other": text("x")}, true},
		{attributes{"source": source, "size": eleven}, false},
		{attributes{"source": source, "size": eleven, "zone": text("c")}, false},
		{attributes{"source": source}, false},
		{attributes{"metricName": text("CPU")}, false},
	} {
		require.Equal(t, c.want, p.Match(filter.NewMessage(c.attributes, nil)), c.attributes)
	}
}

func TestDeepBodiesMatchNothing(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"b":[{"exists":false}]}`, filter.Body)
	for depth, want := range map[int]bool{900: true, 1100: false, 100_000: false} {
		for _, part := range []string{`{"a":`, `[`} {
			end := map[byte]string{'{': "}", '[': "]"}[part[0]]
			body := fmt.Sprintf(`{"a":%s1%s}`, strings.Repeat(part, depth), strings.Repeat(end, depth))
			require.Equal(t, want, p.Match(filter.NewMessage(nil, []byte(body))), "%d × %s", depth, part)
		}
	}
}
