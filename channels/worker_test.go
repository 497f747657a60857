package channels_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

func TestDelivers(t *testing.T) {
	t.Parallel()
	inShards(t, 4, func(b *bench) {
		ch := answering(nil)
		b.put(ch)
		before := b.send(channels.Bulk, "g", 5)
		b.start()
		after := b.send(channels.Critical, "h", 5)
		synctest.Wait()
		require.Len(b, ch.calls(), 10)
		require.ElementsMatch(b, append(before, after...), b.settled)
		require.Zero(b, b.stats(channels.Bulk))
		s, _ := b.Account("a")
		require.Equal(b, channels.AccountState{Name: "a", Protocol: "webhook", Provider: "fake",
			State: channels.Active, Since: s.Since, Idempotent: true}, s)
	})
}

func TestLanesGoByWeight(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := taking(time.Second)
		b.put(ch, limits(channels.Limits{Concurrency: 1}))
		for _, lane := range channels.Lanes() {
			b.send(lane, "g", 100)
		}
		b.start()
		b.pass(63*time.Second - time.Millisecond)
		of := func(l channels.Lane) int {
			return ch.count(func(d channels.Delivery) bool { return d.Lane == l })
		}
		require.Equal(b, []int{48, 12, 3}, []int{of(channels.Critical), of(channels.Transactional), of(channels.Bulk)})
		b.pass(300 * time.Second)
		require.Len(b, ch.calls(), 300, "no turn is lost on an empty lane")
	})
}

func TestCriticalOvertakes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(nil)
		b.put(ch, limits(channels.Limits{Rate: 1, Burst: 1}))
		b.send(channels.Bulk, "g", 1000)
		b.start()
		b.pass(10500 * time.Millisecond)
		n := len(ch.calls())
		b.send(channels.Critical, "otp", 1)
		b.pass(time.Second)
		require.Equal(b, "otp", ch.calls()[n].d.Endpoint)
	})
}

// An urgent delivery is among the next attempts, however long the backlog.
func TestBacklogDelaysNothingUrgent(t *testing.T) {
	t.Parallel()
	inShards(t, 2, func(b *bench) {
		const backlog, slots = 50_000, 8
		ch := taking(time.Second)
		b.put(ch, limits(channels.Limits{Concurrency: slots, PerGroup: slots}))
		msgs := make([]queue.Message, 1000)
		for i := range msgs {
			msgs[i] = queue.Message{Group: "g", Body: []byte("bulk")}
		}
		for range backlog / len(msgs) {
			_, err := b.store.Send(b.Context(), channels.QueueName("a", channels.Bulk), msgs...)
			require.NoError(b, err)
		}
		b.start()
		b.pass(3500 * time.Millisecond)
		for range 3 {
			before := len(ch.calls())
			b.send(channels.Critical, "otp", 2)
			b.pass(time.Second)
			next := ch.calls()[before:]
			require.Len(b, next, slots, "the backlog goes on")
			urgent := 0
			for _, c := range next {
				if c.d.Lane == channels.Critical {
					urgent++
				}
			}
			require.Equal(b, 2, urgent, "but is not waited for")
		}
		require.Greater(b, b.stats(channels.Bulk).Ready, int64(backlog-100))
	})
}

func TestRate(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(nil)
		b.put(ch, limits(channels.Limits{Rate: 10, Burst: 5}))
		b.send(channels.Bulk, "g", 100)
		b.start()
		require.Len(b, ch.calls(), 5, "the burst")
		b.pass(5*time.Second + 50*time.Millisecond)
		require.Len(b, ch.calls(), 55)
		require.EqualValues(b, 50, b.stats(channels.Bulk).Ready+b.stats(channels.Bulk).InFlight-5+10)
	})
}

func TestUnitsAreDebt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			return channels.Receipt{Units: 3}, nil
		})
		b.put(ch, limits(channels.Limits{Rate: 1, Burst: 1}))
		b.send(channels.Bulk, "g", 100)
		b.start()
		b.pass(30500 * time.Millisecond)
		require.Len(b, ch.calls(), 11)
	})
}

func TestWhatIsNotSentCostsNoToken(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(nil)
		b.put(ch, limits(channels.Limits{Rate: 1, Burst: 1}))
		b.desk.admit = func(e channels.Entry) channels.Verdict {
			if e.Lane == channels.Critical {
				return channels.Verdict{Action: channels.Suppress, Reason: "suppressed"}
			}
			return channels.Verdict{}
		}
		ids := b.send(channels.Critical, "g", 50)
		b.start()
		require.ElementsMatch(b, ids, b.settled)
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		require.Len(b, ch.calls(), 1)
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	inShards(t, 4, func(b *bench) {
		ch := taking(time.Second)
		b.put(ch, limits(channels.Limits{Concurrency: 10, PerGroup: 3}))
		b.send(channels.Bulk, "slow", 100)
		b.start()
		require.EqualValues(b, 3, b.stats(channels.Bulk).InFlight, "no more is leased than runs")
		for _, g := range []string{"b", "c", "d", "e"} {
			b.send(channels.Bulk, g, 10)
		}
		b.pass(time.Minute)
		require.Len(b, ch.calls(), 140)
		require.Equal(b, 10, ch.most[""])
		for _, g := range []string{"slow", "b", "c", "d", "e"} {
			require.LessOrEqual(b, ch.most[g], 3, g)
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := taking(10 * time.Second)
		b.put(ch, limits(channels.Limits{Concurrency: 2, PerGroup: 2}))
		held := make(chan struct{})
		b.send(channels.Bulk, "g", 5)
		b.desk.admit = func(e channels.Entry) channels.Verdict {
			if string(e.Body) == "bulk/g/1" {
				b.desk.mu.Unlock()
				<-held // its run is stopped meanwhile
				b.desk.mu.Lock()
			}
			return channels.Verdict{}
		}
		b.start()
		require.EqualValues(b, 2, b.stats(channels.Bulk).InFlight)
		began := time.Now()
		b.stop()
		synctest.Wait()
		close(held)
		synctest.Wait()
		require.Equal(b, queue.Stats{Ready: 4, InFlight: 1, Oldest: b.stats(channels.Bulk).Oldest}, b.stats(channels.Bulk), "given back")
		b.halt()
		require.Equal(b, 10*time.Second, time.Since(began), "the attempt that ran was finished")
		require.Equal(b, []channels.Action{channels.Done}, b.desk.actions())
		require.EqualValues(b, 4, b.stats(channels.Bulk).Ready)
		got, err := b.store.Receive(context.Background(), channels.QueueName("a", channels.Bulk), queue.ReceiveOptions{Max: 10})
		require.NoError(b, err)
		for _, m := range got {
			require.Equal(b, 1, m.Receives, "uncounted")
		}
	})
}

func TestHardStop(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.put(taking(20*time.Second), func(o *channels.AccountOptions) { o.Idempotent = false })
		b.send(channels.Bulk, "g", 1)
		b.start()
		began := time.Now()
		b.stop()
		b.Stop()
		b.halt()
		require.Equal(b, began, time.Now())
		require.Equal(b, []channels.Action{channels.Unsure}, b.desk.actions())
	})
}

func TestStoreEndsRun(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.put(taking(time.Second))
		b.start()
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		require.NoError(b, b.store.Close())
		require.ErrorIs(b, <-b.done, queue.ErrClosed)
		b.stop = nil
	})
}
