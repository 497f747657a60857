package filter_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics/filter"
)

// crowd is policies in groups of ten, and for each group the message that all
// of its policies take and no other policy does.
type crowd struct {
	index    *filter.Index
	policies []*filter.Policy // of group 0
	messages []attributes     // of groups spread over all, group 0 first
	bytes    float64          // memory a policy, with the index
}

// rules are those of one group: 60 % exact strings, 10 % each prefix, numeric
// range, anything-but and exists: false. The last two alone would take nearly
// every message, so they narrow an exact string.
func rules(group int) []string {
	all := []string{
		fmt.Sprintf(`"path":[{"prefix":"orders/%d/"}]`, group),
		fmt.Sprintf(`"amount":[{"numeric":[">=",%d,"<",%d]}]`, 10*group, 10*group+10),
		fmt.Sprintf(`"device":["device-%d"],"level":[{"anything-but":["debug","trace"]}]`, group),
		fmt.Sprintf(`"user":["user-%d"],"test":[{"exists":false}]`, group),
	}
	for range 6 {
		all = append(all, fmt.Sprintf(`"tenant":["tenant-%d"]`, group))
	}
	// $or in a tenth, of each kind in turn.
	all[group%10] = fmt.Sprintf(`"$or":[{"region":["region-%d"]},{%s}]`, group, all[group%10])
	return all
}

func ruled(group int) attributes {
	text := func(s string) filter.Attribute { return filter.Attribute{DataType: "String", Value: s} }
	return attributes{
		"tenant": text(fmt.Sprint("tenant-", group)), "path": text(fmt.Sprintf("orders/%d/items", group)),
		"amount": {DataType: "Number", Value: fmt.Sprint(10*group + 5)},
		"device": text(fmt.Sprint("device-", group)), "level": text("info"), "user": text(fmt.Sprint("user-", group)),
	}
}

func gather(b testing.TB, n int, rules func(group int) []string, message func(group int) attributes) crowd {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := crowd{index: filter.NewIndex()}
	for g := range n / 10 {
		for i, rule := range rules(g) {
			p := parse(b, "{"+rule+"}", filter.Attributes)
			c.index.Set(id(10*g+i), p)
			if g == 0 {
				c.policies = append(c.policies, p)
			}
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	c.bytes = (float64(after.HeapAlloc) - float64(before.HeapAlloc)) / float64(n)
	for i := range rounds {
		c.messages = append(c.messages, message(i*7919%(n/10)))
	}
	require.Len(b, found(c.index, filter.NewMessage(c.messages[1], nil)), 10)
	return c
}

const rounds = 500

// match is the time to prepare a message and match it.
func (c crowd) match() time.Duration {
	begin, n := time.Now(), 0
	for _, m := range c.messages {
		c.index.Match(filter.NewMessage(m, nil), func(filter.ID) bool { n++; return true })
	}
	if n != 10*rounds {
		panic("not 10 matches each")
	}
	return time.Since(begin) / time.Duration(rounds)
}

// looked is how many branches of policies the messages have looked at.
func (c crowd) looked() (n int) {
	for _, m := range c.messages {
		n += c.index.Looked(filter.NewMessage(m, nil))
	}
	return n
}

// floor is the least there is to do: to prepare the message and evaluate the ten
// policies that take it.
func (c crowd) floor() time.Duration {
	begin := time.Now()
	for range rounds {
		m := filter.NewMessage(c.messages[0], nil)
		for _, p := range c.policies {
			if !p.Match(m) {
				panic("no match")
			}
		}
	}
	return time.Since(begin) / time.Duration(rounds)
}

// report measures crowds of 10, 1,000 and 100,000 policies in turns; of each the
// best turn counts, the one in which the machine did the least beside it.
func report(b *testing.B, rules func(group int) []string, message func(group int) attributes) {
	var crowds []crowd
	for _, n := range []int{10, 1_000, 100_000} {
		crowds = append(crowds, gather(b, n, rules, message))
	}
	took := []time.Duration{time.Hour, time.Hour, time.Hour}
	floor := time.Hour
	for b.Loop() {
		for i, c := range crowds {
			took[i] = min(took[i], c.match())
		}
		floor = min(floor, crowds[0].floor())
	}
	for i, name := range []string{"ns@10", "ns@1000", "ns@100000"} {
		b.ReportMetric(float64(took[i].Nanoseconds()), name)
	}
	b.ReportMetric(float64(took[2])/float64(took[1]), "100000/1000")
	b.ReportMetric(float64(took[2])/float64(floor), "100000/floor")
	b.ReportMetric(crowds[2].bytes, "B/policy")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMix has to keep 100000/1000 within 5.
func BenchmarkMix(b *testing.B) { report(b, rules, ruled) }

// BenchmarkAnythingButAlone has nothing but anything-but, on a key a group: an
// index can tell only that the key is there.
func BenchmarkAnythingButAlone(b *testing.B) {
	report(b, func(group int) (all []string) {
		for i := range 10 {
			all = append(all, fmt.Sprintf(`"key-%d":[{"anything-but":["x%d"]}]`, group, i))
		}
		return all
	}, func(group int) attributes { return attribute(fmt.Sprint("key-", group), "String info") })
}

// BenchmarkAnythingButOnOneKey is all of 100,000 policies on one key, of which
// each message misses ten: there are as many matches as policies, and each has
// to be looked at.
func BenchmarkAnythingButOnOneKey(b *testing.B) {
	const n = 100_000
	x := filter.NewIndex()
	for i := range n {
		x.Set(id(i), parse(b, fmt.Sprintf(`{"level":[{"anything-but":["level-%d"]}]}`, i/10), filter.Attributes))
	}
	matches := 0
	for b.Loop() {
		matches = 0
		x.Match(filter.NewMessage(attribute("level", "String level-77"), nil), func(filter.ID) bool { matches++; return true })
	}
	require.Equal(b, n-10, matches)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(matches), "ns/match")
}

// A hundred times as many policies, for the same matches: an index must not
// look at a hundred times as many.
func TestMatchFollowsItsMatches(t *testing.T) {
	crowded := func(group int) (all []string) { // each with a term that takes every message
		for i, rule := range []string{`"tenant":["tenant-%d"]`, `"path":[{"prefix":"orders/%d/"}]`, `"amount":[{"numeric":["=",%d.5e1]}]`} {
			for range 3 + i/2 {
				all = append(all, fmt.Sprintf(`"level":["info",{"prefix":"i"}],`+rule+`,"user":[{"exists":true}]`, group))
			}
		}
		return all
	}
	for name, rules := range map[string]func(group int) []string{"mix": rules, "crowded": crowded} {
		few, many := gather(t, 100, rules, ruled), gather(t, 10_000, rules, ruled)
		require.LessOrEqual(t, many.looked(), 2*few.looked(), name)
	}
}

// BenchmarkSet replaces policies of an index of 100,000.
func BenchmarkSet(b *testing.B) {
	c := gather(b, 100_000, rules, ruled)
	p := c.policies[0]
	i := 0
	for b.Loop() {
		c.index.Set(id(i%100_000), p)
		i++
	}
}
