package topics_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

var owner = topics.DefaultOwner

// provider is a channel whose answers a test decides.
type provider struct {
	mu     sync.Mutex
	answer func(d channels.Delivery) (channels.Receipt, error)
	calls  map[string]int // by endpoint
	got    []channels.Delivery
}

func (p *provider) CheckEndpoint(e string) (channels.Endpoint, error) {
	if e == "" || e == "bad" {
		return channels.Endpoint{}, errors.New("must not be bad")
	}
	if strings.HasPrefix(e, "https://") { // its host
		return channels.Endpoint{Address: e, Group: e}, nil
	}
	return channels.Endpoint{Address: e, Group: "g"}, nil
}

func (p *provider) Deliver(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
	p.mu.Lock()
	p.calls[d.Endpoint]++
	p.got = append(p.got, d)
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return channels.Receipt{Delivered: true}, nil
	}
	return answer(d)
}

func (p *provider) script(f func(d channels.Delivery) (channels.Receipt, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

func (p *provider) count(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[endpoint]
}

// bench is a whole topics room with workers on a store in memory.
type bench struct {
	t     *testing.T
	store *queue.Store
	pool  *channels.Pool
	*topics.Topics
	log       *journal
	sms, hook *provider
	stuck     func() // called by the face of that name
	stop      func()
}

func open(t *testing.T, fs vfs.FS) *bench {
	t.Helper()
	return openAhead(t, fs, 500)
}

// openAhead is open with a bound of what a broadcast or a replay has in the queues.
func openAhead(t *testing.T, fs vfs.FS, ahead int) *bench {
	t.Helper()
	store, err := queue.Open("store", queue.Options{FS: fs, Shards: 2})
	require.NoError(t, err)
	b := &bench{t: t, store: store, log: &journal{}, sms: &provider{calls: map[string]int{}}, hook: &provider{calls: map[string]int{}}}
	b.pool = channels.NewPool(channels.PoolOptions{
		Store: store, Settled: func(ids ...queue.ID) { b.Settled(ids...) }, Changed: func(s channels.AccountState) { b.AccountChanged(s) },
		Idempotent: func(provider string) bool { return provider == "webhook" },
	})
	b.Topics, err = topics.New(t.Context(), topics.Options{Store: store, Accounts: b.pool, Matches: 8, Candidates: 20, Chunk: 100, Ahead: ahead, Retention: time.Hour,
		DeliveryPolicies: map[string]func(*topics.Topic, *topics.Subscription) topics.DeliveryPolicy{"paced": pacedPolicy, "logged": loggedPolicy},
		Faces:            map[string]topics.Face{"stuck": func(*channels.Delivery, topics.Publish, topics.Subscription, map[string]string) { b.stuck() }},
		Logger:           slog.New(b.log)})
	require.NoError(t, err)
	b.AuditEvery(time.Hour) // tests audit when they want to; some let days pass
	b.pool.SetDesk(b.Topics)
	for _, a := range []channels.AccountOptions{
		{Name: "twilio/main", Protocol: topics.SMS, Provider: "twilio", Channel: b.sms},
		{Name: "webhook/main", Protocol: topics.Webhook, Provider: "webhook", Channel: b.hook, Idempotent: true},
	} {
		require.NoError(t, b.pool.Put(t.Context(), a))
	}
	return b
}

// run starts workers and background work; stop ends them.
func (b *bench) run() *bench {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.pool.Run(ctx) })
	wg.Go(func() { _ = b.Run(ctx) })
	b.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	b.t.Cleanup(func() { b.stop(); _ = b.store.Close() })
	return b
}

func start(t *testing.T) *bench { return open(t, vfs.NewMem()).run() }

func (b *bench) topic(name string) {
	_, err := b.CreateTopic(b.t.Context(), owner, topics.Topic{Name: name})
	require.NoError(b.t, err)
}

var quick = &channels.RetryPolicy{Phases: []channels.Phase{{Tries: 2, From: time.Millisecond}}}

func (b *bench) subscribe(topic, protocol, endpoint string) topics.Subscription {
	s, err := b.Subscribe(b.t.Context(), owner, topics.Subscription{Topic: topic, Protocol: protocol, Endpoint: endpoint, Retry: quick})
	require.NoError(b.t, err)
	return s
}

func (b *bench) publish(r topics.Request) queue.ID {
	r.Owner = owner
	p, _, err := b.Publish(b.t.Context(), r)
	require.NoError(b.t, err)
	return p.ID
}

// settle waits until the publish is complete and returns its ledger.
func (b *bench) settle(id queue.ID) topics.Ledger {
	b.t.Helper()
	var st topics.Status
	b.until(func() bool {
		var err error
		st, err = b.Status(owner, id)
		require.NoError(b.t, err)
		return st.Phase == topics.Completed
	})
	return st.Ledger
}

func (b *bench) until(ok func() bool) {
	b.t.Helper()
	require.Eventually(b.t, ok, 60*queuetest.Slowdown*time.Second, 10*time.Millisecond)
}
