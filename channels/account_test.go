package channels_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

var (
	errFault = &channels.Error{Kind: channels.AccountFault, Provider: "fake", Status: 401, Code: "20003"}
	errTemp  = &channels.Error{Kind: channels.Temporary, Provider: "fake", Status: 503}
)

// prober is a channel with a credentials check.
type prober struct {
	*channel
	bad    atomic.Bool
	probes atomic.Int32
}

func (p *prober) Probe(context.Context) error {
	p.probes.Add(1)
	if p.bad.Load() {
		return errFault
	}
	return nil
}

func TestFaultPausesUntilProbed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		p := &prober{}
		p.channel = answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			if p.bad.Load() {
				return channels.Receipt{}, errFault
			}
			return channels.Receipt{}, nil
		})
		p.bad.Store(true)
		b.put(p, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 3)
		b.start()
		s, _ := b.Account("a")
		require.Equal(b, channels.Faulted, s.State)
		require.Equal(b, "20003", s.Code)
		require.Len(b, p.calls(), 1)
		require.Equal(b, []channels.Action{channels.Pause}, b.desk.actions())
		require.EqualValues(b, 3, b.stats(channels.Bulk).Ready, "given back")
		b.pass(5 * time.Minute)
		require.Len(b, p.calls(), 1, "not leased")
		require.EqualValues(b, 10, p.probes.Load())
		p.bad.Store(false)
		b.pass(30 * time.Second)
		require.Equal(b, channels.Active, b.state())
		require.Len(b, b.settled, 3)
		require.Equal(b, 1, p.calls()[3].d.Try, "the fault cost no try")
	})
}

func TestFaultWithoutProbeIsTried(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var bad atomic.Bool
		bad.Store(true)
		ch := answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			if bad.Load() {
				return channels.Receipt{}, errFault
			}
			return channels.Receipt{}, nil
		})
		b.put(ch, limits(channels.Limits{Concurrency: 2}))
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.send(channels.Bulk, "h", 9)
		b.pass(95 * time.Second)
		require.Len(b, ch.calls(), 3, "one attempt after 30 s, and one 60 s later")
		bad.Store(false)
		b.pass(2 * time.Minute)
		require.Len(b, b.settled, 10)
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		release := make(chan struct{})
		old := answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			<-release
			return channels.Receipt{}, errFault
		})
		b.put(old, limits(channels.Limits{Concurrency: 2, PerGroup: 1}))
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.send(channels.Bulk, "h", 1)
		synctest.Wait()
		require.Len(b, old.calls(), 2)
		release <- struct{}{}
		synctest.Wait()
		require.Equal(b, channels.Faulted, b.state())
		fresh := answering(nil)
		b.put(fresh)
		synctest.Wait()
		require.Equal(b, channels.Active, b.state(), "resumes at once")
		require.Len(b, fresh.calls(), 1)
		release <- struct{}{}
		synctest.Wait()
		require.Equal(b, channels.Active, b.state(), "a fault of the old credentials")
		require.Len(b, fresh.calls(), 2)
		require.Len(b, b.settled, 2)
	})
}

func TestOperatorPauses(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(nil)
		b.put(ch)
		b.start()
		require.NoError(b, b.Pause("a", "maintenance"))
		b.send(channels.Critical, "g", 3)
		b.pass(time.Hour)
		require.Empty(b, ch.calls())
		b.put(ch)
		s, _ := b.Account("a")
		require.Equal(b, channels.Paused, s.State, "a rotation does not end it")
		require.Equal(b, "maintenance", s.Reason)
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Len(b, ch.calls(), 3)
		err := b.Pause("nobody", "")
		require.ErrorIs(b, err, channels.ErrNoAccount)
		require.ErrorContains(b, err, "nobody")
		require.ErrorIs(b, b.Resume("nobody"), channels.ErrNoAccount)
	})
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(nil)
		b.put(ch)
		b.start()
		require.NoError(b, b.Put(b.Context(), channels.AccountOptions{Name: "b", Protocol: "webhook", Provider: "fake", Channel: ch}))
		require.Equal(b, "a", b.Default("webhook"))
		require.Empty(b, b.Default("sms"))
		end, err := b.CheckEndpoint("b", "x")
		require.NoError(b, err)
		require.Equal(b, "x", end.Address)
		_, err = b.CheckEndpoint("c", "x")
		require.ErrorIs(b, err, channels.ErrNoAccount)
		require.Len(b, b.States(), 2)
		b.Remove("a")
		b.send(channels.Bulk, "g", 1)
		b.pass(time.Minute)
		require.Empty(b, ch.calls())
		require.Equal(b, "b", b.States()[0].Name)
		families, err := b.metrics.Gather()
		require.NoError(b, err)
		for _, f := range families {
			require.NotContains(b, f.String(), `value:"a"`)
		}
		b.put(ch)
		synctest.Wait()
		require.Len(b, ch.calls(), 1, "what was left is delivered when it is put again")
		for field, o := range map[string]channels.AccountOptions{
			"name":       {Protocol: "p", Channel: ch},
			"channel":    {Name: "n", Protocol: "p"},
			"protocol":   {Name: "n", Channel: ch},
			"rate":       {Name: "n", Protocol: "p", Channel: ch, Limits: channels.Limits{Rate: -1}},
			"limits and": {Name: "n", Protocol: "p", Channel: ch, Limits: channels.Limits{Concurrency: -1}},
		} {
			require.ErrorContains(b, b.Put(b.Context(), o), field)
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var n atomic.Int32
		b.put(answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			switch n.Add(1) {
			case 1:
				return channels.Receipt{}, &channels.Error{Kind: channels.Throttled, Status: 429, RetryAfter: time.Minute, Unknown: true}
			case 2:
				return channels.Receipt{}, nil
			}
			return channels.Receipt{}, errFault
		}), limits(channels.Limits{Rate: 0.25, Burst: 2}))
		b.start()
		b.send(channels.Bulk, "g", 1)
		b.pass(2 * time.Minute)
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		require.NoError(b, testutil.GatherAndCompare(b.metrics, strings.NewReader(`
# HELP fanfare_account_state 1 for the state the account is in, 0 for the others.
# TYPE fanfare_account_state gauge
fanfare_account_state{account="a",channel="webhook",state="active"} 0
fanfare_account_state{account="a",channel="webhook",state="faulted"} 1
fanfare_account_state{account="a",channel="webhook",state="paused"} 0
# HELP fanfare_attempts_total Attempts by kind of answer (ok: accepted).
# TYPE fanfare_attempts_total counter
fanfare_attempts_total{account="a",channel="webhook",kind="account_fault"} 1
fanfare_attempts_total{account="a",channel="webhook",kind="endpoint_gone"} 0
fanfare_attempts_total{account="a",channel="webhook",kind="ok"} 1
fanfare_attempts_total{account="a",channel="webhook",kind="recipient_blocked"} 0
fanfare_attempts_total{account="a",channel="webhook",kind="rejected"} 0
fanfare_attempts_total{account="a",channel="webhook",kind="temporary"} 0
fanfare_attempts_total{account="a",channel="webhook",kind="throttled"} 1
fanfare_attempts_total{account="a",channel="webhook",kind="uncertain"} 0
# HELP fanfare_rate_limit_tokens Attempts an account's rate limit allows at once; negative: owed. None for an account without a limit.
# TYPE fanfare_rate_limit_tokens gauge
fanfare_rate_limit_tokens{account="a",channel="webhook"} 1
# HELP fanfare_retries_total Failed attempts that another one follows, by kind of answer.
# TYPE fanfare_retries_total counter
fanfare_retries_total{account="a",channel="webhook",kind="account_fault"} 0
fanfare_retries_total{account="a",channel="webhook",kind="endpoint_gone"} 0
fanfare_retries_total{account="a",channel="webhook",kind="recipient_blocked"} 0
fanfare_retries_total{account="a",channel="webhook",kind="rejected"} 0
fanfare_retries_total{account="a",channel="webhook",kind="temporary"} 0
fanfare_retries_total{account="a",channel="webhook",kind="throttled"} 1
fanfare_retries_total{account="a",channel="webhook",kind="uncertain"} 0
# HELP fanfare_retry_after_honoured_total Retries put off as the provider asked (Retry-After).
# TYPE fanfare_retry_after_honoured_total counter
fanfare_retry_after_honoured_total{account="a",channel="webhook"} 1
# HELP fanfare_unknown_error_codes_total Answers the error book has no row for.
# TYPE fanfare_unknown_error_codes_total counter
fanfare_unknown_error_codes_total{provider="fake"} 1
`), "fanfare_account_state", "fanfare_attempts_total", "fanfare_rate_limit_tokens", "fanfare_retries_total",
			"fanfare_retry_after_honoured_total", "fanfare_unknown_error_codes_total"))
		count, err := testutil.GatherAndCount(b.metrics, "fanfare_attempt_duration_seconds", "fanfare_rate_limit_wait_seconds")
		require.NoError(b, err)
		require.Equal(b, 2, count)
	})
}

func TestEscalation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		gone := &channels.Error{Kind: channels.EndpointGone, Provider: "fake", Status: 400, Code: "BadDeviceToken",
			Escalate: &channels.Escalation{Share: 0.05, Window: 10 * time.Minute, Least: 50, Kind: channels.AccountFault}}
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "gone" {
				return channels.Receipt{}, gone
			}
			return channels.Receipt{}, nil
		})
		b.put(ch, limits(channels.Limits{Concurrency: 1}))
		b.start()
		b.send(channels.Bulk, "gone", 10)
		synctest.Wait()
		require.Equal(b, channels.Active, b.state(), "too few to tell")
		b.pass(11 * time.Minute)
		b.send(channels.Bulk, "ok", 190)
		synctest.Wait()
		b.send(channels.Bulk, "gone", 10)
		synctest.Wait()
		require.Equal(b, channels.Active, b.state(), "one in twenty")
		b.send(channels.Bulk, "gone", 1)
		synctest.Wait()
		require.Equal(b, channels.Faulted, b.state(), "more than one in twenty")
		last := b.desk.outcomes[len(b.desk.outcomes)-1]
		require.Equal(b, channels.AccountFault, last.Err.Kind)
		require.Equal(b, channels.Pause, last.Verdict.Action, "no recipient is lost")
		require.Equal(b, channels.EndpointGone, gone.Kind)
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Equal(b, channels.Faulted, b.state(), "nothing has changed")
		require.Len(b, ch.calls(), 212)
	})
}
