package topics_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// wish is a filter policy and what it means; without a policy, all.
type wish struct {
	policy string
	takes  func(colour string, size int) bool // "": no such attribute
}

func (w wish) filter() *topics.Filter {
	if w.policy == "" {
		return nil
	}
	return &topics.Filter{Policy: w.policy}
}

var wishes = rapid.Custom(func(rt *rapid.T) wish {
	colour, size := rapid.SampledFrom(colours).Draw(rt, "colour"), rapid.IntRange(0, 5).Draw(rt, "size")
	return rapid.SampledFrom([]wish{
		{"", func(string, int) bool { return true }},
		{`{}`, func(string, int) bool { return true }},
		{`{"colour":["` + colour + `"]}`, func(c string, _ int) bool { return c == colour }},
		{`{"colour":[{"prefix":"` + colour[:2] + `"}]}`, func(c string, _ int) bool { return strings.HasPrefix(c, colour[:2]) }},
		{`{"colour":[{"anything-but":["` + colour + `"]}]}`, func(c string, _ int) bool { return c != "" && c != colour }},
		{`{"colour":[{"exists":false}]}`, func(c string, _ int) bool { return c == "" }},
		{fmt.Sprintf(`{"size":[{"numeric":[">",%d]}],"colour":[%q]}`, size, colour), func(c string, n int) bool { return n > size && c == colour }},
		{fmt.Sprintf(`{"$or":[{"size":[%d]},{"colour":[%q]}]}`, size, colour), func(c string, n int) bool { return n == size || c == colour }},
	}).Draw(rt, "wish")
})

var colours = []string{"red", "reed", "green", "grey", "blue"}

// crowd is a topic and what is known of its subscriptions.
type crowd struct {
	*bench
	topic string
	subs  map[queue.ID]*crowdSub
	at    int // changes made so far
	made  int
	open  []published // whose audience was not looked at yet
}

type crowdSub struct {
	wish
	pending bool
	changed int // the change that was the last of it
}

func (c *crowd) subscribe(w wish, pending bool) {
	c.made++
	s, err := c.Subscribe(c.t.Context(), owner, topics.Subscription{
		Topic: c.topic, Protocol: topics.SMS, Endpoint: fmt.Sprintf("+%s/%d", c.topic, c.made), Filter: w.filter(), Pending: pending,
	})
	require.NoError(c.t, err)
	c.at++
	c.subs[s.ID] = &crowdSub{w, pending, c.at}
}

func (c *crowd) change(id queue.ID, change func(s *topics.Subscription, known *crowdSub)) {
	known := c.subs[id]
	_, err := c.ChangeSubscription(c.t.Context(), owner, id, func(s *topics.Subscription) error { change(s, known); return nil })
	require.NoError(c.t, err)
	c.at++
	known.changed = c.at
}

func (c *crowd) publish(colour string, size int) topics.Publish {
	attributes := map[string]channels.Attribute{"size": {Type: "Number", Value: strconv.Itoa(size)}}
	if colour != "" {
		attributes["colour"] = channels.Attribute{Type: "String", Value: colour}
	}
	p, _, err := c.Publish(c.t.Context(), topics.Request{Owner: owner, Topic: c.topic, Message: "hello", Attributes: attributes})
	require.NoError(c.t, err)
	return p
}

// audience is who has a delivery of a publish, once nobody is added any more.
func (b *bench) audience(id queue.ID) (ids []queue.ID) {
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(b.t, err)
		return st.Phase == topics.Expanded || st.Phase == topics.Completed
	})
	all, err := b.Deliveries(owner, id, queue.ID{}, 10_000)
	require.NoError(b.t, err)
	for _, d := range all {
		ids = append(ids, d.Subscription)
	}
	return ids
}

// narrow makes a publish of more than a few matches a broadcast.
func narrow(b *bench) *bench {
	b.Matches, b.Candidates, b.Chunk = 3, 5, 3
	return b
}

// published is a publish and whom it is for, as far as that is sure.
type published struct {
	id     queue.ID
	colour string
	size   int
	at     int // changes made before
	want   map[queue.ID]bool
}

// begin publishes and notes who wants it now.
func (c *crowd) begin(colour string, size int) topics.Publish {
	p := published{colour: colour, size: size, at: c.at, want: map[queue.ID]bool{}}
	for id, s := range c.subs {
		p.want[id] = !s.pending && s.takes(colour, size)
	}
	made := c.publish(colour, size)
	p.id = made.ID
	c.open = append(c.open, p)
	return made
}

// look checks whom all that was begun has reached.
func (c *crowd) look(rt *rapid.T) {
	for _, p := range c.open {
		got := map[queue.ID]int{}
		for _, id := range c.audience(p.id) {
			got[id]++
		}
		for id, s := range c.subs {
			wanted, was := p.want[id]
			switch {
			case !was:
				require.Zero(rt, got[id], "%s %d reached one that came later", p.colour, p.size)
			case s.changed > p.at: // either is right
			case wanted:
				require.Equal(rt, 1, got[id], "%s %d misses %s", p.colour, p.size, s.policy)
			default:
				require.Zero(rt, got[id], "%s %d reached %s", p.colour, p.size, s.policy)
			}
		}
	}
	c.open = nil
	c.counts(c.topic)
}

// anyone is one of the subscriptions.
func (c *crowd) anyone(rt *rapid.T) queue.ID {
	if len(c.subs) == 0 {
		rt.Skip()
	}
	ids := slices.SortedFunc(maps.Keys(c.subs), func(a, b queue.ID) int { return bytes.Compare(a[:], b[:]) })
	return rapid.SampledFrom(ids).Draw(rt, "who")
}

// Whatever is changed before, between and behind publishes, each reaches those
// whom a look at every policy finds.
func TestPublishesReachWhoWantsThem(t *testing.T) {
	t.Parallel()
	b := narrow(open(t, vfs.NewMem())).run()
	rounds, atOnce := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if rounds++; rounds > 40+60/queuetest.Slowdown {
			return
		}
		c := &crowd{bench: b, topic: fmt.Sprint("news-", rounds), subs: map[queue.ID]*crowdSub{}}
		b.topic(c.topic)
		for _, w := range rapid.SliceOfN(wishes, 8, 16).Draw(rt, "wishes") {
			c.subscribe(w, false)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"subscribe": func(rt *rapid.T) { c.subscribe(wishes.Draw(rt, "wish"), rapid.Bool().Draw(rt, "pending")) },
			"unsubscribe": func(rt *rapid.T) {
				id := c.anyone(rt)
				require.NoError(rt, b.Unsubscribe(t.Context(), owner, id))
				delete(c.subs, id)
			},
			"filter": func(rt *rapid.T) {
				w := wishes.Draw(rt, "wish")
				c.change(c.anyone(rt), func(s *topics.Subscription, known *crowdSub) { s.Filter, known.wish = w.filter(), w })
			},
			"confirm": func(rt *rapid.T) {
				c.change(c.anyone(rt), func(s *topics.Subscription, known *crowdSub) { s.Pending, known.pending = false, false })
			},
			"publish": func(rt *rapid.T) {
				made := c.begin(rapid.SampledFrom(append(colours, "")).Draw(rt, "colour"), rapid.IntRange(0, 6).Draw(rt, "size"))
				if made.Phase == topics.Expanded && len(c.subs) > b.Candidates {
					atOnce++
				}
			},
			"look": c.look,
			"anew": func(rt *rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "sure") == 0 {
					c.look(rt)
					require.NoError(rt, b.DeleteTopic(t.Context(), owner, c.topic))
					b.topic(c.topic)
					clear(c.subs)
				}
			},
		})
		c.look(rt)
	})
	require.NotZero(t, atOnce, "no publish was answered by an index")
}

// Each of many changes a policy and publishes at once what only that takes.
func TestAChangedPolicyHoldsForTheNextPublish(t *testing.T) {
	t.Parallel()
	b := narrow(open(t, vfs.NewMem())).run()
	b.topic("news")
	colour := func(text string) *topics.Filter {
		return &topics.Filter{Policy: fmt.Sprintf(`{"colour":[%q]}`, text)}
	}
	publish := func(text string) topics.Publish {
		c := crowd{bench: b, topic: "news"}
		return c.publish(text, 0)
	}
	var all []topics.Subscription
	for _, e := range numbers(100) {
		all = append(all, topics.Subscription{Protocol: topics.SMS, Endpoint: e, Filter: colour("of " + e)})
	}
	all, _, err := b.SubscribeAll(t.Context(), owner, "news", all)
	require.NoError(t, err)
	b.until(func() bool { return publish("nobody's").Phase != topics.Expanding })

	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			mine := all[w]
			for i := range 40 / queuetest.Slowdown {
				text := fmt.Sprint(w, " ", i)
				var err error
				if i%4 == 3 { // a new one in its place
					if err = b.Unsubscribe(context.Background(), owner, mine.ID); err == nil {
						mine, err = b.Subscribe(context.Background(), owner, topics.Subscription{Topic: "news", Protocol: topics.SMS, Endpoint: mine.Endpoint, Filter: colour(text)})
					}
				} else {
					_, err = b.ChangeSubscription(context.Background(), owner, mine.ID, func(s *topics.Subscription) error { s.Filter = colour(text); return nil })
				}
				p := publish(text)
				if got := b.audience(p.ID); err != nil || !slices.Equal(got, []queue.ID{mine.ID}) {
					t.Errorf("%v: %s reached %v, not only %v", err, text, got, mine.ID)
				}
			}
		})
	}
	wg.Wait()
}

// A broadcast goes on behind its cursor in a process that has no index yet.
func TestABroadcastByIndexGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs)
	b.Chunk, b.Ahead = 10, 30
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }() // without workers: it halts at Ahead
	b.topic("news")
	all := make([]topics.Subscription, 300)
	for i, e := range numbers(300) {
		all[i] = topics.Subscription{Protocol: topics.SMS, Endpoint: e, Filter: &topics.Filter{Policy: fmt.Sprintf(`{"colour":["c%d"]}`, i%5)}}
	}
	all, _, err := b.SubscribeAll(t.Context(), owner, "news", all)
	require.NoError(t, err)
	few := crowd{bench: b, topic: "news"}
	b.until(func() bool { return few.publish("nobody's", 0).Phase != topics.Expanding })
	id := few.publish("c3", 0).ID
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Queued] == 30
	})
	stop()
	require.NoError(t, <-ended)
	require.NoError(t, b.store.Close())

	b = open(t, fs).run()
	var want []queue.ID
	for i := 3; i < len(all); i += 5 {
		want = append(want, all[i].ID)
	}
	require.Equal(t, want, b.audience(id))
}

// There is room for the index of one topic of two: the first keeps it while it is
// in use, and the other is walked instead of taking its place at each publish.
// What is too large for an index is walked, too; each is right all the same.
func TestIndexesDoNotTakeEachOthersPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := narrow(open(t, vfs.NewMem()))
		b.IndexAtMost(30)
		b.run()
		defer b.stop()
		crowdOf := func(name string, n int) crowd {
			b.topic(name)
			var all []topics.Subscription
			for _, e := range numbers(n) {
				all = append(all, topics.Subscription{Protocol: topics.SMS, Endpoint: e, Filter: &topics.Filter{Policy: `{"colour":["red"]}`}})
			}
			_, _, err := b.SubscribeAll(t.Context(), owner, name, all)
			require.NoError(t, err)
			return crowd{bench: b, topic: name, made: n}
		}
		first, second, large := crowdOf("first", 20), crowdOf("second", 20), crowdOf("large", 40)
		indexed := func(c crowd) bool { return c.publish("blue", 0).Phase == topics.Expanded }
		require.False(t, indexed(first))
		pass(time.Second)
		for range 10 {
			require.True(t, indexed(first), "it keeps its place")
			require.False(t, indexed(second))
			require.False(t, indexed(large))
			pass(time.Minute)
		}
		for range 10 { // the second alone
			require.False(t, indexed(second))
			pass(time.Minute)
		}
		pass(time.Second)
		for range 10 {
			require.True(t, indexed(second), "what nobody used gave way")
			require.False(t, indexed(first))
			pass(time.Minute)
		}
		for _, c := range []crowd{first, second, large} {
			require.Len(t, b.audience(c.publish("red", 0).ID), c.made)
		}
	})
}
