package queuetest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// fair is who comes first among the groups of a queue.
func fair() behaviours {
	bytes := func(rs []queue.Received) map[string]int {
		n := map[string]int{}
		for _, r := range rs {
			n[r.Group] += len(r.Body)
		}
		return n
	}
	groups := func(rs []queue.Received) map[string]int {
		n := map[string]int{}
		for _, r := range rs {
			n[r.Group]++
		}
		return n
	}
	tenant := func(name string, size int) func(int) queue.Message {
		return func(int) queue.Message { return queue.Message{Group: name, Body: make([]byte, size)} }
	}
	return behaviours{
		"large messages count for what they weigh": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 30, tenant("large", 512<<10))
			k.fill("q", 0, 700, tenant("small", 10<<10))
			for _, n := range []int{1, 10} {
				var got []queue.Received
				for len(got) < 250 {
					part := k.take("q", n)
					require.Len(k, part, n)
					k.remove("q", part...)
					got = append(got, part...)
				}
				weight := bytes(got)
				require.InDelta(k, 1, float64(weight["large"])/float64(weight["small"]), 1.5, "%v, %d at once", weight, n)
			}
		},
		"large messages do not wait when nothing else is there": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 5, tenant("a", 256<<10))
			k.fill("q", 0, 5, tenant("b", 512<<10))
			for range 10 {
				k.remove("q", k.one("q"))
			}
			k.none("q")
		},
		"who has much in flight comes after who has not": func(k *kit) {
			k.create("q", queue.Settings{Visibility: time.Hour})
			k.fill("q", 0, 100, tenant("loud", 1))
			loud := k.take("q", 40)
			require.Len(k, loud, 40)
			for i := range 3 {
				k.fill("q", 0, 4, tenant(fmt.Sprint("quiet", i), 1))
			}
			require.Equal(k, map[string]int{"quiet0": 3, "quiet1": 3, "quiet2": 3}, groups(k.take("q", 9)))
			require.Equal(k, map[string]int{"quiet0": 1, "quiet1": 1, "quiet2": 1, "loud": 7}, groups(k.take("q", 10)), "none waits")
			k.fill("q", 0, 5, tenant("quiet0", 1))
			require.Equal(k, map[string]int{"quiet0": 1}, groups(k.take("q", 1)))
			k.pass(time.Hour) // all leases end
			require.Equal(k, map[string]int{"quiet0": 2, "quiet1": 2, "quiet2": 2, "loud": 2}, groups(k.take("q", 8)))
		},
		"who has much in flight of little is not noisy": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 40, tenant("a", 1))
			k.take("q", 3/k.Shards()+1)
			k.fill("q", 0, 40, tenant("b", 1))
			require.Equal(k, map[string]int{"a": 2, "b": 2}, groups(k.take("q", 4)))
		},
		"messages without a group have nothing in common": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 100, tenant("", 1))
			k.take("q", 50)
			k.fill("q", 0, 10, tenant("b", 1))
			require.Equal(k, map[string]int{"": 5, "b": 5}, groups(k.take("q", 10)))
		},
		"more groups than are looked at once, one of them endless": func(k *kit) {
			k.create("q", queue.Settings{})
			k.fill("q", 0, 5000, tenant("endless", 1))
			k.fill("q", 0, 2000, func(i int) queue.Message { return queue.Message{Group: fmt.Sprintf("g%04d", i)} })
			k.restart()
			seen := map[string]int{}
			for range 12 {
				for _, r := range k.take("q", 500) {
					seen[r.Group]++
				}
			}
			require.Len(k, seen, 2001)
		},
	}
}
