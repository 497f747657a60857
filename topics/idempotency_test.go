package topics_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := start(t)
	r := topics.Request{Owner: owner, To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", IdempotencyKey: "k"}
	first, replayed, err := b.Publish(t.Context(), r)
	require.NoError(t, err)
	require.False(t, replayed)
	b.settle(first.ID)
	second, replayed, err := b.Publish(t.Context(), r)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, first.ID, second.ID)
	r.Message = "y"
	_, _, err = b.Publish(t.Context(), r)
	require.ErrorIs(t, err, topics.ErrIdempotencyMismatch)
	require.Equal(t, 1, b.sms.count("+1"))
}

func TestAnIdempotencyKeyWithAnotherGroupIsAConflict(t *testing.T) {
	t.Parallel()
	b := start(t)
	for i, first := range []string{"", "a"} {
		r := topics.Request{Owner: owner, To: to("+1"), Message: "x", Group: first, IdempotencyKey: fmt.Sprint("k", i)}
		p := b.publish(r)
		for _, group := range []string{"", "a", "b", "c", "d", "e"} { // of two shards
			r.Group = group
			again, replayed, err := b.Publish(t.Context(), r)
			if group == first {
				require.NoError(t, err)
				require.True(t, replayed)
				require.Equal(t, p, again.ID)
				continue
			}
			require.ErrorIs(t, err, topics.ErrIdempotencyMismatch)
		}
	}
}

func TestAnIdempotencyKeyIsForgottenWithItsPublish(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		r := topics.Request{Owner: owner, To: to("+1"), Message: "x", IdempotencyKey: "k"}
		first, _, err := b.Publish(t.Context(), r)
		require.NoError(t, err)
		b.settle(first.ID)
		pass(2 * time.Hour) // a ledger is kept for one
		require.NoError(t, b.store.Scan(first.ID.Shard(), nil, nil, func(left queue.Record) bool {
			t.Errorf("left behind: %q", left.Key)
			return true
		}))
		second, replayed, err := b.Publish(t.Context(), r)
		require.NoError(t, err)
		require.False(t, replayed)
		require.NotEqual(t, first.ID, second.ID)
		b.settle(second.ID)
	})
}
