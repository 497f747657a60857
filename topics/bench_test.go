package topics_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// policies are ten of a group, which take the same message and no other group's:
// 60 % exact strings, 10 % each prefix, numeric range, anything-but and exists:
// false, $or in a tenth.
func policies(group int) []string {
	all := []string{
		fmt.Sprintf(`"path":[{"prefix":"orders/%d/"}]`, group),
		fmt.Sprintf(`"amount":[{"numeric":[">=",%d,"<",%d]}]`, 10*group, 10*group+10),
		fmt.Sprintf(`"device":["device-%d"],"level":[{"anything-but":["debug"]}]`, group),
		fmt.Sprintf(`"user":["user-%d"],"test":[{"exists":false}]`, group),
	}
	for i := range 6 {
		all = append(all, fmt.Sprintf(`"tenant":["tenant-%d","tenant-%d-%d"]`, group, group, i))
	}
	all[group%10] = fmt.Sprintf(`"$or":[{"region":["region-%d"]},{%s}]`, group, all[group%10])
	return all
}

func ofGroup(group int) map[string]channels.Attribute {
	text := func(format string) channels.Attribute {
		return channels.Attribute{Type: "String", Value: fmt.Sprintf(format, group)}
	}
	return map[string]channels.Attribute{
		"path": text("orders/%d/items"), "amount": {Type: "Number", Value: fmt.Sprint(10*group + 5)}, "device": text("device-%d"),
		"level": {Type: "String", Value: "info"}, "user": text("user-%d"), "tenant": text("tenant-%d"),
	}
}

// BenchmarkPublishFiltered publishes to topics of 1,000 and 100,000
// subscriptions, each with a policy of its own, of which ten match. The store is
// in memory, so that it is not the disk that is measured, and nothing delivers.
func BenchmarkPublishFiltered(b *testing.B) {
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), Shards: 1})
	require.NoError(b, err)
	pool := channels.NewPool(channels.PoolOptions{Store: store})
	require.NoError(b, pool.Put(b.Context(), channels.AccountOptions{Name: "twilio/main", Protocol: topics.SMS, Provider: "twilio", Channel: &provider{}}))
	room, err := topics.New(b.Context(), topics.Options{Store: store, Accounts: pool})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- room.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
		require.NoError(b, store.Close())
	})
	publish := func(n, group int) topics.Publish {
		p, _, err := room.Publish(b.Context(), topics.Request{Owner: owner, Topic: fmt.Sprint("of-", n), Message: "hello", Attributes: ofGroup(group)})
		require.NoError(b, err)
		return p
	}
	sizes := []int{1_000, 100_000}
	for _, n := range sizes {
		fill(b, room, n)
		require.Eventually(b, func() bool { return publish(n, n).Phase == topics.Expanded }, time.Minute, 10*time.Millisecond, "no index")
	}
	took := []time.Duration{time.Hour, time.Hour}
	const rounds = 200
	for b.Loop() {
		for i, n := range sizes { // in turns, and the best turn counts
			begin := time.Now()
			for r := range rounds {
				p := publish(n, r*7919%(n/10))
				if p.Phase != topics.Expanded || p.Next != 11 {
					b.Fatalf("%s with %d deliveries, not with 10 at once", p.Phase, p.Next-1)
				}
			}
			took[i] = min(took[i], time.Since(begin)/rounds)
		}
	}
	b.ReportMetric(float64(took[0].Microseconds()), "µs@1000")
	b.ReportMetric(float64(took[1].Microseconds()), "µs@100000")
	b.ReportMetric(float64(took[1])/float64(took[0]), "100000/1000")
	b.ReportMetric(0, "ns/op")
}

func fill(b *testing.B, room *topics.Topics, n int) {
	name := fmt.Sprint("of-", n)
	_, err := room.CreateTopic(b.Context(), owner, topics.Topic{Name: name})
	require.NoError(b, err)
	var all []topics.Subscription
	for group := range n / 10 {
		for i, policy := range policies(group) {
			all = append(all, topics.Subscription{
				Protocol: topics.SMS, Endpoint: fmt.Sprint("+", 10*group+i), Filter: &topics.Filter{Policy: "{" + policy + "}", Scope: topics.FilterAttributes},
			})
		}
		if len(all) == 1000 {
			_, _, err := room.SubscribeAll(b.Context(), owner, name, all)
			require.NoError(b, err)
			all = all[:0]
		}
	}
}
