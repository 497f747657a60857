package topics_test

import (
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Pausing and resuming in the middle of hand-offs leaves nothing behind.
func TestPauseAndResumeLeaveNothingHeld(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	for _, e := range numbers(25) {
		b.subscribe("news", topics.SMS, e)
	}
	var ids []queue.ID
	var wg sync.WaitGroup
	for range 10 + 30/queuetest.Slowdown {
		id := b.publish(topics.Request{Topic: "news", Message: "x"})
		ids = append(ids, id)
		wg.Go(func() {
			for range 5 {
				for _, c := range []topics.Control{topics.Paused, topics.Running} {
					if _, err := b.SetControl(t.Context(), owner, id, c); err != nil && !errors.Is(err, topics.ErrState) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, topics.Ledger{topics.Delivered: 25}, b.settle(id))
	}
}

// A process that ends between a resume and its releases leaves them to the next.
func TestAResumeIsFinishedByTheNextProcess(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs).run()
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	_, err := b.SetControl(t.Context(), owner, id, topics.Paused)
	require.NoError(t, err)
	require.NoError(t, b.pool.Resume("twilio/main"))
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Held] == 1
	})
	b.stop()
	r, err := b.store.Get(id.Shard(), append([]byte{'p'}, id.Prefix()...))
	require.NoError(t, err)
	var p topics.Publish
	require.NoError(t, json.Unmarshal(r.Value, &p))
	p.Control = topics.Running
	value, err := json.Marshal(p)
	require.NoError(t, err)
	resumed := &queue.Batch{}
	resumed.Put(r.Key, value)
	_, err = b.store.Commit(t.Context(), id.Shard(), resumed)
	require.NoError(t, err)
	require.NoError(t, b.store.Close())

	b = open(t, fs).run()
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
}

// A cancel that meets the expander takes effect at once, not when a lease ends.
func TestCancelDuringExpansion(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	for _, e := range numbers(300) {
		b.subscribe("news", topics.SMS, e)
	}
	var ids []queue.ID
	for range 20 {
		id := b.publish(topics.Request{Topic: "news", Message: "x"})
		ids = append(ids, id)
		_, err := b.SetControl(t.Context(), owner, id, topics.Stopped)
		require.NoError(t, err)
	}
	for _, id := range ids {
		l := b.settle(id)
		require.Equal(t, l.Sum(), l[topics.Delivered]+l[topics.Cancelled])
	}
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	id := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	_, err := b.SetControl(t.Context(), owner, id, topics.Paused)
	require.NoError(t, err)
	require.NoError(t, b.pool.Resume("twilio/main"))
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Held] == 1
	})
	require.Zero(t, b.sms.count("+1"))
	_, err = b.SetControl(t.Context(), owner, id, topics.Running)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	_, err = b.SetControl(t.Context(), owner, id, topics.Stopped)
	require.ErrorIs(t, err, topics.ErrState)

	later := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+2"}, Message: "x", SendAt: time.Now().Add(time.Hour)})
	p, err := b.SetControl(t.Context(), owner, later, topics.Stopped)
	require.NoError(t, err)
	require.Equal(t, topics.CalledOff, p.Phase)
	st, err := b.Status(owner, later)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Cancelled: 1}, st.Ledger)
}
