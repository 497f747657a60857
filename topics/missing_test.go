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

// lost leases an account's first entry and notes an attempt whose outcome never
// comes, as of a process that was killed.
func (b *bench) lost(account string, idempotent bool) {
	b.t.Helper()
	got, err := b.store.Receive(b.t.Context(), channels.QueueName(account, channels.Transactional), queue.ReceiveOptions{Max: 1, Visibility: time.Minute})
	require.NoError(b.t, err)
	require.Len(b.t, got, 1)
	e := channels.Entry{Received: got[0], Account: account, Lane: channels.Transactional, Idempotent: idempotent}
	d, v := b.Admit(b.t.Context(), e)
	require.Equal(b.t, channels.Send, v.Action)
	c := &queue.Batch{}
	require.NoError(b.t, b.Intend(c, e, d))
	_, err = b.store.Commit(b.t.Context(), e.ID.Shard(), c)
	require.NoError(b.t, err)
}

// TestAnAttemptThatWasLostWithItsAccount: whether it may be repeated does not
// depend on the account's being there.
func TestAnAttemptThatWasLostWithItsAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		account, protocol, endpoint string
		idempotent                  bool
		then                        topics.Ledger
	}{
		{"webhook/main", topics.HTTPS, "https://a/", true, topics.Ledger{topics.Delivered: 1}},
		{"twilio/main", topics.SMS, "+1", false, topics.Ledger{topics.Uncertain: 1}},
	} {
		t.Run(c.account, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := open(t, vfs.NewMem())
				b.topic("alerts")
				b.subscribe("alerts", c.protocol, c.endpoint)
				id := b.publish(topics.Request{Topic: "alerts", Message: "x"})
				b.lost(c.account, c.idempotent)
				b.pool.Remove(c.account)
				b.run()
				pass(2 * time.Minute) // the lease ends
				require.NoError(t, b.pool.Put(t.Context(), channels.AccountOptions{
					Name: "webhook/main", Protocol: topics.Webhook, Provider: "webhook", Channel: b.hook, Idempotent: true,
				}))
				pass(time.Minute)
				st, err := b.Status(owner, id)
				require.NoError(t, err)
				require.Equal(t, c.then, st.Ledger)
				wrong, err := b.Audit()
				require.NoError(t, err)
				require.Zero(t, wrong)
			})
		})
	}
}
