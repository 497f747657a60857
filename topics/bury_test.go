package topics_test

import (
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

func broken(channels.Delivery) (channels.Receipt, error) {
	return channels.Receipt{}, &channels.Error{Provider: "webhook", Status: 500}
}

// queue makes a queue and gives the engine's name of it.
func (b *bench) userQueue(name string) string {
	b.t.Helper()
	b.queue(name, queue.Settings{})
	return topics.QueueName(owner, name)
}

// mourned subscribes an endpoint whose failures go to a queue.
func (b *bench) mourned(s topics.Subscription) topics.Subscription {
	b.t.Helper()
	s.Topic, s.Retry = "alerts", quick
	made, err := b.Subscribe(b.t.Context(), owner, s)
	require.NoError(b.t, err)
	return made
}

// messages are those ready in a queue.
func (b *bench) messages(name string) []queue.Received {
	b.t.Helper()
	got, err := b.store.Receive(b.t.Context(), name, queue.ReceiveOptions{Max: 10})
	require.NoError(b.t, err)
	return got
}

// attribute is a message attribute as the SQS face keeps it.
func attribute(t *testing.T, m queue.Received, name string) string {
	t.Helper()
	var kept struct {
		A map[string]struct{ StringValue string } `json:"a"`
	}
	require.NoError(t, json.Unmarshal(m.Attributes, &kept))
	return kept.A[name].StringValue
}

func TestWhatFailsGoesToTheSubscriptionsDeadLetterQueue(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	dead := b.userQueue("dead")
	b.hook.script(broken)
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://a/", DeadLetterQueue: dead, Raw: true})
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://b/"})
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello", Attributes: map[string]channels.Attribute{"color": {Type: "String", Value: "red"}}})
	require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(id))
	got := b.messages(dead)
	require.Len(t, got, 1)
	require.Equal(t, "hello", string(got[0].Body))
	require.Equal(t, "red", attribute(t, got[0], "color"))
	require.Equal(t, id.WithOrdinal(1).String(), attribute(t, got[0], "RequestID"))
	require.Equal(t, "500", attribute(t, got[0], "ErrorCode"))
	require.Equal(t, "temporary: retry policy used up", attribute(t, got[0], "ErrorMessage"))
	ds, err := b.Deliveries(owner, id, queue.ID{}, 10)
	require.NoError(t, err)
	require.True(t, ds[0].DeadLettered)
	require.False(t, ds[1].DeadLettered)

	_, err = b.Redrive(t.Context(), topics.Cause{Protocol: "https", Account: "webhook/main", Kind: "temporary", Code: "500"}, 100)
	require.NoError(t, err)
	b.until(func() bool { return b.hook.count("https://a/") == 4 })
	require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(id))
	require.Empty(t, b.messages(dead), "a delivery goes there once")
}

func TestAQueueThatIsGoneIsADeadLetter(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	work, dead := b.userQueue("work"), b.userQueue("dead")
	b.mourned(topics.Subscription{Protocol: topics.SQS, Endpoint: "work", DeadLetterQueue: dead})
	require.NoError(t, b.store.DeleteQueue(t.Context(), work))
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id))
	got := b.messages(dead)
	require.Len(t, got, 1)
	require.Contains(t, string(got[0].Body), `"message":"hello"`)
	require.Equal(t, "AWS.SimpleQueueService.NonExistentQueue", attribute(t, got[0], "ErrorCode"))

	require.NoError(t, b.store.DeleteQueue(t.Context(), dead))
	id = b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id), "it fails all the same")
	ds, err := b.Deliveries(owner, id, queue.ID{}, 10)
	require.NoError(t, err)
	require.False(t, ds[0].DeadLettered)
}

func TestADeadLetterKeepsItsGroup(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	fifo := func(name string) string {
		full := topics.QueueName(owner, name)
		_, err := b.store.CreateQueue(t.Context(), full, queue.Settings{FIFO: true})
		require.NoError(t, err)
		return full
	}
	dead := fifo("dead.fifo")
	for _, name := range []string{"one.fifo", "two.fifo"} {
		full := fifo(name)
		b.mourned(topics.Subscription{Protocol: topics.SQS, Endpoint: name, DeadLetterQueue: dead})
		require.NoError(t, b.store.DeleteQueue(t.Context(), full))
	}
	for _, text := range []string{"first", "second", "third"} {
		id := b.publish(topics.Request{Topic: "alerts", Message: text, Group: "g", DedupID: text})
		require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(id))
	}
	got := b.messages(dead)
	require.Len(t, got, 6, "one of each subscription")
	for i, text := range []string{"first", "first", "second", "second", "third", "third"} {
		require.Equal(t, "g", got[i].Group)
		require.Contains(t, string(got[i].Body), text)
	}
}

// TestAKillLosesNoDeadLetter: wherever the process dies, the failure and its
// dead letter are there once, or neither is and the attempt is made again.
func TestAKillLosesNoDeadLetter(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	b := open(t, fs)
	b.topic("alerts")
	dead := b.userQueue("dead")
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://a/", DeadLetterQueue: dead})
	for _, number := range numbers(4) {
		b.mourned(topics.Subscription{Protocol: topics.SMS, Endpoint: number, DeadLetterQueue: dead})
	}
	b.sms.script(refuse)
	var clones []*vfs.MemFS
	attempted := make(chan *vfs.MemFS, 20)
	b.hook.script(func(d channels.Delivery) (channels.Receipt, error) {
		attempted <- fs.CrashClone(vfs.CrashCloneCfg{})
		return broken(d)
	})
	b.run()
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	for failed := int64(0); failed < 5; runtime.Gosched() { // as soon as it is seen
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		if st.Ledger[topics.Failed] > failed {
			failed = st.Ledger[topics.Failed]
			clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{}))
		}
	}
	b.stop()
	close(attempted)
	for clone := range attempted {
		clones = append(clones, clone)
	}
	for _, clone := range clones {
		b := open(t, clone)
		b.sms.script(refuse)
		b.hook.script(broken)
		for _, a := range b.pool.States() {
			_, err := b.Recover(t.Context(), a.Name, a.Idempotent)
			require.NoError(t, err)
		}
		b.run()
		ledger := topics.Ledger{}
		b.until(func() bool {
			st, err := b.Status(owner, id)
			require.NoError(t, err)
			ledger = st.Ledger
			return ledger[topics.Failed]+ledger[topics.Uncertain] == 5
		})
		require.Len(t, b.messages(dead), int(ledger[topics.Failed]))
		b.stop()
		require.NoError(t, b.store.Close())
	}
}

func TestASubscriptionsRateHoldsUpItselfOnly(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://slow/", Face: "paced"})
	b.mourned(topics.Subscription{Protocol: topics.HTTPS, Endpoint: "https://fast/"})
	calls := make(chan string, 100)
	b.hook.script(func(d channels.Delivery) (channels.Receipt, error) {
		calls <- d.Endpoint
		return channels.Receipt{Delivered: true}, nil
	})
	began := time.Now()
	for range 30 {
		b.publish(topics.Request{Topic: "alerts", Message: "x"})
	}
	slow, fast := 0, 0
	for slow < 8 || fast < 30 {
		if <-calls == "https://fast/" {
			fast++
			continue
		}
		slow++
		require.GreaterOrEqual(t, time.Since(began), time.Duration(slow-1)*paced-lateness, "the %d.", slow)
	}
	require.Less(t, slow, 30)
}

// The rate of the face "paced" of a bench, and how late the engine's timer may be.
const (
	pacedPerSecond = 4
	paced          = time.Second / pacedPerSecond
	lateness       = 100 * time.Millisecond
)

func pacedPolicy(*topics.Topic, *topics.Subscription) topics.DeliveryPolicy {
	return topics.DeliveryPolicy{Retry: *quick, PerSecond: pacedPerSecond}
}
