package sns_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// owner is whose things the caller's are; region is what AWS calls "local".
var owner = topics.DefaultOwner

const region = "us-east-1"

// signingPair is made once: that takes a while.
var signingPair = sync.OnceValue(func() sns.Pair {
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem()})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	if _, err = sns.NewKeys(context.Background(), store, sns.Pair{}); err != nil {
		panic(err)
	}
	r, err := store.Get(queue.Registry, []byte("fanfare/local/k/sns-signing"))
	if err != nil {
		panic(err)
	}
	return sns.Pair{Key: r.Value, Certificate: r.Value}
})

// provider is a channel that remembers what it was given.
type provider struct {
	got chan channels.Delivery
}

func (p *provider) CheckEndpoint(e string) (channels.Endpoint, error) {
	if e == "bad" {
		return channels.Endpoint{}, errors.New("must not be bad")
	}
	return channels.Endpoint{Address: e, Group: "g"}, nil
}

func (p *provider) Deliver(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
	p.got <- d
	return channels.Receipt{Delivered: true}, nil
}

// next waits for a delivery.
func (p *provider) next(t *testing.T) channels.Delivery {
	t.Helper()
	select {
	case d := <-p.got:
		return d
	case <-time.After(10 * time.Second):
		require.Fail(t, "no delivery came")
		return channels.Delivery{}
	}
}

// bench is the face on a real socket, real topics and workers, a store in
// memory, and the SDK as its client.
type bench struct {
	*awssns.Client
	t      *testing.T
	url    string
	store  *queue.Store
	topics *topics.Topics
	opts   sns.Options
	sent   map[string]*provider // by the first part of accounts' names
}

func start(t *testing.T, change ...func(*sns.Options)) *bench {
	t.Helper()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), Shards: 2})
	require.NoError(t, err)
	b := &bench{t: t, store: store, sent: map[string]*provider{}}
	pool := channels.NewPool(channels.PoolOptions{
		Store: store, Settled: func(ids ...queue.ID) { b.topics.Settled(ids...) }, Changed: func(channels.AccountState) {},
	})
	server := httptest.NewUnstartedServer(nil)
	b.url = "http://" + server.Listener.Addr().String()
	keys, err := sns.NewKeys(t.Context(), store, signingPair())
	require.NoError(t, err)
	form := sns.NewForm(sns.FormOptions{
		URL: b.url, Signer: keys, Store: store, Topic: func(o topics.Owner, name string) (topics.Topic, error) { return b.topics.Topic(o, name) },
	})
	b.topics, err = topics.New(t.Context(), topics.Options{
		Store: store, Accounts: pool, Faces: map[string]topics.Face{sns.Face: form.Face}, PlatformEvents: form.PlatformEvents,
		DeliveryPolicies: map[string]func(*topics.Topic, *topics.Subscription) topics.DeliveryPolicy{sns.Face: sns.DeliveryPolicy},
	})
	require.NoError(t, err)
	pool.SetDesk(b.topics)
	for provides, protocol := range map[string]string{
		topics.SMS: topics.SMS, topics.Email: topics.Email, topics.Lambda: topics.Lambda, topics.Webhook: topics.Webhook,
		topics.Application: topics.Application, "apns": topics.Application, "fcm": topics.Application,
	} {
		b.sent[provides] = &provider{got: make(chan channels.Delivery, 100)}
		require.NoError(t, pool.Put(t.Context(), channels.AccountOptions{
			Name: provides + "/main", Protocol: protocol, Provider: provides, Channel: b.sent[provides], Idempotent: true,
		}))
	}
	o := sns.Options{Topics: b.topics, Store: store, Form: form, Applications: &applications{pool, b.sent[topics.Application]}}
	for _, f := range change {
		f(&o)
	}
	b.opts = o
	mux := http.NewServeMux()
	mux.Handle(sns.PagePath, sns.Page(o))
	wire := awswire.New(awswire.Options{
		Services: []awswire.Service{sns.Service(o)}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Verifier: awswire.Verifier{Open: true, Account: owner.Account, Region: region},
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if keys.Serves(r.URL.Path) {
			keys.ServeHTTP(w, r)
			return
		}
		wire.ServeHTTP(w, r)
	})
	server.Config.Handler = mux
	server.Start()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = pool.Run(ctx) })
	wg.Go(func() { _ = b.topics.Run(ctx) })
	t.Cleanup(func() {
		server.Close()
		cancel()
		wg.Wait()
		require.NoError(t, store.Close())
	})
	b.Client = awssns.New(awssns.Options{
		Region: region, BaseEndpoint: aws.String(b.url), Retryer: aws.NopRetryer{}, HTTPClient: wiretest.Client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	return b
}

// applications has platform applications push by a provider that remembers.
type applications struct {
	pool *channels.Pool
	by   *provider
}

func (a *applications) Check(_ topics.Owner, app topics.PlatformApplication) error {
	if app.Credential == "bad" {
		return errors.New("must not be bad")
	}
	return nil
}

func (a *applications) Apply(ctx context.Context, o topics.Owner, platform, name string) error {
	ref := topics.ApplicationRef{Owner: o, Platform: platform, Name: name}
	return a.pool.Put(ctx, channels.AccountOptions{Name: ref.Account(), Protocol: topics.Platform, Provider: "apns", Channel: a.by})
}

// topic makes a topic and gives its ARN.
func (b *bench) topic(name string) string {
	b.t.Helper()
	out, err := b.CreateTopic(b.t.Context(), &awssns.CreateTopicInput{Name: &name})
	require.NoError(b.t, err)
	return *out.TopicArn
}

// refused checks an error's code, status and words.
func refused(t *testing.T, err error, code string, status int, message string) {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	require.Equal(t, code, api.ErrorCode())
	require.Equal(t, message, api.ErrorMessage())
	var answer *smithyhttp.ResponseError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, status, answer.HTTPStatusCode())
}

// fetch makes a request without a signature.
func fetch(t *testing.T, method, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	res, text := wiretest.Send(t, r)
	return res.StatusCode, text
}

// raw posts a form and gives the answer as it is, but for its request id.
func (b *bench) raw(form url.Values) (int, string) {
	b.t.Helper()
	form.Set("Version", "2010-03-31")
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url, strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, text := wiretest.Send(b.t, r)
	return res.StatusCode, strings.ReplaceAll(text, res.Header.Get("X-Amzn-RequestId"), "ID")
}
