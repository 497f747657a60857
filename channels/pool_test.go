package channels_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// bench is a pool under test, in a bubble: an hour's wait takes no time.
type bench struct {
	*testing.T
	*channels.Pool
	store   *queue.Store
	desk    *desk
	metrics *prometheus.Registry
	settled []queue.ID
	stop    context.CancelFunc
	done    chan error
}

func inBubble(t *testing.T, f func(b *bench)) {
	t.Helper()
	inShards(t, 1, f)
}

func inShards(t *testing.T, shards int, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), Shards: shards, MemTable: 1 << 20})
		require.NoError(t, err)
		b := &bench{T: t, store: s, desk: newDesk(s), metrics: prometheus.NewRegistry()}
		b.Pool = channels.NewPool(channels.PoolOptions{
			Store: s, Metrics: b.metrics,
			Settled: func(ids ...queue.ID) {
				b.desk.mu.Lock()
				defer b.desk.mu.Unlock()
				b.settled = append(b.settled, ids...)
			},
		})
		b.SetDesk(b.desk)
		defer func() {
			if b.stop != nil {
				b.halt()
			}
			require.NoError(t, s.Close())
		}()
		f(b)
	})
}

// put adds account "a" with the channel.
func (b *bench) put(ch channels.Channel, change ...func(o *channels.AccountOptions)) {
	b.Helper()
	o := channels.AccountOptions{Name: "a", Protocol: "webhook", Provider: "fake", Channel: ch, Idempotent: true}
	for _, c := range change {
		c(&o)
	}
	require.NoError(b, b.Put(b.Context(), o))
}

func limits(l channels.Limits) func(o *channels.AccountOptions) {
	return func(o *channels.AccountOptions) { o.Limits = l }
}

func (b *bench) start() {
	ctx, cancel := context.WithCancel(context.Background())
	b.stop, b.done = cancel, make(chan error, 1)
	go func() { b.done <- b.Pool.Run(ctx) }()
	synctest.Wait()
}

// halt ends the run softly and waits for it.
func (b *bench) halt() {
	b.Helper()
	b.stop()
	require.NoError(b, <-b.done)
	b.stop = nil
}

// send queues n deliveries to a group.
func (b *bench) send(lane channels.Lane, group string, n int) []queue.ID {
	b.Helper()
	ids := make([]queue.ID, n)
	for i := range ids {
		sent, err := b.store.Send(context.Background(), channels.QueueName("a", lane),
			queue.Message{Group: group, Body: fmt.Appendf(nil, "%s/%s/%d", lane, group, i)})
		require.NoError(b, err)
		ids[i] = sent[0].ID
	}
	return ids
}

func (b *bench) stats(lane channels.Lane) queue.Stats {
	b.Helper()
	synctest.Wait()
	s, err := b.store.Stats(channels.QueueName("a", lane))
	require.NoError(b, err)
	return s
}

func (b *bench) pass(d time.Duration) {
	b.desk.mu.Lock()   // who writes next has seen that the test has read
	b.desk.mu.Unlock() //nolint:staticcheck // the empty section is a barrier
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) state() string {
	s, ok := b.Account("a")
	require.True(b, ok)
	return s.State
}

// desk is a ledger of the least: an entry is deleted or retried.
type desk struct {
	store *queue.Store

	mu       sync.Mutex
	admit    func(e channels.Entry) channels.Verdict
	render   func(e channels.Entry, d *channels.Delivery)
	policy   channels.RetryPolicy
	expires  time.Duration
	outcomes []outcome
	intents  int
	timeout  time.Duration
	conflict int // so many of the next batches meet one
	gone     int // so many of the next outcomes send to a queue that was deleted
	late     []channels.Outcome
}

type outcome struct {
	id   queue.ID
	body string
	at   time.Time
	channels.Outcome
}

func newDesk(s *queue.Store) *desk {
	return &desk{store: s, policy: channels.RetryPolicy{Phases: []channels.Phase{{Tries: 3, From: 10 * time.Second, To: 10 * time.Second}}}}
}

func (d *desk) Admit(_ context.Context, e channels.Entry) (channels.Delivery, channels.Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var v channels.Verdict
	if d.admit != nil {
		v = d.admit(e)
	}
	out := channels.Delivery{
		ID: e.ID, Try: e.Receives, Endpoint: e.Group, Lane: e.Lane, PublishedAt: e.SentAt,
		Content: channels.Content{Text: string(e.Body)},
	}
	out.Timeout = d.timeout
	if d.expires != 0 {
		out.Expires = e.SentAt.Add(d.expires)
	}
	if d.render != nil {
		d.render(e, &out)
	}
	return out, v
}

func (d *desk) Over(ctx context.Context, e channels.Entry) channels.Verdict {
	_, v := d.Admit(ctx, e)
	return v
}

func (d *desk) Intend(b *queue.Batch, e channels.Entry, _ channels.Delivery) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.intents++
	d.clash(b)
	b.Put([]byte("sending/"+e.ID.String()), nil)
	return nil
}

// clash spoils the batch as a change made meanwhile would.
func (d *desk) clash(b *queue.Batch) {
	if d.conflict > 0 {
		d.conflict--
		b.Expect([]byte("no such record"), 1)
	}
}

func (d *desk) Record(b *queue.Batch, e channels.Entry, o channels.Outcome) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clash(b)
	if d.gone > 0 {
		d.gone--
		b.Send("gone", queue.Message{})
	}
	switch o.Verdict.Action {
	case channels.Retry:
		b.Retry(e.Handle, o.Verdict.At, o.Verdict.Free)
	case channels.Pause:
		b.Retry(e.Handle, time.Time{}, true)
	default:
		b.Delete(e.Handle)
	}
	d.outcomes = append(d.outcomes, outcome{e.ID, string(e.Body), time.Now(), o})
	return nil
}

func (d *desk) Policy(context.Context, channels.Entry) channels.RetryPolicy { return d.policy }

func (d *desk) Late(_ context.Context, _ channels.Entry, o channels.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late = append(d.late, o)
}

// actions are the actions recorded, in order.
func (d *desk) actions() []channels.Action {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := []channels.Action{}
	for _, o := range d.outcomes {
		out = append(out, o.Verdict.Action)
	}
	return out
}

// channel answers as its script says.
type channel struct {
	answer func(ctx context.Context, d channels.Delivery) (channels.Receipt, error)

	mu   sync.Mutex
	seen []call
	now  map[string]int // running, by endpoint
	most map[string]int
}

type call struct {
	at time.Time
	d  channels.Delivery
}

// answering makes a channel; nil accepts everything at once.
func answering(answer func(ctx context.Context, d channels.Delivery) (channels.Receipt, error)) *channel {
	if answer == nil {
		answer = func(context.Context, channels.Delivery) (channels.Receipt, error) {
			return channels.Receipt{Delivered: true}, nil
		}
	}
	return &channel{answer: answer, now: make(map[string]int), most: make(map[string]int)}
}

// failing makes a channel that answers with the error.
func failing(err error) *channel {
	return answering(func(context.Context, channels.Delivery) (channels.Receipt, error) { return channels.Receipt{}, err })
}

// taking makes a channel that needs d for an attempt.
func taking(d time.Duration) *channel {
	return answering(func(ctx context.Context, _ channels.Delivery) (channels.Receipt, error) {
		select {
		case <-time.After(d):
			return channels.Receipt{}, nil
		case <-ctx.Done():
			return channels.Receipt{}, &channels.Error{Kind: channels.Uncertain, Provider: "fake", Code: "no_answer"}
		}
	})
}

func (c *channel) CheckEndpoint(e string) (channels.Endpoint, error) {
	return channels.Endpoint{Address: e, Group: e}, nil
}

func (c *channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	c.mu.Lock()
	c.seen = append(c.seen, call{time.Now(), d})
	for _, k := range []string{d.Endpoint, ""} {
		c.now[k]++
		c.most[k] = max(c.most[k], c.now[k])
	}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.now[d.Endpoint]--
		c.now[""]--
	}()
	return c.answer(ctx, d)
}

func (c *channel) calls() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]call(nil), c.seen...)
}

func (c *channel) count(match func(d channels.Delivery) bool) int {
	n := 0
	for _, s := range c.calls() {
		if match(s.d) {
			n++
		}
	}
	return n
}
