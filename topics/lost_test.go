package topics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// begin takes the entry of a delivery and notes its attempt, as a worker does,
// and ends there.
func (b *bench) begin(account string) {
	b.t.Helper()
	got, err := b.store.Receive(b.t.Context(), channels.QueueName(account, channels.Transactional), queue.ReceiveOptions{Visibility: 5 * time.Minute})
	require.NoError(b.t, err)
	require.Len(b.t, got, 1)
	e := channels.Entry{Received: got[0], Account: account, Lane: channels.Transactional, Idempotent: true}
	d, v := b.Admit(b.t.Context(), e)
	require.Equal(b.t, channels.Send, v.Action)
	c := &queue.Batch{}
	require.NoError(b.t, b.Intend(c, e, d))
	_, err = b.store.Commit(b.t.Context(), e.ID.Shard(), c)
	require.NoError(b.t, err)
}

// TestLostAttemptMeetsWhatWasDecided: a webhook's attempt whose outcome was lost
// is repeated, unless its publish was cancelled or paused, its subscription
// deleted or its endpoint suppressed meanwhile.
func TestLostAttemptMeetsWhatWasDecided(t *testing.T) {
	for name, c := range map[string]struct {
		decide func(b *bench, id queue.ID, sub topics.Subscription) error
		state  topics.State
	}{
		"cancelled": {func(b *bench, id queue.ID, _ topics.Subscription) error {
			_, err := b.SetControl(b.t.Context(), owner, id, topics.Stopped)
			return err
		}, topics.Cancelled},
		"paused": {func(b *bench, id queue.ID, _ topics.Subscription) error {
			_, err := b.SetControl(b.t.Context(), owner, id, topics.Paused)
			return err
		}, topics.Held},
		"unsubscribed": {func(b *bench, _ queue.ID, sub topics.Subscription) error {
			return b.Unsubscribe(b.t.Context(), owner, sub.ID)
		}, topics.Cancelled},
		"suppressed": {func(b *bench, _ queue.ID, sub topics.Subscription) error {
			_, err := b.Suppress(b.t.Context(), owner, topics.Suppression{Protocol: sub.Protocol, Endpoint: sub.Endpoint})
			return err
		}, topics.Suppressed},
		"nothing": {func(*bench, queue.ID, topics.Subscription) error { return nil }, topics.Delivered},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := open(t, vfs.NewMem())
				b.topic("alerts")
				sub := b.subscribe("alerts", topics.HTTPS, "https://a/")
				id := b.publish(topics.Request{Topic: "alerts", Message: "x"})
				b.begin("webhook/main")
				require.NoError(t, c.decide(b, id, sub))
				b.run()
				pass(10 * time.Minute) // its lease ends
				st, err := b.Status(owner, id)
				require.NoError(t, err)
				require.EqualValues(t, 1, st.Ledger[c.state], st.Ledger)
				n, err := b.Audit()
				require.NoError(t, err)
				require.Zero(t, n)
			})
		})
	}
}

// TestResendObeysThePolicy: an answer that is lost every time is no reason to
// send to somebody for ever.
func TestResendObeysThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, vfs.NewMem())
		_, err := b.CreateTopic(t.Context(), owner, topics.Topic{Name: "alerts", OnUncertain: topics.Resend})
		require.NoError(t, err)
		sub := topics.Subscription{Topic: "alerts", Protocol: topics.SMS, Endpoint: "+1",
			Retry: &channels.RetryPolicy{Phases: []channels.Phase{{Tries: 2, From: time.Minute, To: time.Minute}}}}
		_, err = b.Subscribe(t.Context(), owner, sub)
		require.NoError(t, err)
		b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
			return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Uncertain, Code: "no_answer"}
		})
		b.run()
		id := b.publish(topics.Request{Topic: "alerts", Message: "x"})
		pass(time.Hour)
		require.Equal(t, 3, b.sms.count("+1"))
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		require.EqualValues(t, 1, st.Ledger[topics.Failed], st.Ledger)
	})
}

// TestReportDuringTheAttempt: the provider's word outruns its own answer. The
// auditor finds nothing wrong in that, and if the word is to try again, the
// outcome that comes late makes no second entry.
func TestReportDuringTheAttempt(t *testing.T) {
	t.Parallel()
	b := start(t)
	begun, end := make(chan struct{}), make(chan struct{})
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		close(begun)
		<-end
		return channels.Receipt{ProviderID: "SM1"}, nil
	})
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	<-begun
	audited := func() {
		t.Helper()
		n, err := b.Audit()
		require.NoError(t, err)
		require.Zero(t, n)
	}
	ev := topics.Evidence{Delivery: id.WithOrdinal(1), Try: 1, State: topics.Sent}
	applied, err := b.Observe(t.Context(), ev)
	require.NoError(t, err)
	require.True(t, applied)
	audited()
	ev.State, ev.Err = topics.Failed, &channels.Error{Provider: "twilio", Kind: channels.Temporary, Code: "30003", MaxTries: 3, Wait: time.Hour}
	applied, err = b.Observe(t.Context(), ev)
	require.NoError(t, err)
	require.True(t, applied)
	close(end)
	b.until(func() bool {
		st, err := b.store.Stats(channels.QueueName("twilio/main", channels.Transactional))
		require.NoError(t, err)
		return st.InFlight == 0 && st.Delayed == 1 && st.Ready == 0
	})
	d, _, err := b.Attempts(owner, ev.Delivery)
	require.NoError(t, err)
	require.Equal(t, topics.Queued, d.State)
	audited()
}

// TestLateSentIsKept: that a message went out after all is worth knowing when
// its delivery waits for another attempt.
func TestLateSentIsKept(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Temporary, Wait: time.Hour}
	})
	id := b.publish(topics.Request{To: to("+1"), Message: "x"}).WithOrdinal(1)
	look := func() topics.Delivery {
		d, _, err := b.Attempts(owner, id)
		require.NoError(t, err)
		return d
	}
	b.until(func() bool { return look().State == topics.Queued && look().Try == 1 })
	_, err := b.Observe(t.Context(), topics.Evidence{Delivery: id, Try: 1, State: topics.Sent, ProviderID: "SM1", Account: "twilio/main"})
	require.NoError(t, err)
	require.Len(t, look().Unapplied, 1)
	require.Equal(t, "SM1", look().Unapplied[0].ProviderID)
}

// TestReportedAccountFault: an account that is found suspended after it took a
// message costs no recipient theirs.
func TestReportedAccountFault(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM1"}, nil })
	id := b.publish(topics.Request{To: to("+1"), Message: "x"}).WithOrdinal(1)
	state := func() topics.State {
		d, _, err := b.Attempts(owner, id)
		require.NoError(t, err)
		return d.State
	}
	b.until(func() bool { return state() == topics.Sent })
	_, err := b.Observe(t.Context(), topics.Evidence{Delivery: id, Try: 1, State: topics.Failed, Account: "twilio/main",
		Err: &channels.Error{Provider: "twilio", Kind: channels.AccountFault, Code: "30002"}})
	require.NoError(t, err)
	require.Equal(t, topics.Queued, state())
}

// TestRedirectedWordIsNobodysElse: what a provider says of the address that the
// guard sends all to is not said of the one that was meant.
func TestRedirectedWordIsNobodysElse(t *testing.T) {
	t.Parallel()
	b := open(t, vfs.NewMem())
	b.Guard = func(string, string) (string, bool) { return "+999", true }
	b.run()
	b.topic("alerts")
	one, two := b.subscribe("alerts", topics.SMS, "+1"), b.subscribe("alerts", topics.SMS, "+2")
	kinds := make(chan channels.Kind, 2)
	kinds <- channels.EndpointGone
	kinds <- channels.RecipientBlocked
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: <-kinds, Code: "1"}
	})
	b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"}))
	for _, id := range []queue.ID{one.ID, two.ID} {
		s, err := b.Subscription(owner, id)
		require.NoError(t, err)
		require.Empty(t, s.Disabled)
	}
	list, err := b.Suppressions(owner, nil, 10)
	require.NoError(t, err)
	require.Empty(t, list)
}
