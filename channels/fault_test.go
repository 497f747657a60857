package channels_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

// blind is a channel whose probe finds no fault while deliveries meet one.
func blind(good *atomic.Bool) *prober {
	return &prober{channel: answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
		if !good.Load() {
			return channels.Receipt{}, errFault
		}
		return channels.Receipt{}, nil
	})}
}

func (b *bench) account() channels.AccountState {
	b.Helper()
	s, ok := b.Account("a")
	require.True(b, ok)
	return s
}

func TestFaultTheProbeCannotSee(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var good atomic.Bool
		p := blind(&good)
		b.put(p, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 20)
		b.start()
		since := b.account().Since
		calls := 1
		for _, minutes := range []float64{.5, 1, 2, 4, 8, 15, 15, 15} {
			wait := time.Duration(minutes * float64(time.Minute))
			s := b.account()
			require.Equal(b, channels.Faulted, s.State)
			require.Equal(b, since, s.Since, "it is one and the same fault")
			require.Equal(b, channels.ByProvider, s.By)
			require.NotEmpty(b, s.Reason)
			require.NotEmpty(b, s.Advice)
			require.WithinDuration(b, time.Now().Add(wait), s.NextProbe, 0)
			b.pass(wait - time.Millisecond)
			require.Len(b, p.calls(), calls)
			b.pass(time.Millisecond)
			calls++
			require.Len(b, p.calls(), calls, "one delivery tries it")
			require.EqualValues(b, calls-1, p.probes.Load())
		}
		require.Equal(b, 1, p.calls()[calls-1].d.Try, "none cost a try")
		require.EqualValues(b, 20, b.stats(channels.Bulk).Ready)
		require.Equal(b, 1.0, stateMetric(b, channels.Faulted))

		good.Store(true)
		b.pass(15 * time.Minute)
		require.Equal(b, channels.Active, b.account().State)
		require.Len(b, b.settled, 20)
		good.Store(false)
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		require.WithinDuration(b, time.Now().Add(30*time.Second), b.account().NextProbe, 0, "a success forgets the waits")
	})
}

// stateMetric is the account's metric of a state.
func stateMetric(b *bench, state string) float64 {
	families, err := b.metrics.Gather()
	require.NoError(b, err)
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == "fanfare_account_state" && l.GetValue() == state {
					return m.GetGauge().GetValue()
				}
			}
		}
	}
	require.Fail(b, "no such state")
	return 0
}

func TestOneDeliveryDecides(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		began := time.Now()
		p := &prober{channel: answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			if time.Since(began) < 30*time.Second {
				return channels.Receipt{}, errFault
			}
			<-time.After(5 * time.Second)
			return channels.Receipt{}, nil
		})}
		b.put(p, limits(channels.Limits{Concurrency: 8, PerGroup: 8}))
		b.send(channels.Bulk, "g", 20)
		b.start()
		calls := len(p.calls())
		b.pass(30 * time.Second)
		require.Len(b, p.calls(), calls+1, "half open")
		s := b.account()
		require.Equal(b, channels.Faulted, s.State)
		require.Zero(b, s.NextProbe)
		b.pass(5*time.Second - time.Millisecond)
		require.Len(b, p.calls(), calls+1)
		b.pass(time.Millisecond)
		require.Equal(b, channels.Active, b.account().State)
		require.Len(b, p.calls(), calls+1+8)
	})
}

func TestFaultStopsWhatWasLeasedAndNotBegun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		release := make(chan struct{})
		b.desk.admit = func(e channels.Entry) channels.Verdict {
			if string(e.Body) == "bulk/g/1" {
				b.desk.mu.Unlock()
				<-release // the other one meets the fault meanwhile
				b.desk.mu.Lock()
			}
			return channels.Verdict{}
		}
		ch := failing(errFault)
		b.put(ch, limits(channels.Limits{Concurrency: 2, PerGroup: 2}))
		b.send(channels.Bulk, "g", 2)
		b.start()
		require.Equal(b, channels.Faulted, b.account().State)
		close(release)
		synctest.Wait()
		require.Len(b, ch.calls(), 1)
		require.EqualValues(b, 2, b.stats(channels.Bulk).Ready, "given back")
	})
}

func TestResumeForgetsTheWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var good atomic.Bool
		p := blind(&good)
		b.put(p, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.pass(time.Hour)
		calls := len(p.calls())
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Len(b, p.calls(), calls+1, "tried at once")
		require.WithinDuration(b, time.Now().Add(30*time.Second), b.account().NextProbe, 0)
		good.Store(true)
		require.NoError(b, b.Resume("a"))
		synctest.Wait()
		require.Equal(b, channels.Active, b.account().State)
		require.Len(b, b.settled, 1)
	})
}

// What the provider says of a recipient is no proof, but lets the next one try;
// what says nothing of the account makes it wait on.
func TestOtherAnswersOfATrial(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		answers := []error{
			errFault, &channels.Error{Kind: channels.Rejected, Provider: "fake", Status: 400}, errTemp,
			&channels.Error{Kind: channels.RecipientBlocked, Provider: "fake", Status: 400}, nil,
		}
		var n atomic.Int32
		b.put(answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			return channels.Receipt{}, answers[n.Add(1)-1]
		}), limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 4)
		b.start()
		b.pass(30 * time.Second)
		require.EqualValues(b, 3, n.Load(), "the refused one, and another at once")
		require.Equal(b, channels.Faulted, b.account().State)
		require.WithinDuration(b, time.Now().Add(30*time.Second), b.account().NextProbe, 0)
		b.pass(30 * time.Second)
		require.Equal(b, channels.Active, b.account().State)
	})
}

// A fault that is a frequent answer: a single one shows nothing, and each could
// be the endpoint's own.
func TestTrialOfAnEscalatedFaultCostsNoRecipient(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		gone := &channels.Error{Kind: channels.EndpointGone, Provider: "fake", Status: 400, Code: "BadDeviceToken",
			Escalate: &channels.Escalation{Share: 0.05, Window: 20 * time.Second, Least: 2, Kind: channels.AccountFault}}
		dead := map[string]bool{"bulk/g/0": true, "bulk/g/1": true, "bulk/g/2": true}
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if dead[d.Content.Text] {
				return channels.Receipt{}, gone
			}
			return channels.Receipt{}, nil
		})
		b.put(ch, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 4)
		b.start()
		require.Equal(b, []channels.Action{channels.DeadLetter, channels.Pause}, b.desk.actions(), "the second is one too many")
		b.pass(30*time.Second + time.Minute)
		require.Equal(b, channels.Faulted, b.account().State)
		b.pass(2 * time.Minute)
		require.Equal(b, channels.Active, b.account().State, "the fourth was accepted")
		require.Len(b, b.settled, 2)
		for _, o := range b.desk.outcomes[1:4] {
			require.True(b, o.Verdict.Free)
		}
		b.pass(time.Hour)
		require.Len(b, b.settled, 4, "the others are judged for themselves later")
	})
}

func TestLimitsChangeAndNothingElse(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var good atomic.Bool
		p := blind(&good)
		b.put(p, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 100)
		b.start()
		b.pass(time.Minute)
		before := b.account()
		calls := len(p.calls())
		b.put(p, limits(channels.Limits{Concurrency: 4, PerGroup: 4, Rate: 2, Burst: 1}))
		synctest.Wait()
		require.Equal(b, before, b.account(), "the fault stands, and its next test")
		require.Len(b, p.calls(), calls)
		good.Store(true)
		b.pass(time.Minute)
		require.Equal(b, channels.Active, b.account().State)
		n := len(p.calls())
		b.pass(10 * time.Second)
		require.Len(b, p.calls(), n+20, "two a second")
	})
}

func TestOtherCredentialsAreTestedAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var good atomic.Bool
		b.put(blind(&good), limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "g", 2)
		b.start()
		b.pass(time.Hour)
		since := b.account().Since
		wrong := blind(&good)
		b.put(wrong)
		synctest.Wait()
		require.Len(b, wrong.calls(), 1)
		require.Equal(b, since, b.account().Since, "still the same fault")
		good.Store(true)
		right := blind(&good)
		b.put(right)
		synctest.Wait()
		require.EqualValues(b, 1, right.probes.Load())
		require.Equal(b, channels.Active, b.account().State)
		require.Len(b, b.settled, 2)
	})
}

func TestNothingIsReached(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		down := &channels.Error{Kind: channels.Temporary, Provider: "fake", Code: "connect", Unreachable: true, Wait: time.Hour}
		var up atomic.Bool
		b.put(answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			if up.Load() {
				return channels.Receipt{}, nil
			}
			return channels.Receipt{}, down
		}))
		metric := func() float64 {
			families, err := b.metrics.Gather()
			require.NoError(b, err)
			for _, f := range families {
				if f.GetName() == "fanfare_uplink_down" {
					return f.Metric[0].GetGauge().GetValue()
				}
			}
			return -1
		}
		b.send(channels.Bulk, "g", 1)
		b.start()
		require.Equal(b, 1.0, metric())
		b.pass(48 * time.Hour)
		require.Empty(b, b.settled)
		up.Store(true)
		b.pass(time.Hour)
		require.Len(b, b.settled, 1)
		require.Zero(b, metric())
		up.Store(false)
		b.send(channels.Bulk, "g", 1)
		b.pass(80 * time.Hour)
		require.Len(b, b.settled, 2, "but not for ever: it may be the endpoint after all")
		require.Equal(b, channels.DeadLetter, b.desk.outcomes[len(b.desk.outcomes)-1].Verdict.Action)
		problems, err := testutil.GatherAndLint(b.metrics, "fanfare_uplink_down")
		require.NoError(b, err)
		require.Empty(b, problems)
	})
}

// One queue whose policy denies the account holds up none of the others.
func TestOneDeniedQueueIsNoFaultOfTheAccount(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		book, err := channels.NewErrorBook(nil)
		require.NoError(b, err)
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Lane == channels.Bulk {
				return channels.Receipt{}, book.Judge(channels.Answer{Provider: "sqs", Status: 403, Code: "AccessDenied"})
			}
			return channels.Receipt{}, nil
		})
		b.put(ch, limits(channels.Limits{Concurrency: 1}))
		b.send(channels.Bulk, "service", 15)
		b.send(channels.Transactional, "service", 30)
		b.start()
		b.pass(time.Second)
		require.Equal(b, channels.Active, b.account().State)
		require.Len(b, b.settled, 30)
		b.pass(20 * time.Minute)
		b.send(channels.Bulk, "service", 100)
		b.pass(20 * time.Minute)
		require.Equal(b, channels.Faulted, b.account().State, "by then all are denied")
	})
}
