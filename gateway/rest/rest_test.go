package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// provider is a channel that takes everything, save for endpoints that begin
// with "fail", and for an hour "busy".
type provider struct{}

func (provider) CheckEndpoint(e string) (channels.Endpoint, error) {
	if e == "" || strings.HasPrefix(e, "bad") {
		return channels.Endpoint{}, errors.New("must not be bad")
	}
	return channels.Endpoint{Address: e, Group: "g"}, nil
}

func (provider) Deliver(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
	if strings.HasPrefix(d.Endpoint, "fail") {
		return channels.Receipt{}, &channels.Error{Kind: channels.Rejected, Provider: "fake", Status: 400, Code: "21211"}
	}
	if strings.HasPrefix(d.Endpoint, "busy") {
		return channels.Receipt{}, &channels.Error{Kind: channels.Throttled, Provider: "fake", Status: 429, RetryAfter: time.Hour}
	}
	return channels.Receipt{ProviderID: "SM1"}, nil
}

// logged collects what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// bench is the API on a real socket over real rooms with a store in memory.
type bench struct {
	t     *testing.T
	store *queue.Store
	room  *topics.Topics
	pool  *channels.Pool
	url   string
	key   string
}

func open(t *testing.T, change func(*rest.Options)) *bench {
	t.Helper()
	return openDisk(t, change, func() (uint64, uint64, error) { return 1 << 40, 1 << 40, nil })
}

func openDisk(t *testing.T, change func(*rest.Options), free func() (uint64, uint64, error)) *bench {
	t.Helper()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), Shards: 2, DiskFree: free})
	require.NoError(t, err)
	b := &bench{t: t, store: store, pool: channels.NewPool(channels.PoolOptions{Store: store})}
	b.room, err = topics.New(t.Context(), topics.Options{Store: store, Accounts: b.pool})
	require.NoError(t, err)
	b.pool.SetDesk(b.room)
	for _, a := range []channels.AccountOptions{
		{Name: "twilio/main", Protocol: "sms", Provider: "twilio", Channel: provider{}},
		{Name: "webhook/default", Protocol: "webhook", Provider: "webhook", Channel: provider{}, Idempotent: true},
	} {
		require.NoError(t, b.pool.Put(t.Context(), a))
	}
	o := rest.Options{Topics: b.room, Store: store, Pool: b.pool, Version: "1.2.3"}
	if change != nil {
		change(&o)
	}
	server := httptest.NewServer(rest.New(o))
	b.url = server.URL
	t.Cleanup(func() {
		server.Close()
		_ = store.Close() // a test may have ended it
	})
	return b
}

// work lets the workers deliver until the test ends.
func (b *bench) work() {
	ctx, cancel := context.WithCancel(context.Background())
	var g sync.WaitGroup
	g.Go(func() { _ = b.room.Run(ctx) })
	g.Go(func() { _ = b.pool.Run(ctx) })
	b.t.Cleanup(func() { cancel(); g.Wait() })
}

type object = map[string]any

// send makes a request; "METHOD /path". A header is "Name: value".
func (b *bench) send(route, body string, headers ...string) (*http.Response, string) {
	b.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	require.NoError(b.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.key != "" {
		req.Header.Set("Authorization", "Bearer "+b.key)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if req.Header.Set(name, value); name == "Host" {
			req.Host = value
		}
	}
	res, text := wiretest.Send(b.t, req)
	return res, text
}

// do makes a request that must be answered with the status and decodes the answer.
func (b *bench) do(status int, route, body string, headers ...string) object {
	b.t.Helper()
	res, text := b.send(route, body, headers...)
	require.Equal(b.t, status, res.StatusCode, text)
	out := object{}
	if text != "" {
		require.NoError(b.t, json.Unmarshal([]byte(text), &out), text)
	}
	return out
}

// refused makes a request that must be refused with a problem of that code and
// status, about the field if one is named.
func (b *bench) refused(status int, code, field, route, body string, headers ...string) rest.Problem {
	b.t.Helper()
	res, text := b.send(route, body, headers...)
	require.Equal(b.t, status, res.StatusCode, text)
	require.Equal(b.t, "application/problem+json", res.Header.Get("Content-Type"), text)
	var p rest.Problem
	require.NoError(b.t, json.Unmarshal([]byte(text), &p), text)
	require.Equal(b.t, code, p.Code, text)
	require.Equal(b.t, status, p.Status)
	require.Equal(b.t, "https://fanfare-gateway.github.io/problems/"+code, p.Type)
	require.NotEmpty(b.t, p.Title)
	require.NotEmpty(b.t, p.Detail)
	require.NotEqual(b.t, "not found", p.Detail, "the answer names what is not there")
	require.Equal(b.t, res.Header.Get("X-Request-Id"), p.RequestID)
	require.NotEmpty(b.t, p.RequestID)
	if field != "" {
		require.NotEmpty(b.t, p.Errors, text)
		require.Equal(b.t, field, p.Errors[0].Field, text)
		require.NotEmpty(b.t, p.Errors[0].Reason, text)
	}
	return p
}

// await asks until ok.
func (b *bench) await(route string, ok func(object) bool) object {
	b.t.Helper()
	var got object
	require.Eventually(b.t, func() bool {
		got = b.do(http.StatusOK, route, "")
		return ok(got)
	}, 20*time.Second, 10*time.Millisecond, "last answer to %s: %v", route, &got)
	return got
}

func list(o object, name string) []object {
	out := []object{}
	for _, v := range o[name].([]any) {
		out = append(out, v.(object))
	}
	return out
}
