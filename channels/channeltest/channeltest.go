// Package channeltest is the suite every channel passes: the kind of each
// answer, the context obeyed, exactly one request an attempt, and no secret,
// recipient or body in an error.
package channeltest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/queue"
)

// Suite describes a channel to Run.
type Suite struct {
	// Provider as named by the sandbox and the error book.
	Provider string
	// New makes the channel under test against the sandbox.
	New func(t *testing.T, sb *sandbox.Server) channels.Channel
	// Endpoint makes the n-th good endpoint; each case uses one of its own.
	Endpoint func(sb *sandbox.Server, n int) string
	// Recipient is the endpoint as the sandbox's scripts and inbox name it;
	// nil means it is the same text.
	Recipient func(endpoint string) string
	// Bad are endpoints CheckEndpoint must refuse.
	Bad []string
	// Answers is the table of scripted answers.
	Answers []Case
	// Delivered: success means delivered, not only sent.
	Delivered bool
	// Secrets must never stand in an error text.
	Secrets []string
	// UnscriptedDrop: what a connection dropped before acceptance counts as;
	// the zero value means Uncertain (the request was written).
	DropBefore channels.Kind
	// SafeDrop: a connection dropped before acceptance provably sent nothing
	// (SMTP before the final dot), so it counts as Temporary. It takes the place
	// of DropBefore, whose zero value already means Uncertain.
	SafeDrop bool
}

// Case is one scripted answer and what it must be classified as.
type Case struct {
	Name   string
	Answer sandbox.Answer
	Kind   channels.Kind
	Code   string // "" is not compared
	// RetryAfter expected on the error.
	RetryAfter time.Duration
}

const secretBody = "the-body-that-must-not-leak"

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	r := &runner{Suite: s, sb: sb, ch: s.New(t, sb)}
	if r.Recipient == nil {
		r.Recipient = func(e string) string { return e }
	}
	t.Run("endpoints", r.endpoints)
	t.Run("accepted", r.accepted)
	t.Run("answers", r.answers)
	t.Run("lost answer", r.lostAnswer)
	t.Run("context", r.context)
}

type runner struct {
	Suite
	sb *sandbox.Server
	ch channels.Channel
	n  int
}

func (r *runner) endpoint() string {
	r.n++
	return r.Endpoint(r.sb, r.n)
}

// Delivery is a delivery as the worker would hand it over.
func Delivery(endpoint string, n int) channels.Delivery {
	id := queue.MakeID(time.Now(), 0, uint64(n), 0)
	return channels.Delivery{
		ID: id.WithOrdinal(1), Publish: id, Try: 1, Topic: "alerts", Endpoint: endpoint,
		Lane: channels.Transactional, PublishedAt: time.Now(), Expires: time.Now().Add(time.Hour),
		Content: channels.Content{Subject: "Subject", Text: secretBody},
	}
}

func (r *runner) endpoints(t *testing.T) {
	good, err := r.ch.CheckEndpoint(r.endpoint())
	require.NoError(t, err)
	require.NotEmpty(t, good.Address)
	require.NotEmpty(t, good.Group)
	again, err := r.ch.CheckEndpoint(good.Address)
	require.NoError(t, err, "the normal form is itself a good endpoint")
	require.Equal(t, good, again)
	for _, bad := range append([]string{"", "\x00", strings.Repeat("x", 5000)}, r.Bad...) {
		_, err := r.ch.CheckEndpoint(bad)
		require.Error(t, err, "endpoint %q", bad)
		if len(bad) > 3 {
			require.NotContains(t, err.Error(), bad)
		}
	}
}

func (r *runner) accepted(t *testing.T) {
	e := r.endpoint()
	receipt, err := r.ch.Deliver(t.Context(), Delivery(e, r.n))
	require.NoError(t, err)
	require.Equal(t, r.Delivered, receipt.Delivered)
	require.Len(t, r.sb.Requests(r.Provider, r.Recipient(e)), 1)
	require.Len(t, r.sb.Inbox(r.Provider, r.Recipient(e)), 1)
}

func (r *runner) answers(t *testing.T) {
	for _, c := range r.Answers {
		t.Run(c.Name, func(t *testing.T) {
			e := r.endpoint()
			r.sb.Script(r.Provider, r.Recipient(e), c.Answer)
			_, err := r.ch.Deliver(t.Context(), Delivery(e, r.n))
			got := r.failure(t, err, e)
			require.Equal(t, c.Kind.String(), got.Kind.String(), "%v", err)
			require.False(t, got.Unknown, "the error book has no row: %v", err)
			require.Equal(t, c.RetryAfter, got.RetryAfter)
			if c.Code != "" {
				require.Equal(t, c.Code, got.Code)
			}
			require.Len(t, r.sb.Requests(r.Provider, r.Recipient(e)), 1, "exactly one request")
		})
	}
}

// failure checks what holds for every error of a channel.
func (r *runner) failure(t *testing.T, err error, endpoint string) *channels.Error {
	t.Helper()
	require.Error(t, err)
	var got *channels.Error
	require.ErrorAs(t, err, &got, "Deliver returns *channels.Error")
	require.Equal(t, r.Provider, got.Provider)
	for _, secret := range append([]string{secretBody, endpoint, r.Recipient(endpoint)}, r.Secrets...) {
		require.NotContains(t, err.Error(), secret)
	}
	return got
}

func (r *runner) lostAnswer(t *testing.T) {
	// A first success leaves a connection behind: net/http's own resending
	// happens on reused connections only.
	warm := r.endpoint()
	_, err := r.ch.Deliver(t.Context(), Delivery(warm, r.n))
	require.NoError(t, err)
	for _, drop := range []string{sandbox.DropBefore, sandbox.DropAfter} {
		t.Run(drop, func(t *testing.T) {
			e := r.endpoint()
			r.sb.Script(r.Provider, r.Recipient(e), sandbox.Answer{Drop: drop, Times: 1})
			_, err := r.ch.Deliver(t.Context(), Delivery(e, r.n))
			got := r.failure(t, err, e)
			want := channels.Uncertain
			if drop == sandbox.DropBefore && r.DropBefore != channels.Temporary {
				want = r.DropBefore
			}
			if drop == sandbox.DropBefore && r.SafeDrop {
				want = channels.Temporary
			}
			require.Equal(t, want.String(), got.Kind.String(), "%v", err)
			require.Len(t, r.sb.Requests(r.Provider, r.Recipient(e)), 1, "exactly one request")
		})
	}
}

func (r *runner) context(t *testing.T) {
	warm := r.endpoint() // on its connection the request is written in no time
	_, err := r.ch.Deliver(t.Context(), Delivery(warm, r.n))
	require.NoError(t, err)
	var got *channels.Error
	for limit := time.Second; limit < time.Minute; limit *= 2 {
		e := r.endpoint()
		r.sb.Script(r.Provider, r.Recipient(e), sandbox.Answer{Hang: true})
		got = r.failure(t, r.within(t, limit, e), e)
		if got.Kind != channels.Temporary || len(r.sb.Requests(r.Provider, r.Recipient(e))) > 0 {
			break
		} // the time was over before the request was sent
	}
	require.Equal(t, channels.Uncertain.String(), got.Kind.String(), "%v", got)
	ended, stop := context.WithCancel(t.Context())
	stop()
	_, err = r.ch.Deliver(ended, Delivery(r.endpoint(), r.n))
	require.Error(t, err)
	require.ErrorAs(t, err, &got)
	require.Equal(t, channels.Temporary.String(), got.Kind.String(), "nothing was sent: %v", err)
}

// within is an attempt of a delivery that has so much time.
func (r *runner) within(t *testing.T, limit time.Duration, e string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := r.ch.Deliver(ctx, Delivery(e, r.n))
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(limit + time.Minute):
		require.Fail(t, "Deliver did not obey its context")
		return nil
	}
}
