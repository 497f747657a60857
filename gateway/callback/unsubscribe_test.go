package callback_test

import (
	"bytes"
	"encoding/base64"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

const (
	form     = "application/x-www-form-urlencoded"
	oneClick = "List-Unsubscribe=One-Click"
)

// path is where the gateway sees a link, behind a proxy that takes away its prefix.
func (b *bench) path(link string) string {
	b.t.Helper()
	path, ok := strings.CutPrefix(link, "https://push.example.com/base")
	require.True(b.t, ok, link)
	require.LessOrEqual(b.t, len(link), 1000)
	require.NotContains(b.t, link, "ada")
	return path
}

func (b *bench) page(want int, w *httptest.ResponseRecorder) string {
	b.t.Helper()
	require.Equal(b.t, want, w.Code)
	require.Equal(b.t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	require.Contains(b.t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	require.Equal(b.t, "no-referrer", w.Header().Get("Referrer-Policy"))
	require.Equal(b.t, "no-store", w.Header().Get("Cache-Control"))
	require.Empty(b.t, w.Header().Get("Set-Cookie"))
	text := w.Body.String()
	require.NotContains(b.t, text, "ada@")
	require.NotContains(b.t, text, "<script")
	require.NotContains(b.t, text, "http", "nothing from elsewhere")
	return text
}

func TestUnsubscribeAndSubscribeAgain(t *testing.T) {
	t.Parallel()
	b := open(t, vfs.NewMem(), nil)
	_, err := b.CreateTopic(t.Context(), owner, topics.Topic{Name: "news", DisplayName: "The <script> News"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		topic string
		lane  channels.Lane
		shown string
	}{
		"topic with a display name": {"news", "", "The &lt;script&gt; News"},
		"topic that is gone":        {"gone", "", "<strong>gone</strong>"},
		"direct":                    {"", channels.Bulk, "mailings like the one with this link"},
	} {
		id := b.store.NewID(0).WithOrdinal(3)
		link := b.path(b.links.URL(owner, id, topics.Suppression{Protocol: topics.Email, Endpoint: "ada@example.com", Topic: c.topic, Lane: c.lane}))
		for range 3 { // link scanners
			text := b.page(200, b.send("GET", link, "", ""))
			require.Contains(t, text, c.shown, name)
			require.Contains(t, text, `>Unsubscribe</button>`)
			require.Equal(t, 200, b.send("HEAD", link, "", "").Code)
		}
		require.Empty(t, b.suppressions(owner), "GET changes nothing")

		require.Contains(t, b.page(200, b.send("POST", link, form, "unsubscribe=1")), "<h1>You are unsubscribed</h1>")
		first := b.suppressions(owner)
		require.Len(t, first, 1)
		require.Equal(t, topics.Suppression{
			Protocol: topics.Email, Endpoint: "ada@example.com", Topic: c.topic, Lane: c.lane,
			Reason: "unsubscribed by the link in " + topics.DeliveryName(id), Created: first[0].Created,
		}, first[0])
		require.Empty(t, b.suppressions(other))
		require.Contains(t, b.page(200, b.send("GET", link, "", "")), "<h1>You are unsubscribed</h1>")
		b.page(200, b.send("POST", link, form, "unsubscribe=1"))
		require.Equal(t, first, b.suppressions(owner), "twice is once")

		for range 2 {
			require.Contains(t, b.page(200, b.send("POST", link, form, "again=1")), "<h1>You are subscribed again</h1>")
			require.Empty(t, b.suppressions(owner))
		}
		require.Contains(t, b.page(200, b.send("GET", link, "", "")), `>Unsubscribe</button>`)
	}
}

func TestOneClick(t *testing.T) {
	t.Parallel()
	b := open(t, vfs.NewMem(), nil)
	var parts bytes.Buffer
	m := multipart.NewWriter(&parts)
	require.NoError(t, m.WriteField("List-Unsubscribe", "One-Click"))
	require.NoError(t, m.Close())
	for n, c := range []struct{ kind, body string }{
		{form, oneClick}, {m.FormDataContentType(), parts.String()}, {form + "; charset=utf-8", oneClick + "&x=1"},
	} {
		link := b.path(b.links.URL(owner, b.store.NewID(0), topics.Suppression{Endpoint: "ada@example.com", Topic: strings.Repeat("n", n+1)}))
		w := b.send("POST", link, c.kind, c.body)
		require.Equal(t, 200, w.Code)
		require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
		require.Equal(t, "unsubscribed\n", w.Body.String())
		require.Len(t, b.suppressions(owner), n+1)
	}
	link := b.path(b.links.URL(owner, b.store.NewID(0), topics.Suppression{Endpoint: "ada@example.com", Topic: "bare"}))
	b.page(200, b.send("POST", link, "", ""))
	require.Len(t, b.suppressions(owner), 4, "a POST without a form is clear enough")
}

func TestAnUnreadableClickChangesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, vfs.NewMem(), nil)
	link := b.path(b.links.URL(owner, b.store.NewID(0), topics.Suppression{Endpoint: "ada@example.com", Topic: "news"}))
	for name, c := range map[string]struct{ kind, body string }{
		"too long":      {form, oneClick + "&x=" + strings.Repeat("x", 64<<10)},
		"broken escape": {form, "%zz"},
		"no boundary":   {"multipart/form-data", "x"},
		"cut off":       {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne"},
	} {
		require.Equal(t, 400, b.send("POST", link, c.kind, c.body).Code, name)
	}
	require.Empty(t, b.suppressions(owner))
}

func TestForgedLinksTellNothing(t *testing.T) {
	t.Parallel()
	b, stranger := open(t, vfs.NewMem(), nil), open(t, vfs.NewMem(), nil)
	s := topics.Suppression{Endpoint: "ada@example.com", Topic: "news"}
	id := b.store.NewID(0)
	good := strings.TrimPrefix(b.path(b.links.URL(owner, id, s)), "/u/")
	require.NotEqual(t, b.links.URL(owner, id, s), b.links.URL(owner, id, s), "the nonce differs")
	bad := []string{"", "x", "%00", "a/b", good[:len(good)-1], good + "A", good + "=", good[:21], good[:22], strings.ToUpper(good)}
	bad = append(bad, strings.TrimPrefix(stranger.path(stranger.links.URL(owner, id, s)), "/u/"))
	raw, err := base64.RawURLEncoding.DecodeString(good)
	require.NoError(t, err)
	for i := range raw {
		raw[i] ^= 1
		bad = append(bad, base64.RawURLEncoding.EncodeToString(raw))
		raw[i] ^= 1
	}
	another := b.store.NewID(0)
	bad = append(bad, base64.RawURLEncoding.EncodeToString(append(another[:], raw[len(another):]...)))
	for _, token := range bad {
		require.Equal(t, b.page(404, b.send("GET", "/u/"+token, "", "")), b.page(404, b.send("POST", "/u/"+token, form, oneClick)))
	}
	require.Empty(t, b.suppressions(owner))
	b.page(200, b.send("GET", "/u/"+good, "", ""))
}

func TestLinksSurviveRestartAndRestore(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	b := open(t, fs, nil)
	link := b.path(b.links.URL(other, b.store.NewID(0), topics.Suppression{Endpoint: "ada@example.com", Topic: "news"}))
	require.NoError(t, b.store.Backup("copy"))
	require.NoError(t, b.store.Close())
	require.NoError(t, queue.MarkRestored("copy", fs))
	for _, dir := range []string{"store", "copy"} {
		b = openAt(t, fs, dir, nil)
		require.Equal(t, 200, b.send("POST", link, form, oneClick).Code)
		require.Len(t, b.suppressions(other), 1)
	}
}

func FuzzToken(f *testing.F) {
	b := open(f, vfs.NewMem(), nil)
	link := b.links.URL(owner, b.store.NewID(0), topics.Suppression{Endpoint: "ada@example.com", Topic: "news"})
	good := strings.TrimPrefix(b.path(link), "/u/")
	f.Add(good)
	f.Add(good[:30])
	f.Add("")
	f.Add("%ff/../?x=1#y")
	f.Fuzz(func(t *testing.T, token string) {
		r := httptest.NewRequest("POST", "/u/x", strings.NewReader(oneClick))
		r.Header.Set("Content-Type", form)
		r.URL.Path = "/u/" + token
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		list, err := b.Suppressions(owner, nil, 2)
		require.NoError(t, err)
		if len(list) > 0 {
			require.NoError(t, b.Unsuppress(t.Context(), owner, list[0]))
			raw, _ := base64.RawURLEncoding.DecodeString(token)
			want, _ := base64.RawURLEncoding.DecodeString(good)
			require.Equal(t, want, raw, "only a link of ours acts")
		}
		require.Contains(t, []int{200, 307, 404}, w.Code) // 307: a path with dots is mended
	})
}
