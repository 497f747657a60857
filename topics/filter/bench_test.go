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
	policies []*filter.Policy  // of group 0
	messages []*filter.Message // of groups spread over all, group 0 first
	bytes    float64           // memory a policy, with the index
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

func ruled(group int) *filter.Message {
	text := func(s string) filter.Attribute { return filter.Attribute{DataType: "String", Value: s} }
	return filter.NewMessage(attributes{
		"tenant": text(fmt.Sprint("tenant-", group)), "path": text(fmt.Sprintf("orders/%d/items", group)),
		"amount": {DataType: "Number", Value: fmt.Sprint(10*group + 5)},
		"device": text(fmt.Sprint("device-", group)), "level": text("info"), "user": text(fmt.Sprint("user-", group)),
	}, nil)
}

func gather(b *testing.B, n int, rules func(group int) []string, message func(group int) *filter.Message) crowd {
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
	return c
}

const rounds = 500

// match is the time of one Match.
func (c crowd) match() time.Duration {
	begin, n := time.Now(), 0
	for _, m := range c.messages {
		c.index.Match(m, func(filter.ID) { n++ })
	}
	if n != 10*rounds {
		panic("not 10 matches each")
	}
	return time.Since(begin) / time.Duration(rounds)
}

// floor is the least there is to do: to evaluate the ten policies that take the
// message.
func (c crowd) floor() time.Duration {
	begin := time.Now()
	for range rounds {
		for _, p := range c.policies {
			if !p.Match(c.messages[0]) {
				panic("no match")
			}
		}
	}
	return time.Since(begin) / time.Duration(rounds)
}

// report measures crowds of 10, 1,000 and 100,000 policies in turns, so that a
// busy machine slows all of them.
func report(b *testing.B, rules func(group int) []string, message func(group int) *filter.Message) {
	var crowds []crowd
	for _, n := range []int{10, 1_000, 100_000} {
		crowds = append(crowds, gather(b, n, rules, message))
	}
	var took [3]time.Duration
	var floor time.Duration
	turns := 0
	for b.Loop() {
		for i, c := range crowds {
			took[i] += c.match()
		}
		floor += crowds[0].floor()
		turns++
	}
	for i, name := range []string{"ns@10", "ns@1000", "ns@100000"} {
		b.ReportMetric(float64(took[i].Nanoseconds())/float64(turns), name)
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
	}, func(group int) *filter.Message {
		return filter.NewMessage(attribute(fmt.Sprint("key-", group), "String info"), nil)
	})
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
		x.Match(filter.NewMessage(attribute("level", "String level-77"), nil), func(filter.ID) { matches++ })
	}
	require.Equal(b, n-10, matches)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(matches), "ns/match")
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
