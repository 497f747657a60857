package topics_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

var refusedBySMS = topics.Cause{Protocol: "sms", Account: "twilio/main", Kind: "rejected", Code: "21211"}

func refuse(channels.Delivery) (channels.Receipt, error) {
	return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "21211"}
}

func to(endpoint string) *topics.Target {
	return &topics.Target{Protocol: topics.SMS, Endpoint: endpoint}
}

// failed publishes to endpoints that refuse, and returns the publishes.
func (b *bench) failed(endpoints ...string) (ids []queue.ID) {
	b.t.Helper()
	b.sms.script(refuse)
	for _, e := range endpoints {
		ids = append(ids, b.publish(topics.Request{To: to(e), Message: "x"}))
	}
	for _, id := range ids {
		require.Equal(b.t, topics.Ledger{topics.Failed: 1}, b.settle(id))
	}
	return ids
}

func numbers(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("+", i))
	}
	return out
}

func (b *bench) redriven(id queue.ID) topics.Redrive {
	b.t.Helper()
	var r topics.Redrive
	b.until(func() bool {
		var err error
		r, err = b.RedriveOf(id)
		require.NoError(b.t, err)
		return !r.Ended.IsZero()
	})
	return r
}

// pass lets time go by in a synctest bubble, and what comes due in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestDeadLettersSayWhenTheyFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		began := b.store.Now()
		// The first publish fails last: what counts is when, not which.
		b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "+late" && d.Try == 1 {
				return channels.Receipt{}, &channels.Error{Provider: "twilio", Wait: time.Hour, Code: "1"}
			}
			return refuse(d)
		})
		late := b.publish(topics.Request{To: to("+late"), Message: "x"})
		pass(10 * time.Minute)
		for range 3 {
			b.settle(b.publish(topics.Request{To: to("+early"), Message: "x"}))
		}
		pass(50 * time.Minute)
		b.settle(late)
		dead, err := b.DeadLetters()
		require.NoError(t, err)
		require.Len(t, dead, 1)
		require.Equal(t, refusedBySMS, dead[0].Cause)
		require.EqualValues(t, 4, dead[0].Count)
		require.WithinDuration(t, began.Add(10*time.Minute), dead[0].First, time.Second)
		require.WithinDuration(t, began.Add(time.Hour), dead[0].Last, time.Second)
	})
}

func TestALateOutcomeLeavesADeadLetterUnderItsCause(t *testing.T) {
	t.Parallel()
	b := start(t)
	begun, answer := make(chan struct{}), make(chan struct{})
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		close(begun)
		<-answer
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "other"}
	})
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	<-begun
	applied, err := b.Observe(t.Context(), topics.Evidence{
		Delivery: id.WithOrdinal(1), Try: 1, State: topics.Failed,
		Err: &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "21211"},
	})
	require.NoError(t, err)
	require.True(t, applied)
	close(answer)
	b.until(func() bool {
		_, attempts, err := b.Attempts(owner, id.WithOrdinal(1))
		require.NoError(t, err)
		return len(attempts) == 2
	})
	b.sms.script(nil)
	r, err := b.Redrive(t.Context(), refusedBySMS, 100)
	require.NoError(t, err)
	require.EqualValues(t, 1, b.redriven(r.ID).Done)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	dead, err := b.DeadLetters()
	require.NoError(t, err)
	require.Empty(t, dead)
}

func TestRedriveKeepsItsRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rate, letters int }{{1, 4}, {3, 10}, {15, 40}, {1000 / queuetest.Slowdown, 1500 / queuetest.Slowdown}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := start(t)
				b.topic("news")
				for _, e := range numbers(c.letters) {
					b.subscribe("news", topics.SMS, e)
				}
				b.sms.script(refuse)
				b.settle(b.publish(topics.Request{Topic: "news", Message: "x"}))
				began := time.Now()
				var at []time.Duration
				b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
					b.sms.mu.Lock()
					defer b.sms.mu.Unlock()
					at = append(at, time.Since(began))
					return channels.Receipt{Delivered: true}, nil
				})
				r, err := b.Redrive(t.Context(), refusedBySMS, c.rate)
				require.NoError(t, err)
				b.until(func() bool {
					b.sms.mu.Lock()
					defer b.sms.mu.Unlock()
					return len(at) == c.letters
				})
				require.Equal(t, int64(c.letters), b.redriven(r.ID).Done)
				gap := time.Second / time.Duration(c.rate)
				for i, d := range at {
					require.GreaterOrEqual(t, d, time.Duration(i)*gap-time.Millisecond, "delivery %d came before its time", i)
					require.Less(t, d, time.Duration(i)*gap+time.Second, "delivery %d came late", i)
				}
			})
		})
	}
}

func TestRedriveOverRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		b := open(t, fs).run()
		b.failed(numbers(6)...)
		r, err := b.Redrive(t.Context(), refusedBySMS, 1)
		require.NoError(t, err)
		_, err = b.Redrive(t.Context(), refusedBySMS, 1)
		require.ErrorIs(t, err, topics.ErrConflict, "one of a cause at a time")
		b.sms.script(nil)
		done := func(n int64) func() bool {
			return func() bool {
				r, err := b.RedriveOf(r.ID)
				require.NoError(t, err)
				return r.Done == n
			}
		}
		b.until(done(3))
		b.stop()
		require.NoError(t, b.store.Close())

		pass(10 * time.Minute)
		b = open(t, fs)
		r, err = b.RedriveOf(r.ID)
		require.NoError(t, err)
		require.EqualValues(t, 6, r.Total)
		require.EqualValues(t, 3, r.Done)
		require.Zero(t, r.Ended)
		b.run()
		b.until(done(4))
		r, err = b.CancelRedrive(t.Context(), r.ID)
		require.NoError(t, err)
		require.True(t, r.Cancelled)
		_, err = b.CancelRedrive(t.Context(), r.ID)
		require.ErrorIs(t, err, topics.ErrState)
		pass(time.Minute)
		require.EqualValues(t, 4, b.redriven(r.ID).Done, "nothing follows a cancel")
		dead, err := b.DeadLetters()
		require.NoError(t, err)
		require.EqualValues(t, 2, dead[0].Count)

		all, err := b.Redrives()
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, b.redriven(r.ID), all[0])
		pass(2 * time.Hour)
		all, err = b.Redrives()
		require.NoError(t, err)
		require.Empty(t, all, "an ended one is forgotten with the ledgers")
		_, err = b.CancelRedrive(t.Context(), r.ID)
		require.ErrorIs(t, err, topics.ErrNotFound)
	})
}

func TestRedriveLeavesWhatMayNotGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t)
		b.topic("alerts")
		gone := b.subscribe("alerts", topics.SMS, "+unsubscribed")
		b.subscribe("alerts", topics.SMS, "+suppressed")
		b.subscribe("alerts", topics.SMS, "+good")
		b.sms.script(refuse)
		id := b.publish(topics.Request{Topic: "alerts", Message: "x", Lane: channels.Critical})
		require.Equal(t, topics.Ledger{topics.Failed: 3}, b.settle(id))
		brief := b.publish(topics.Request{To: to("+expired"), Message: "x", ExpiresAt: time.Now().Add(time.Minute)})
		require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(brief))
		require.NoError(t, b.Unsubscribe(t.Context(), owner, gone.ID))
		_, err := b.Suppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+suppressed"})
		require.NoError(t, err)
		pass(10 * time.Minute)

		plan, err := b.PlanRedrive(refusedBySMS)
		require.NoError(t, err)
		require.Equal(t, topics.RedrivePlan{
			Count: 4, Examined: 4, Lanes: map[channels.Lane]int64{channels.Critical: 1},
			Skip: map[string]int64{"subscription deleted": 1, "suppressed": 1, "deadline passed": 1},
		}, plan)
		b.sms.script(nil)
		r, err := b.Redrive(t.Context(), refusedBySMS, 1)
		require.NoError(t, err)
		r = b.redriven(r.ID)
		require.EqualValues(t, 1, r.Done)
		require.EqualValues(t, 3, r.Skipped)
		require.Equal(t, topics.Ledger{topics.Delivered: 1, topics.Failed: 2}, b.settle(id), "they stay dead letters")
		dead, err := b.DeadLetters()
		require.NoError(t, err)
		require.EqualValues(t, 3, dead[0].Count)
	})
}

func TestRedriveIntoAQueueMadeAgain(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	name := topics.QueueName(owner, "work")
	_, err := b.store.CreateQueue(t.Context(), name, queue.Settings{})
	require.NoError(t, err)
	b.subscribe("alerts", topics.SQS, "work")
	require.NoError(t, b.store.DeleteQueue(t.Context(), name))
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id))

	cause := topics.Cause{Protocol: topics.SQS, Kind: "endpoint_gone", Code: "no_queue"}
	r, err := b.Redrive(t.Context(), cause, 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, b.redriven(r.ID).Skipped)
	_, err = b.store.CreateQueue(t.Context(), name, queue.Settings{})
	require.NoError(t, err)
	r, err = b.Redrive(t.Context(), cause, 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, b.redriven(r.ID).Done)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	got, err := b.store.Receive(t.Context(), name, queue.ReceiveOptions{Wait: time.Second})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Contains(t, string(got[0].Body), `"message":"hello"`)
	_, err = b.Redrive(t.Context(), cause, 10)
	require.ErrorIs(t, err, topics.ErrNotFound)
}

func TestAResendOpensItsPublishAgain(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM1"}, nil })
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
	b.sms.script(nil)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	applied, err := b.Observe(t.Context(), topics.Evidence{
		Delivery: id.WithOrdinal(1), Try: 1, State: topics.Failed, Err: &channels.Error{Provider: "twilio", Code: "30008", MaxTries: 2},
	})
	require.NoError(t, err)
	require.True(t, applied)
	st, err := b.Status(owner, id)
	require.NoError(t, err)
	require.Equal(t, topics.Expanded, st.Phase, "it is not complete while a delivery is queued")
	require.Equal(t, topics.Ledger{topics.Queued: 1}, st.Ledger)
	require.NoError(t, b.pool.Resume("twilio/main"))
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
}

func TestAPlanOfManyLooksAtSome(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	var all []topics.Subscription
	for _, e := range numbers(520) {
		all = append(all, topics.Subscription{Protocol: topics.SMS, Endpoint: e})
	}
	_, _, err := b.SubscribeAll(t.Context(), owner, "news", all)
	require.NoError(t, err)
	b.sms.script(refuse)
	b.settle(b.publish(topics.Request{Topic: "news", Message: "x"}))
	plan, err := b.PlanRedrive(refusedBySMS)
	require.NoError(t, err)
	require.EqualValues(t, 520, plan.Count)
	require.EqualValues(t, 520, plan.Examined, "all of one shard")
	b.settle(b.publish(topics.Request{Topic: "news", Message: "x"}))
	plan, err = b.PlanRedrive(refusedBySMS)
	require.NoError(t, err)
	require.EqualValues(t, 1040, plan.Count)
	require.EqualValues(t, 1000, plan.Examined)
	require.EqualValues(t, 1000, plan.Lanes[channels.Transactional])
}
