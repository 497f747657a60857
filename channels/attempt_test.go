package channels_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

func TestRetriesThenDeadLetter(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := failing(errTemp)
		b.put(ch)
		ids := b.send(channels.Bulk, "g", 1)
		b.start()
		began := time.Now()
		b.pass(time.Minute)
		require.Equal(b, []channels.Action{channels.Retry, channels.Retry, channels.Retry, channels.DeadLetter}, b.desk.actions())
		for i, c := range ch.calls() {
			require.Equal(b, i+1, c.d.Try)
			require.WithinDuration(b, began.Add(time.Duration(i)*10*time.Second), c.at, time.Second)
		}
		require.Equal(b, ids, b.settled)
		require.Same(b, errTemp, b.desk.outcomes[3].Err)
		require.Equal(b, 4, b.desk.outcomes[3].Try)
	})
}

func TestUncertain(t *testing.T) {
	t.Parallel()
	for _, idempotent := range []bool{true, false} {
		inBubble(t, func(b *bench) {
			b.put(taking(time.Hour), func(o *channels.AccountOptions) { o.Idempotent = idempotent })
			b.send(channels.Bulk, "g", 1)
			b.start()
			b.pass(30 * time.Second)
			want := channels.Unsure
			if idempotent {
				want = channels.Retry
			}
			require.Equal(b, []channels.Action{want}, b.desk.actions())
			require.Equal(b, 30*time.Second, b.desk.outcomes[0].Took)
			require.Empty(b, b.settled)
		})
	}
}

func TestDeadlineEndsAnAttempt(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.desk.expires = 7 * time.Second
		b.put(taking(time.Hour))
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.pass(10 * time.Second)
		require.Equal(b, []channels.Action{channels.Expire}, b.desk.actions())
		require.Equal(b, 7*time.Second, b.desk.outcomes[0].Took)
	})
	inBubble(t, func(b *bench) {
		b.desk.timeout = 5 * time.Second
		b.put(taking(time.Hour), func(o *channels.AccountOptions) { o.Idempotent = true })
		b.send(channels.Bulk, "g", 1)
		b.start()
		b.pass(5 * time.Second)
		require.Equal(b, []channels.Action{channels.Retry}, b.desk.actions(), "a delivery's own limit")
	})
}

func TestPanic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(func(context.Context, channels.Delivery) (channels.Receipt, error) { panic("secret") })
		b.put(ch, func(o *channels.AccountOptions) { o.Idempotent = false })
		b.send(channels.Bulk, "g", 1)
		b.start()
		require.Equal(b, []channels.Action{channels.Unsure}, b.desk.actions())
		require.NotContains(b, b.desk.outcomes[0].Err.Error(), "secret")
	})
}

func TestUnclassifiedErrorIsTemporary(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.put(failing(errors.New("to +15550001111")))
		b.send(channels.Bulk, "g", 1)
		b.start()
		require.Equal(b, []channels.Action{channels.Retry}, b.desk.actions())
		err := b.desk.outcomes[0].Err
		require.True(b, err.Unknown)
		require.NotContains(b, err.Error(), "+1555")
	})
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for conflicts, want := range map[int][2]int{ // calls at once, and in the end
		1: {1, 1}, // the intent is made again
		2: {0, 1}, // then later
	} {
		inBubble(t, func(b *bench) {
			ch := answering(nil)
			b.put(ch)
			b.desk.conflict = conflicts
			b.start()
			b.send(channels.Bulk, "g", 1)
			synctest.Wait()
			require.Len(b, ch.calls(), want[0])
			b.pass(3 * time.Second)
			require.Len(b, ch.calls(), want[1])
			require.Equal(b, 1, ch.calls()[0].d.Try)
			require.Len(b, b.settled, 1)
		})
	}
	inBubble(t, func(b *bench) {
		ch := taking(time.Second)
		b.put(ch)
		b.start()
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		b.desk.mu.Lock()
		b.desk.conflict, b.desk.gone = 3, 5
		b.desk.mu.Unlock()
		b.pass(time.Second)
		require.Len(b, b.desk.actions(), 6, "the outcome is built anew until it fits")
		require.Len(b, b.settled, 1)
	})
}

func TestLateOutcome(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := taking(time.Second)
		b.put(ch)
		b.start()
		b.send(channels.Bulk, "g", 1)
		synctest.Wait()
		require.NoError(b, b.store.Purge(b.Context(), channels.QueueName("a", channels.Bulk)))
		b.pass(time.Second)
		require.Len(b, b.desk.late, 1)
		require.Equal(b, channels.Done, b.desk.late[0].Verdict.Action)
		require.Empty(b, b.settled)
	})
}

func TestUplinkDownSpendsNoTries(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		down := &channels.Error{Kind: channels.Temporary, Provider: "fake", Code: "connect", Unreachable: true}
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "up" {
				return channels.Receipt{}, nil
			}
			return channels.Receipt{}, down
		})
		b.put(ch)
		b.start()
		b.send(channels.Bulk, "down", 1)
		b.pass(10 * time.Minute)
		st := b.stats(channels.Bulk)
		require.EqualValues(b, 1, st.Delayed+st.Ready, "it would be dead-lettered long since")
		for _, o := range b.desk.outcomes {
			require.True(b, o.Verdict.Free)
			require.Equal(b, 1, o.Try)
		}
		for range 100 {
			b.send(channels.Bulk, "up", 1)
			b.pass(5 * time.Second)
		}
		require.Len(b, b.settled, 101, "others get answers: it is this endpoint")
	})
}

func TestBreakerIsolatesGroups(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if d.Endpoint == "down" {
				return channels.Receipt{}, errTemp
			}
			return channels.Receipt{}, nil
		})
		down := func(d channels.Delivery) bool { return d.Endpoint == "down" }
		b.desk.policy.Phases[0] = channels.Phase{Tries: 1, From: 24 * time.Hour, To: 24 * time.Hour}
		b.put(ch, limits(channels.Limits{Concurrency: 4, PerGroup: 1}))
		b.send(channels.Bulk, "down", 1000)
		b.send(channels.Bulk, "up", 100)
		b.start()
		require.Len(b, b.settled, 100, "others go on")
		require.Equal(b, 5, ch.count(down))
		want := 5
		for _, open := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			b.pass(time.Duration(open)*time.Second - time.Millisecond)
			require.Equal(b, want, ch.count(down), "open")
			b.pass(time.Millisecond)
			want++
			require.Equal(b, want, ch.count(down), "half open: one")
		}
	})
}

// A host with many endpoints goes on where most of them are no more.
func TestAnswersAboutOneEndpointHoldUpNobody(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		book, err := channels.NewErrorBook(nil)
		require.NoError(b, err)
		gone := func(d channels.Delivery) bool { return !strings.HasSuffix(d.Content.Text, "0") }
		ch := answering(func(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
			if gone(d) {
				return channels.Receipt{}, book.Judge(channels.Answer{Provider: "webhook", Status: 404})
			}
			return channels.Receipt{}, nil
		})
		b.desk.policy.Phases[0] = channels.Phase{Tries: 1, From: 24 * time.Hour, To: 24 * time.Hour}
		b.put(ch, limits(channels.Limits{Concurrency: 4, PerGroup: 1}))
		b.send(channels.Bulk, "host", 100)
		b.start()
		require.Equal(b, 90, ch.count(gone))
		require.Len(b, b.settled, 10, "nobody waits")
	})
}

func TestBreakerCloses(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		began := time.Now()
		ch := answering(func(context.Context, channels.Delivery) (channels.Receipt, error) {
			if time.Since(began) < time.Second {
				return channels.Receipt{}, errTemp
			}
			return channels.Receipt{}, nil
		})
		b.put(ch)
		b.send(channels.Bulk, "g", 100)
		b.start()
		b.pass(time.Second)
		require.Zero(b, b.stats(channels.Bulk).Ready, "all go once one has")
		b.pass(30 * time.Second)
		require.Len(b, b.settled, 100)
	})
}

func TestThrottledGroupWaits(t *testing.T) {
	t.Parallel()
	for wish, waits := range map[time.Duration]time.Duration{90 * time.Second: 90 * time.Second, 5 * time.Hour: time.Hour} {
		inBubble(t, func(b *bench) {
			ch := failing(&channels.Error{Kind: channels.Throttled, Provider: "fake", Status: 429, RetryAfter: wish})
			b.put(ch, limits(channels.Limits{Concurrency: 2, PerGroup: 1}))
			b.send(channels.Bulk, "g", 2)
			b.start()
			require.Len(b, ch.calls(), 1)
			b.pass(waits - time.Millisecond)
			require.Len(b, ch.calls(), 1)
			b.pass(time.Millisecond)
			require.Len(b, ch.calls(), 2)
		})
	}
}
