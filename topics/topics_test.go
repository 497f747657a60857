package topics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/templates"
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
	stop      func()
}

func open(t *testing.T, fs vfs.FS) *bench {
	t.Helper()
	store, err := queue.Open("store", queue.Options{FS: fs, Shards: 2})
	require.NoError(t, err)
	b := &bench{t: t, store: store, log: &journal{}, sms: &provider{calls: map[string]int{}}, hook: &provider{calls: map[string]int{}}}
	b.pool = channels.NewPool(channels.PoolOptions{
		Store: store, Settled: func(ids ...queue.ID) { b.Settled(ids...) }, Changed: func(s channels.AccountState) { b.AccountChanged(s) },
	})
	b.Topics, err = topics.New(t.Context(), topics.Options{Store: store, Accounts: b.pool, Matches: 8, Candidates: 20, Chunk: 100, Ahead: 500, Retention: time.Hour,
		DeliveryPolicies: map[string]func(*topics.Topic, *topics.Subscription) topics.DeliveryPolicy{"paced": pacedPolicy, "logged": loggedPolicy},
		Logger:           slog.New(b.log)})
	require.NoError(t, err)
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
	require.Eventually(b.t, ok, 20*queuetest.Slowdown*time.Second, 2*time.Millisecond)
}

func TestPublishReachesEverySubscriptionOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.subscribe("alerts", topics.SMS, "+1")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	again := b.subscribe("alerts", topics.SMS, "+1")
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) { return channels.Receipt{ProviderID: "SM1"}, nil })
	_, err := b.store.CreateQueue(t.Context(), topics.QueueName(owner, "work"), queue.Settings{})
	require.NoError(t, err)
	b.subscribe("alerts", topics.SQS, "work")

	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Sent: 1, topics.Delivered: 2}, b.settle(id))
	require.Equal(t, 1, b.sms.count("+1"))
	require.Equal(t, 1, b.hook.count("https://a/"))
	got, err := b.store.Receive(t.Context(), topics.QueueName(owner, "work"), queue.ReceiveOptions{Wait: time.Second})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Contains(t, string(got[0].Body), `"message":"hello"`)

	subs, err := b.Subscriptions(owner, "alerts", queue.ID{}, 10)
	require.NoError(t, err)
	require.Len(t, subs, 3)
	require.Equal(t, again.ID, subs[0].ID)

	ds, err := b.Deliveries(owner, id, queue.ID{}, 10, topics.Sent)
	require.NoError(t, err)
	require.Len(t, ds, 1)
	require.Equal(t, "SM1", ds[0].ProviderID)
	applied, err := b.Observe(t.Context(), topics.Evidence{Delivery: ds[0].ID, Try: 1, State: topics.Delivered})
	require.NoError(t, err)
	require.True(t, applied)
	applied, err = b.Observe(t.Context(), topics.Evidence{Delivery: ds[0].ID, Try: 1, State: topics.Sent})
	require.NoError(t, err)
	require.False(t, applied, "evidence never lowers a state")
	require.Equal(t, topics.Ledger{topics.Delivered: 3}, b.settle(id))
}

func TestRetryDeadLetterAndRedrive(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "webhook", Status: 500}
	})
	id := b.publish(topics.Request{Topic: "alerts", Message: "hello"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(id))
	require.Equal(t, 3, b.hook.count("https://a/"))
	_, attempts, err := b.Attempts(owner, id.WithOrdinal(1))
	require.NoError(t, err)
	require.Len(t, attempts, 3)

	dead, err := b.DeadLetters()
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.EqualValues(t, 1, dead[0].Count)
	require.Equal(t, topics.Cause{Protocol: "https", Account: "webhook/main", Kind: "temporary", Code: "500"}, dead[0].Cause)

	b.hook.script(nil)
	plan, err := b.PlanRedrive(dead[0].Cause)
	require.NoError(t, err)
	require.EqualValues(t, 1, plan.Count)
	require.Equal(t, 3, b.hook.count("https://a/"), "a dry run sends nothing")
	_, err = b.Redrive(t.Context(), dead[0].Cause, 100)
	require.NoError(t, err)
	b.until(func() bool { return b.hook.count("https://a/") == 4 })
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	dead, err = b.DeadLetters()
	require.NoError(t, err)
	require.Empty(t, dead)
}

func TestBroadcastIsExpandedInChunks(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("news")
	const n = 1200 / queuetest.Slowdown
	for i := range n {
		b.subscribe("news", topics.SMS, fmt.Sprint("+", i))
	}
	id := b.publish(topics.Request{Topic: "news", Message: "hello", Lane: channels.Bulk})
	require.Equal(t, topics.Ledger{topics.Delivered: n}, b.settle(id))
	for i := range n {
		require.Equal(t, 1, b.sms.count(fmt.Sprint("+", i)))
	}
	for range 2 {
		diff, err := b.Audit()
		require.NoError(t, err)
		require.Zero(t, diff)
	}
}

func TestProvidersWordAboutEndpointsAndRecipients(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.topic("alerts")
	gone := b.subscribe("alerts", topics.SMS, "+1")
	b.subscribe("alerts", topics.SMS, "+2")
	b.sms.script(func(d channels.Delivery) (channels.Receipt, error) {
		kind := channels.EndpointGone
		if d.Endpoint == "+2" {
			kind = channels.RecipientBlocked
		}
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: kind, Code: "1"}
	})
	require.Equal(t, topics.Ledger{topics.Failed: 2}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})))
	s, err := b.Subscription(owner, gone.ID)
	require.NoError(t, err)
	require.Equal(t, "twilio: 1", s.Disabled)
	list, err := b.Suppressions(owner, nil, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)

	require.Equal(t, topics.Ledger{topics.Suppressed: 1}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})),
		"a disabled endpoint is no audience, a suppressed one gets nothing")
	require.NoError(t, b.Unsuppress(t.Context(), owner, topics.Suppression{Protocol: topics.SMS, Endpoint: "+2"}))
	b.sms.script(nil)
	b.subscribe("alerts", topics.SMS, "+1") // registered anew
	require.Equal(t, topics.Ledger{topics.Delivered: 2}, b.settle(b.publish(topics.Request{Topic: "alerts", Message: "x"})))
}

func TestUncertainIsHeldForEvidence(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.sms.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "twilio", Kind: channels.Uncertain, Code: "no_answer"}
	})
	id := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Uncertain] == 1
	})
	applied, err := b.Observe(t.Context(), topics.Evidence{Delivery: id.WithOrdinal(1), Try: 1, State: topics.Delivered})
	require.NoError(t, err)
	require.True(t, applied)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	require.Equal(t, 1, b.sms.count("+1"), "never sent twice")
}

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

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	id := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	_, err := b.SetControl(t.Context(), owner, id, topics.Paused)
	require.NoError(t, err)
	require.NoError(t, b.pool.Resume("twilio/main"))
	b.until(func() bool {
		st, err := b.Status(owner, id)
		require.NoError(t, err)
		return st.Ledger[topics.Held] == 1
	})
	require.Zero(t, b.sms.count("+1"))
	_, err = b.SetControl(t.Context(), owner, id, topics.Running)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(id))
	_, err = b.SetControl(t.Context(), owner, id, topics.Stopped)
	require.ErrorIs(t, err, topics.ErrState)

	later := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+2"}, Message: "x", SendAt: time.Now().Add(100 * time.Millisecond)})
	p, err := b.SetControl(t.Context(), owner, later, topics.Stopped)
	require.NoError(t, err)
	require.Equal(t, topics.CalledOff, p.Phase)
	st, err := b.Status(owner, later)
	require.NoError(t, err)
	require.Equal(t, topics.Ledger{topics.Cancelled: 1}, st.Ledger)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, err := b.PutTemplate(t.Context(), owner, templates.Template{Name: "hi", Text: "Hello {{.name}}"})
	require.NoError(t, err)
	to := &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}
	_, _, err = b.Publish(t.Context(), topics.Request{Owner: owner, To: to, Template: "hi", Data: map[string]any{}})
	require.ErrorContains(t, err, "name")
	b.settle(b.publish(topics.Request{To: to, Template: "hi", Data: map[string]any{"name": "Ada"}}))
	require.Equal(t, "Hello Ada", b.sms.got[0].Content.Text)
	_, err = b.PutTemplate(t.Context(), owner, templates.Template{Name: "hi", Text: "{{.name"})
	require.ErrorIs(t, err, topics.ErrInvalid)
}

func TestBadPublishesWriteNothing(t *testing.T) {
	t.Parallel()
	b := start(t)
	before := b.store.Revision(0) + b.store.Revision(1)
	for name, r := range map[string]topics.Request{
		"topic":                {Topic: "nobody", Message: "x"},
		"neither":              {Message: "x"},
		"to.protocol":          {To: &topics.Target{Protocol: "pigeon", Endpoint: "x"}, Message: "x"},
		"to.endpoint":          {To: &topics.Target{Protocol: topics.SMS, Endpoint: "bad"}, Message: "x"},
		"no account":           {To: &topics.Target{Protocol: topics.Email, Endpoint: "a@b.c"}, Message: "x"},
		"message":              {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}},
		"subject":              {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Subject: "a\r\nBcc: b"},
		"lane":                 {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Lane: "slow"},
		"expires_at":           {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", ExpiresAt: time.Unix(1, 0)},
		"attributes.a.type":    {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x", Attributes: map[string]channels.Attribute{"a": {Type: "Colour"}}},
		"oversize":             {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: string(make([]byte, 1<<20))},
		"template not defined": {To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Template: "none"},
	} {
		r.Owner = owner
		_, _, err := b.Publish(t.Context(), r)
		require.Error(t, err, name)
		require.True(t, errors.Is(err, topics.ErrInvalid) || errors.Is(err, topics.ErrNotFound), "%s: %v", name, err)
	}
	require.Equal(t, before, b.store.Revision(0)+b.store.Revision(1))
}

// TestAuditorFindsWhatIsBroken breaks each of the things the auditor compares.
func TestAuditorFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.pool.Pause("twilio/main", "test"))
	b.topic("alerts")
	b.subscribe("alerts", topics.HTTPS, "https://a/")
	b.hook.script(func(channels.Delivery) (channels.Receipt, error) {
		return channels.Receipt{}, &channels.Error{Provider: "webhook", Status: 500, Kind: channels.Rejected}
	})
	failed := b.publish(topics.Request{Topic: "alerts", Message: "x"})
	require.Equal(t, topics.Ledger{topics.Failed: 1}, b.settle(failed))
	waiting := b.publish(topics.Request{To: &topics.Target{Protocol: topics.SMS, Endpoint: "+1"}, Message: "x"})
	audit := func() int64 {
		n, err := b.Audit()
		require.NoError(t, err)
		return n
	}
	require.Zero(t, audit())
	// change commits a change to the shard of a publish behind topics' back.
	change := func(id queue.ID, fn func(*queue.Batch)) {
		batch := &queue.Batch{}
		fn(batch)
		_, err := b.store.Commit(t.Context(), id.Shard(), batch)
		require.NoError(t, err)
	}
	prefixed := func(table byte, id []byte) []byte { return append([]byte{table}, id...) }
	dlv := waiting.WithOrdinal(1)
	ledger := append(prefixed('l', waiting.Prefix()), byte(topics.Delivered))
	record, err := b.store.Get(waiting.Shard(), prefixed('d', dlv[:]))
	require.NoError(t, err)
	for what, broken := range map[string]struct {
		id       queue.ID
		do, undo func(*queue.Batch)
		found    int64
	}{
		"a counter too high": {waiting, func(c *queue.Batch) { c.Add(ledger, 1) }, func(c *queue.Batch) { c.Add(ledger, -1) }, 1},
		"a record lost": {
			waiting, func(c *queue.Batch) { c.Remove(record.Key) }, func(c *queue.Batch) { c.Put(record.Key, record.Value) },
			2, // a count without its record, an entry without its record
		},
		"a publish not found open": {
			waiting, func(c *queue.Batch) { c.Remove(prefixed('o', waiting.Prefix())) },
			func(c *queue.Batch) { c.Put(prefixed('o', waiting.Prefix()), nil) }, 2, // and it has an open delivery
		},
		"a held delivery that is none": {
			waiting, func(c *queue.Batch) { c.Put(prefixed('h', dlv[:]), nil) },
			func(c *queue.Batch) { c.Remove(prefixed('h', dlv[:])) }, 1,
		},
	} {
		change(broken.id, broken.do)
		require.Equal(t, broken.found, audit(), what)
		change(broken.id, broken.undo)
		require.Zero(t, audit(), what)
	}
	entry := channels.QueueName("twilio/main", channels.Transactional)
	change(waiting, func(c *queue.Batch) { c.Send(entry, queue.Message{ID: dlv, Group: "g"}) })
	require.EqualValues(t, 1, audit(), "an entry twice")
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

	b = open(t, fs)
	require.WithinDuration(t, time.Now(), b.Restored(), time.Minute)
	b.run()
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
	require.False(t, b.Restored().IsZero(), "a restart releases nothing")
	n, err := b.ReleaseRestored(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, topics.Ledger{topics.Delivered: 1}, b.settle(sms))
	require.True(t, b.Restored().IsZero())
	n, err = b.ReleaseRestored(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	st, err := b.Status(owner, ahead)
	require.NoError(t, err)
	require.Equal(t, topics.Scheduled, st.Phase)
}
