package topics_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestManySubscribeTheSameAtOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	var all []topics.Subscription
	for _, e := range append(numbers(100), "bad") {
		all = append(all, topics.Subscription{Protocol: topics.SMS, Endpoint: e})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			made, errs, err := b.SubscribeAll(t.Context(), owner, "news", all)
			if err != nil || !errors.Is(errs[100], topics.ErrInvalid) || made[0].ID.IsZero() {
				t.Error(err, errs[100])
			}
		})
	}
	wg.Wait()
	subs, err := b.Subscriptions(owner, "news", queue.ID{}, 1000)
	require.NoError(t, err)
	require.Len(t, subs, 100)
}
