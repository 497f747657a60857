package channels_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy := channels.RetryPolicy{
		Phases: []channels.Phase{{Tries: 2, From: time.Second, To: time.Second}, {Tries: 1, From: time.Minute, To: time.Minute}},
		MaxAge: time.Hour,
	}
	final := policy
	final.FinalClientErrors = true
	of := func(k channels.Kind) *channels.Error { return &channels.Error{Kind: k} }
	cases := []struct {
		name    string
		policy  channels.RetryPolicy
		attempt channels.Attempt
		err     *channels.Error
		want    channels.Action
		in      time.Duration
	}{
		{"success", policy, channels.Attempt{}, nil, channels.Done, 0},
		{"temporary", policy, channels.Attempt{}, of(channels.Temporary), channels.Retry, time.Second},
		{"throttled", policy, channels.Attempt{}, of(channels.Throttled), channels.Retry, time.Second},
		{"rejected", policy, channels.Attempt{}, of(channels.Rejected), channels.DeadLetter, 0},
		{"endpoint gone", policy, channels.Attempt{}, of(channels.EndpointGone), channels.DeadLetter, 0},
		{"recipient blocked", policy, channels.Attempt{}, of(channels.RecipientBlocked), channels.DeadLetter, 0},
		{"account fault", policy, channels.Attempt{Try: 100, Age: 2 * time.Hour}, of(channels.AccountFault), channels.Pause, 0},
		{"uncertain", policy, channels.Attempt{}, of(channels.Uncertain), channels.Unsure, 0},
		{"uncertain, idempotent", policy, channels.Attempt{Idempotent: true}, of(channels.Uncertain), channels.Retry, time.Second},
		{"third try", policy, channels.Attempt{Try: 3}, of(channels.Temporary), channels.Retry, time.Minute},
		{"used up", policy, channels.Attempt{Try: 4}, of(channels.Temporary), channels.DeadLetter, 0},
		{"no retries", channels.RetryPolicy{}, channels.Attempt{}, of(channels.Temporary), channels.DeadLetter, 0},
		{"too old", policy, channels.Attempt{Age: time.Hour}, of(channels.Temporary), channels.DeadLetter, 0},
		{"retry-after is a floor", policy, channels.Attempt{},
			&channels.Error{Kind: channels.Throttled, RetryAfter: 30 * time.Second}, channels.Retry, 30 * time.Second},
		{"the backoff is longer", policy, channels.Attempt{Try: 3},
			&channels.Error{Kind: channels.Throttled, RetryAfter: 30 * time.Second}, channels.Retry, time.Minute},
		{"the book's wait is a floor", policy, channels.Attempt{},
			&channels.Error{Wait: 15 * time.Minute, RetryAfter: time.Minute}, channels.Retry, 15 * time.Minute},
		{"the book's tries", policy, channels.Attempt{Try: 2}, &channels.Error{MaxTries: 2}, channels.DeadLetter, 0},
		{"the book's tries, not yet", policy, channels.Attempt{Try: 1}, &channels.Error{MaxTries: 2}, channels.Retry, time.Second},
		{"the deadline is a ceiling", policy, channels.Attempt{Expires: now.Add(time.Second)}, of(channels.Temporary), channels.Expire, 0},
		{"in time", policy, channels.Attempt{Expires: now.Add(time.Second + 1)}, of(channels.Temporary), channels.Retry, time.Second},
		{"too late by retry-after", policy, channels.Attempt{Expires: now.Add(time.Minute)},
			&channels.Error{RetryAfter: time.Hour}, channels.Expire, 0},
		{"client errors are final", final, channels.Attempt{}, &channels.Error{Status: 429}, channels.DeadLetter, 0},
		{"server errors are not", final, channels.Attempt{}, &channels.Error{Status: 500}, channels.Retry, time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.attempt.Now, c.attempt.Try = now, max(c.attempt.Try, 1)
			v := c.policy.Judge(c.attempt, c.err)
			require.Equal(t, c.want, v.Action)
			if c.want == channels.Retry {
				require.Equal(t, now.Add(c.in), v.At)
			}
			require.Equal(t, c.want == channels.Pause, v.Free)
			require.Equal(t, c.want == channels.Done, v.Reason == "")
		})
	}
	require.Equal(t, 4, policy.Tries())
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for _, c := range []struct {
		name   string
		phase  channels.Phase
		random float64
		want   []time.Duration
	}{
		{"default", channels.Phase{Tries: 5, From: s, To: 5 * s}, 0, []time.Duration{s, 2 * s, 3 * s, 4 * s, 5 * s}},
		{"linear", channels.Phase{Tries: 3, From: s, To: 5 * s, Backoff: channels.Linear}, 0, []time.Duration{s, 3 * s, 5 * s}},
		{"arithmetic", channels.Phase{Tries: 3, From: 0, To: 8 * s, Backoff: channels.Arithmetic}, 0, []time.Duration{0, 3 * s, 8 * s}},
		{"geometric", channels.Phase{Tries: 3, From: 0, To: 8 * s, Backoff: channels.Geometric}, 0, []time.Duration{0, 2 * s, 8 * s}},
		{"exponential", channels.Phase{Tries: 5, From: s, To: 16 * s, Backoff: channels.Exponential}, 0,
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s}},
		{"exponential, few", channels.Phase{Tries: 3, From: s, To: 100 * s, Backoff: channels.Exponential}, 0,
			[]time.Duration{s, 10 * s, 100 * s}},
		{"exponential from nothing", channels.Phase{Tries: 2, To: s, Backoff: channels.Exponential}, 0,
			[]time.Duration{time.Millisecond, s}},
		{"jitter, none", channels.Phase{Tries: 3, From: s, To: 4 * s, Backoff: channels.Jitter}, 0, []time.Duration{s, 2 * s, 4 * s}},
		{"jitter, most", channels.Phase{Tries: 3, From: s, To: 4 * s, Backoff: channels.Jitter}, 1, []time.Duration{s / 2, s, 2 * s}},
		{"one try", channels.Phase{Tries: 1, From: s, To: 4 * s}, 0, []time.Duration{s}},
		{"at once", channels.Phase{Tries: 3}, 0, []time.Duration{0, 0, 0}},
		{"very many", channels.Phase{Tries: 2000, From: s, To: 20 * s, Backoff: channels.Exponential}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := channels.RetryPolicy{Phases: []channels.Phase{c.phase}}
			for i, want := range c.want {
				v := p.Judge(channels.Attempt{Try: i + 1, Random: c.random}, &channels.Error{})
				require.Equal(t, want, v.At.Sub(time.Time{}), "try %d", i+1)
			}
			last := p.Judge(channels.Attempt{Try: c.phase.Tries, Random: c.random}, &channels.Error{})
			require.Equal(t, channels.Retry, last.Action)
			require.LessOrEqual(t, last.At.Sub(time.Time{}), c.phase.To+s)
			require.Equal(t, channels.DeadLetter, p.Judge(channels.Attempt{Try: c.phase.Tries + 1}, &channels.Error{}).Action)
		})
	}
}
