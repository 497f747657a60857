package filter_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// sameInIndex checks that an index finds a policy if and only if it matches.
func sameInIndex(t *testing.T, p *filter.Policy, m *filter.Message) {
	t.Helper()
	x, want := filter.NewIndex(), map[filter.ID]int{}
	x.Set(id(1), p)
	if p.Match(m) {
		want[id(1)] = 1
	}
	require.Equal(t, want, found(x, m))
	x.Remove(id(1))
	require.Empty(t, found(x, m))
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `{"a":["x",1,true,null,-1.5e3,1e99]}`, `{"a":{"b":["x"]},"a.b":["y"]}`, `{"$or":[{"a":["x"]},{"b":{"c":[1]}}],"$or":["x"]}`,
		`{"a":[{"prefix":"x"},{"suffix":"y"},{"equals-ignore-case":"Z"},{"exists":false},{"cidr":"::1/8"}]}`,
		`{"a":[{"numeric":[">",1,"<=",2]},{"numeric":["=",0]}]}`, `{"a":[{"anything-but":["x"]},{"anything-but":{"prefix":"p"}},{"anything-but":7}]}`,
		`{"a":[[1]]}`, `{"a":[{"b":[`, `[[[[[[`, `{"é\ud83d":["\u0000"]}`,
	} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
	attributes := attributes{"a": {DataType: "String", Value: "x"}, "b": {DataType: "String.Array", Value: `[1,"y",null]`}, "$or": {DataType: "Number", Value: "1"}}
	message := filter.NewMessage(attributes, []byte(`{"a":"x","b":{"c":[1,true]},"d":null,"$or":"x","":"127.0.0.1"}`))
	f.Fuzz(func(t *testing.T, text []byte, body bool) {
		scope := filter.Attributes
		if body {
			scope = filter.Body
		}
		p, err := filter.Parse(text, scope, aws)
		if err != nil {
			require.ErrorAs(t, err, new(filter.Error))
			return
		}
		sameInIndex(t, p, message)
	})
}

func FuzzMessage(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `{"a":"x"}`, `{"a":[1,{"b":["10.0.0.1",null]}],"a.b":1e400}`, `{"a":{"b":-0.000001}}`, `[{"a":1}]`, `{"a":"x"} {}`,
		`{"a":"\ud800","":{"":{}}}`, "{\"a\":\"\xff\"}", `{"a":[[[[[[[[]]]]]]]]}`, `12`, `["abc",7,true]`,
	} {
		f.Add([]byte(body), "String.Array", "a")
		f.Add([]byte(body), "Number", "")
	}
	policies := map[filter.Scope][]*filter.Policy{}
	for _, text := range []string{
		`{"a":["x",null,0]}`, `{"a":[{"exists":false}],"":[{"exists":false}]}`, `{"a":[{"anything-but":["x"]}]}`, `{"a":[{"prefix":"a"},{"suffix":"c"}]}`,
		`{"a":[{"numeric":[">",-5,"<",5]},{"cidr":"10.0.0.0/8"},{"equals-ignore-case":"ÀB"}]}`, `{"$or":[{"a":[1]},{"":["x"]}]}`, `{"a":[{"anything-but":{"prefix":"x"}}]}`,
	} {
		policies[filter.Attributes] = append(policies[filter.Attributes], parse(f, text, filter.Attributes))
		policies[filter.Body] = append(policies[filter.Body], parse(f, text, filter.Body), parse(f, `{"a":{"b":[1,"x",{"exists":false}]},"c":`+`[{"exists":false}]}`, filter.Body))
	}
	f.Fuzz(func(t *testing.T, text []byte, dataType, name string) {
		m := filter.NewMessage(attributes{name: {DataType: dataType, Value: string(text)}}, text)
		for _, ps := range policies {
			for _, p := range ps {
				sameInIndex(t, p, m)
			}
		}
	})
}
