package filter_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

func id(n int) (id filter.ID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// found counts how often an index reports each policy.
func found(x *filter.Index, m *filter.Message) map[filter.ID]int {
	all := map[filter.ID]int{}
	x.Match(m, func(id filter.ID) bool { all[id]++; return true })
	return all
}

func TestPoliciesMatchAsThePlainestEvaluation(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := draws{rt}
		policy, body := d.policy(filter.Body), d.body()
		p := parse(rt, policy, filter.Body)
		require.Equal(rt, naive(policy, body), p.Match(filter.NewMessage(nil, []byte(body))), "%s\n%s", policy, body)

		policy = d.policy(filter.Attributes)
		attributes, body := d.attributes()
		p = parse(rt, policy, filter.Attributes)
		want := len(attributes) > 0 && naive(policy, body)
		require.Equal(rt, want, p.Match(filter.NewMessage(attributes, nil)), "%s\n%v", policy, attributes)
	})
}

// Policies come, are replaced and go; after each change the index finds what
// every single policy says, and once.
func TestIndexFindsWhatEveryPolicySays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		d := draws{rt}
		x, policies := filter.NewIndex(), map[filter.ID]*filter.Policy{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			id := id(rapid.IntRange(0, 20).Draw(rt, "id"))
			if rapid.IntRange(0, 3).Draw(rt, "step") == 0 {
				x.Remove(id)
				delete(policies, id)
			} else {
				scope := filter.Scope(rapid.IntRange(0, 1).Draw(rt, "scope"))
				text := "{}"
				if rapid.IntRange(0, 20).Draw(rt, "all") > 0 {
					text = d.policy(scope)
				}
				policies[id] = parse(rt, text, scope)
				x.Set(id, policies[id])
			}
			attributes, _ := d.attributes()
			if rapid.IntRange(0, 9).Draw(rt, "attributes") == 0 {
				attributes = nil
			}
			body := rapid.SampledFrom([]string{d.body(), "{}", "[]", ""}).Draw(rt, "body")
			m := filter.NewMessage(attributes, []byte(body))
			want := map[filter.ID]int{}
			for id, p := range policies {
				if p.Match(m) {
					want[id] = 1
				}
			}
			require.Equal(rt, want, found(x, m))
			require.Equal(rt, len(policies), x.Len())
		}
	})
}

// A policy that several values of one key meet, or that a value meets in several
// ways, is found once.
func TestIndexFindsAPolicyOnce(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex()
	for i, text := range []string{
		`{"k":[{"prefix":"a"}]}`, `{"k":["ab",{"prefix":"a"},{"suffix":"b"}]}`, `{"k":[{"anything-but":"x"}]}`, `{"$or":[{"k":["ab"]},{"l":["y"]}]}`,
	} {
		x.Set(id(i), parse(t, text, filter.Attributes))
	}
	want := map[filter.ID]int{id(0): 1, id(1): 1, id(2): 1, id(3): 1}
	more := filter.NewMessage(attributes{
		"k": {DataType: "String.Array", Value: `["ab","abb","ab"]`}, "l": {DataType: "String", Value: "y"},
	}, nil)
	require.Equal(t, want, found(x, more))
	require.Equal(t, want, found(x, filter.NewMessage(attribute("k", "String ab"), nil)))
}

// While a writer sets and removes policies beside it, readers find each policy
// that stays, and none that never matches.
func TestIndexIsReadWhileItChanges(t *testing.T) {
	t.Parallel()
	x := filter.NewIndex()
	const staying = 50
	for i := range staying {
		x.Set(id(i), parse(t, `{"k":["v"],"n":[{"numeric":[">",0]}]}`, filter.Attributes))
	}
	never := parse(t, `{"k":[{"prefix":"x"},"v"],"n":[{"numeric":["<",0]}]}`, filter.Attributes)
	m := filter.NewMessage(attributes{"k": {DataType: "String", Value: "v"}, "n": {DataType: "Number", Value: "7"}}, nil)
	stop := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			x.Set(id(staying+i%100), never)
			x.Remove(id(staying + (i+50)%100))
		}
	})
	for range 2 {
		readers.Go(func() {
			for range 200 {
				got := found(x, m)
				if len(got) != staying {
					t.Errorf("found %d policies, want %d", len(got), staying)
					return
				}
			}
		})
	}
	readers.Wait()
	close(stop)
	writer.Wait()
}

// Many ranges, some open: the tree of ranges is as deep as it gets.
func TestIndexOfManyRanges(t *testing.T) {
	t.Parallel()
	x, policies := filter.NewIndex(), map[filter.ID]*filter.Policy{}
	for i := range 2_000 {
		text := fmt.Sprintf(`{"n":[{"numeric":[">=",%d,"<",%d]}]}`, i%500, i%500+1+i%7)
		if i%100 == 0 {
			text = fmt.Sprintf(`{"n":[{"numeric":["<=",%d]}]}`, i)
		}
		policies[id(i)] = parse(t, text, filter.Attributes)
		x.Set(id(i), policies[id(i)])
	}
	check := func() {
		for n := -1; n < 520; n += 13 {
			m := filter.NewMessage(attributes{"n": {DataType: "Number", Value: fmt.Sprint(n)}}, nil)
			want := map[filter.ID]int{}
			for id, p := range policies {
				if p.Match(m) {
					want[id] = 1
				}
			}
			require.Equal(t, want, found(x, m), n)
		}
	}
	check()
	for i := range 2_000 {
		if i%3 != 0 {
			x.Remove(id(i))
			delete(policies, id(i))
		}
	}
	check()
}
