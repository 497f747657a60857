package topics_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func TestRestartTurnsBegunAttemptsUncertain(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	b := open(t, fs)
	release := make(chan struct{})
	begun := make(chan struct{}, 2)
	hang := func(channels.Delivery) (channels.Receipt, error) {
		begun <- struct{}{}
		<-release
		return channels.Receipt{}, nil
	}
	b.sms.script(hang)
	b.hook.script(hang)
	b.run()
	sms := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	hook := b.publish(topics.Request{To: &topics.Target{Protocol: topics.HTTPS, Endpoint: "https://a/"}, Message: "x"})
	<-begun
	<-begun
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	close(release)
	b.stop()

	b = open(t, crashed)
	var uncertain int
	for _, a := range b.pool.States() {
		n, err := b.Recover(t.Context(), a.Name, a.Idempotent)
		require.NoError(t, err)
		uncertain += n
	}
	require.Equal(t, 1, uncertain)
	b.run()
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(hook))
	st, err := b.Status(owner, sms)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Uncertain: 1}, st.Ledger)
	require.Zero(t, b.sms.count("+1"), "not sent again")
}

func TestRestoredStoreHoldsWhatMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs)
	hello := topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"}
	sms := b.publish(hello)
	hook := b.publish(topics.Request{To: &topics.Target{Protocol: topics.HTTPS, Endpoint: "https://a/"}, Message: "x"})
	later := hello
	later.SendAt = time.Now().Add(time.Hour)
	ahead := b.publish(later)
	require.NoError(t, b.store.Close())
	require.NoError(t, queue.MarkRestored("store", fs))

	b = open(t, fs).run()
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(hook), "machines know a repeat")
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(b.publish(hello)), "what is published since goes out")
	b.until(func() bool {
		st, err := b.Status(owner, sms)
		require.NoError(t, err)
		return st.Ledger[topics.Held] == 1
	})
	require.Equal(t, 1, b.sms.count("+1"))
	b.stop()
	require.NoError(t, b.store.Close())

	b = open(t, fs).run()
	st, err := b.Status(owner, sms)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Held: 1}, st.Ledger, "a restart releases nothing")
	n, err := b.ReleaseRestored(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(sms))
	n, err = b.ReleaseRestored(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	st, err = b.Status(owner, ahead)
	require.NoError(t, err)
	require.Equal(t, topics.Scheduled, st.Phase)
}
