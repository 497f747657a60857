package email_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	for n := range 5 {
		_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", n))
		require.NoError(t, err)
		require.Equal(t, 1, sb.SMTP.Connections())
	}
	sb.Script(sandbox.ProviderSMTP, "bob@example.net", sandbox.Answer{Status: 550, Code: "5.1.1"})
	_, err := ch.Deliver(t.Context(), channeltest.Delivery("bob@example.net", 6))
	require.Error(t, err)
	require.Equal(t, 1, sb.SMTP.Connections(), "a refused recipient does not cost the connection")
	require.NoError(t, ch.Close())
	await(t, func() bool { return sb.SMTP.Connections() == 0 })
	_, err = ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 7))
	require.NoError(t, err)
	await(t, func() bool { return sb.SMTP.Connections() == 0 })
}

// TestClosedWhileIdle: a pooled connection the relay closed meanwhile is
// replaced within the attempt.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	for n := range 3 {
		_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", n))
		require.NoError(t, err)
		sb.SMTP.CloseConnections()
	}
	require.Len(t, sb.Requests(sandbox.ProviderSMTP, "ann@example.net"), 3)
}

func TestMessagesPerConn(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.MessagesPerConn = 1
	ch := open(t, o)
	_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	require.NoError(t, err)
	await(t, func() bool { return sb.SMTP.Connections() == 0 })
}

func TestIdleTimeout(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.IdleTimeout = 10 * time.Millisecond
	ch := open(t, o)
	_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	require.NoError(t, err)
	await(t, func() bool { return sb.SMTP.Connections() == 0 })
}

func TestMaxConns(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.MaxConns = 2
	ch := open(t, o)
	sb.Script(sandbox.ProviderSMTP, "slow@example.net", sandbox.Answer{Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	var slow sync.WaitGroup
	for n := range 2 {
		slow.Go(func() { _, _ = ch.Deliver(ctx, channeltest.Delivery("slow@example.net", n)) })
	}
	await(t, func() bool { return sb.SMTP.Connections() == 2 })
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	_, err := ch.Deliver(short, channeltest.Delivery("ann@example.net", 3))
	got := fault(t, err)
	require.Equal(t, channels.Temporary, got.Kind, "waiting for a connection sends nothing")
	require.Equal(t, "connect", got.Code)
	cancel()
	slow.Wait()
	_, err = ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 4))
	require.NoError(t, err)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	var all sync.WaitGroup
	errs := make(chan error, 64)
	for n := range cap(errs) {
		all.Go(func() {
			_, err := ch.Deliver(t.Context(), channeltest.Delivery(fmt.Sprintf("user%d@example.net", n), n))
			errs <- err
		})
	}
	all.Wait()
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Len(t, sb.Inbox(sandbox.ProviderSMTP, ""), cap(errs))
	require.LessOrEqual(t, sb.SMTP.Connections(), 4)
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, time.Millisecond)
}
