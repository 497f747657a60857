package topics_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// TestEvidenceThatChangesNothingIsKept: what a provider says of an earlier try,
// or after something that outranks it, is kept once beside the delivery.
func TestEvidenceThatChangesNothingIsKept(t *testing.T) {
	t.Parallel()
	b := start(t)
	id := b.failed("+1")[0].WithOrdinal(1)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM2"}, nil })
	r, err := b.Redrive(t.Context(), refusedBySMS, 1000)
	require.NoError(t, err)
	b.redriven(r.ID)
	b.until(func() bool {
		d, _, err := b.Attempts(owner, id)
		require.NoError(t, err)
		return d.State == topics.Sent
	})
	observe := func(ev topics.Evidence) bool {
		ev.Delivery = id
		applied, err := b.Observe(t.Context(), ev)
		require.NoError(t, err)
		return applied
	}
	late := topics.Evidence{
		Try: 1, State: topics.Failed, ProviderID: "SM1", Account: "twilio/main",
		Err: &channels.Error{Provider: "twilio", Kind: channels.Rejected, Code: "30005"},
	}
	require.False(t, observe(late), "the first try is over")
	require.False(t, observe(late))
	require.False(t, observe(topics.Evidence{Try: 2, State: topics.Sent}), "says what is known")
	require.True(t, observe(topics.Evidence{Try: 2, State: topics.Delivered}))
	require.False(t, observe(topics.Evidence{Try: 2, State: topics.Failed}), "outranked")
	for try := range 20 {
		require.False(t, observe(topics.Evidence{Try: 10 + try, State: topics.Delivered}))
	}
	d, _, err := b.Attempts(owner, id)
	require.NoError(t, err)
	require.Equal(t, topics.Delivered, d.State)
	require.Len(t, d.Unapplied, 8, "bounded")
	first := d.Unapplied[0]
	require.False(t, first.At.IsZero())
	require.Equal(t, topics.UnappliedEvidence{
		Try: 1, State: topics.Failed, At: first.At, Account: "twilio/main", ProviderID: "SM1", Kind: "rejected", Code: "30005",
	}, first)
	require.Equal(t, topics.Failed, d.Unapplied[1].State)
	require.Equal(t, 2, d.Unapplied[1].Try)
}

func TestProvidersWordAboutEndpointsAndRecipients(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	gone := b.subscribe("alerts", topics.SMS, "+1")
	b.subscribe("alerts", topics.SMS, "+2")
	b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
		kind := channels.EndpointGone
		if d.Endpoint == "+2" {
			kind = channels.RecipientBlocked
		}
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: kind, Code: "1"}
	})
	require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})))
	s, err := b.Subscription(owner, gone.ID)
	require.NoError(t, err)
	require.Equal(t, "twilio: 1", s.Disabled)
	list, err := b.Suppressions(owner, nil, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)

	require.Equal(t, topics.Ledger{topics.Suppressed: 1}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})),
		"a disabled endpoint is no audience, a suppressed one gets nothing")
	require.NoError(t, b.Unsuppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+2"}))
	b.sms.script(nil)
	b.subscribe("alerts", topics.SMS, "+1") // registered anew
	require.Equal(t, topics.Ledger{topics.Delivered: 2}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})))
}

func TestUncertainIsHeldForEvidence(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Uncertain, Code: "no_answer"}
	})
	id := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Uncertain] == 1
	})
	applied, err := b.Observe(t.Context(), topics.Evidence{Delivery: id.WithOrdinal(1), Try: 1, State: topics.Delivered})
	require.NoError(t, err)
	require.True(t, applied)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	require.Equal(t, 1, b.sms.count("+1"), "never sent twice")
}

// A provider's report that asks for another attempt may come before the worker
// has noted the end of this one.
func TestAReportThatComesBeforeTheOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, reportBeforeOutcome)
}

func reportBeforeOutcome(t *testing.T) {
	b := start(t)
	begun, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		once.Do(func() { close(begun); <-end })
		return channels.Receipt{}, nil
	})
	id := b.publish(topics.Request{To: to("+1"), Message: "x"})
	<-begun
	reported := make(chan bool)
	go func() {
		applied, err := b.Observe(t.Context(), topics.Evidence{
			Delivery: id.WithOrdinal(1), Try: 1, State: topics.Failed,
			Err: &channels.Error{Provider: "twilio", Kind: channels.Temporary, Code: "30008", MaxTries: 2},
		})
		if err != nil {
			t.Error(err)
		}
		reported <- applied
	}()
	close(end)
	require.True(t, <-reported)
	b.until(func() bool { return b.sms.count("+1") == 2 })
	require.Equal(t, topics.Ledger{topics.Sent: 1}, b.settle(id))
}
