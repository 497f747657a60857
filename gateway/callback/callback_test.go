package callback_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/callback"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// accounts is one mail account that takes addresses in lower case.
type accounts struct{}

func (accounts) Account(string) (channels.AccountState, bool) {
	return channels.AccountState{Name: "smtp/main", Protocol: topics.Email}, true
}
func (accounts) Default(string) string { return "smtp/main" }
func (accounts) CheckEndpoint(_, endpoint string) (channels.Endpoint, error) {
	if endpoint == "bad" {
		return channels.Endpoint{}, errors.New("must not be bad")
	}
	return channels.Endpoint{Address: strings.ToLower(endpoint), Group: "g"}, nil
}

// says is a source that always says the same.
type says struct {
	news callback.News
	err  error
}

func (s says) Read(r *http.Request) (callback.News, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return callback.News{}, errors.Join(callback.ErrUnreadable, err)
	}
	return s.news, s.err
}

var (
	owner = topics.DefaultOwner
	other = topics.Owner{Account: "123456789012", Region: "local"}
)

// bench is the handler on a topics room of its own.
type bench struct {
	t     testing.TB
	store *queue.Store
	*topics.Topics
	links   *callback.Links
	handler http.Handler
}

func open(t testing.TB, fs vfs.FS, sources map[string]callback.Source) *bench {
	t.Helper()
	return openAt(t, fs, "store", sources)
}

func openAt(t testing.TB, fs vfs.FS, dir string, sources map[string]callback.Source) *bench {
	t.Helper()
	store, err := queue.Open(dir, queue.Options{FS: fs, Shards: 1})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	b := &bench{t: t, store: store}
	b.Topics, err = topics.New(t.Context(), topics.Options{Store: store, Accounts: accounts{}})
	require.NoError(t, err)
	b.links, err = callback.NewLinks(t.Context(), store, "https://push.example.com/base/")
	require.NoError(t, err)
	b.handler = callback.New(callback.Options{
		Topics: b.Topics, Links: b.links, Sources: sources, Owners: []topics.Owner{owner, other}, Logger: slog.New(slog.DiscardHandler),
	})
	return b
}

// send makes a request of the handler; kind is the body's type.
func (b *bench) send(method, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func (b *bench) suppressions(o topics.Owner) []topics.Suppression {
	b.t.Helper()
	list, err := b.Suppressions(o, nil, 100)
	require.NoError(b.t, err)
	return list
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	gone := &topics.Evidence{Delivery: queue.MakeID(queue.ID{}.Time(), 7, 1, 1), State: topics.Delivered}
	b := open(t, vfs.NewMem(), map[string]callback.Source{
		"p/nothing": says{}, "p/unknown": says{news: callback.News{Evidence: gone}},
		"p/forged": says{err: callback.ErrSignature}, "p/odd": says{err: callback.ErrUnreadable},
		"p/nobody": says{news: callback.News{Consent: callback.Stop, Protocol: topics.Email, Endpoint: "bad"}},
	})
	for _, c := range []struct {
		request string
		want    int
	}{
		{"POST /callbacks/p/nothing", 204},
		{"POST /callbacks/p/unknown", 204},
		{"POST /callbacks/p/forged", 403},
		{"POST /callbacks/p/odd", 400},
		{"POST /callbacks/p/nobody", 204},
		{"POST /callbacks/p/none", 404},
		{"POST /callbacks/p", 404},
		{"POST /callbacks/p/nothing/more", 404},
		{"GET /callbacks/p/nothing", 405},
		{"PUT /callbacks/p/nothing", 405},
		{"PUT /u/x", 405},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		w := b.send(method, path, "", "")
		require.Equal(t, c.want, w.Code, c.request)
		if c.want == 405 {
			require.Contains(t, w.Header().Get("Allow"), "POST")
		}
	}
	w := b.send("POST", "/callbacks/p/nothing", "", strings.Repeat("x", 64<<10))
	require.Equal(t, 204, w.Code)
	w = b.send("POST", "/callbacks/p/nothing", "", strings.Repeat("x", 64<<10+1))
	require.Equal(t, 400, w.Code)
	require.Empty(t, b.suppressions(owner))
}

func TestConsentIsSaidToEveryOwner(t *testing.T) {
	t.Parallel()
	number := callback.News{Protocol: topics.SMS, Endpoint: "+1"}
	stop, start := number, number
	stop.Consent, start.Consent = callback.Stop, callback.Start
	b := open(t, vfs.NewMem(), map[string]callback.Source{"p/stop": says{news: stop}, "p/start": says{news: start}})
	require.Equal(t, 204, b.send("POST", "/callbacks/p/start", "", "").Code, "START without a STOP")
	for range 2 {
		require.Equal(t, 204, b.send("POST", "/callbacks/p/stop", "", "").Code)
		for _, o := range []topics.Owner{owner, other} {
			list := b.suppressions(o)
			require.Len(t, list, 1)
			require.Equal(t, topics.Suppression{Protocol: topics.SMS, Endpoint: "+1", Reason: "the recipient said so", Created: list[0].Created}, list[0])
		}
	}
	require.Equal(t, 204, b.send("POST", "/callbacks/p/start", "", "").Code)
	require.Empty(t, b.suppressions(owner))
	require.Empty(t, b.suppressions(other))
}

// What cannot be recorded is asked for again.
func TestAFailedStoreAsksForARepeat(t *testing.T) {
	t.Parallel()
	b := open(t, vfs.NewMem(), map[string]callback.Source{
		"p/stop":     says{news: callback.News{Consent: callback.Stop, Protocol: topics.SMS, Endpoint: "+1"}},
		"p/evidence": says{news: callback.News{Evidence: &topics.Evidence{Delivery: queue.MakeID(queue.ID{}.Time(), 0, 1, 1)}}},
	})
	link := b.path(b.links.URL(owner, b.store.NewID(0), topics.Suppression{Endpoint: "a@b.example", Topic: "news"}))
	require.NoError(t, b.store.Close())
	for _, path := range []string{"/callbacks/p/stop", "/callbacks/p/evidence"} {
		w := b.send("POST", path, "", "")
		require.Equal(t, 503, w.Code, path)
		require.Equal(t, "5", w.Header().Get("Retry-After"))
	}
	for _, w := range []*httptest.ResponseRecorder{
		b.send("GET", link, "", ""), b.send("POST", link, form, ""), b.send("POST", link, form, oneClick),
	} {
		require.Equal(t, 503, w.Code)
		require.Contains(t, w.Body.String(), "nothing was changed")
	}
}
