package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func TestWhatIsNoRequest(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) { o.MaxMessage = 1000 })
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.refused(404, "no_route", "", "GET /", "")
	b.refused(404, "no_route", "", "GET /v1/nothing", "")
	b.refused(404, "no_route", "", "GET /docs", "")
	res, _ := b.send("DELETE /v1/topics", "")
	require.Equal(t, "GET, HEAD, POST", res.Header.Get("Allow"))
	b.refused(405, "method", "", "DELETE /v1/topics", "")
	b.refused(405, "method", "", "OPTIONS /v1/publish", "")

	const route = "POST /v1/topics"
	for body, place := range map[string]int{`{`: 2, `nothing`: 2, `{"name":"a"} {"name":"b"}`: 14, "{\"name\":\"\xff\"}": 10} {
		p := b.refused(400, "malformed", "body", route, body)
		require.Equal(t, fmt.Sprintf("body: must be one JSON object in UTF-8; byte %d does not fit", place), p.Detail)
	}
	b.refused(400, "malformed", "", route, "")
	p := b.refused(400, "malformed", "body", route, `{"name":"a","display_name":"secret-value","display_name":"b"}`)
	require.Equal(t, "display_name is given twice", p.Errors[0].Reason)
	for _, body := range []string{`[]`, `"x"`, `null`, `1`} {
		b.refused(422, "invalid", "body", route, body)
	}
	b.refused(422, "invalid", "colour", route, `{"name":"a","colour":"secret-value"}`)
	_, text := b.send(route, `{"name":"a","on_uncertain":"secret-value"}`)
	require.NotContains(t, text, "secret-value", "values are not echoed")
	b.refused(415, "content_type", "", route, "name=a", "Content-Type: application/x-www-form-urlencoded")
	b.refused(415, "content_type", "", route, "{}", "Content-Type: text/plain")
	b.do(200, route, `{"name":"a"}`, "Content-Type: application/json; charset=utf-8")
	b.do(200, "GET /v1/topics/a", "", "Accept: application/xml")

	p = b.refused(413, "too_large", "", route, `{"name":"a","display_name":"`+strings.Repeat("x", 1000)+`"}`)
	require.Equal(t, "The body must be at most 1000 bytes.", p.Detail)
	exact := `{"name":"b","display_name":"` + strings.Repeat("x", 970) + `"}`
	require.Len(t, exact, 1000)
	b.do(200, route, exact)
}

func TestABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	for _, body := range []string{"zz\r\n{\r\n0\r\n\r\n", "1\r\n{\r\n5\r\nab", "1\r\n{\r\n0\r\n\r\n"} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
		require.NoError(t, err)
		_, err = conn.Write([]byte("POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + body))
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		var p rest.Problem
		require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
		require.NoError(t, conn.Close())
		require.Equal(t, http.StatusBadRequest, res.StatusCode, body)
		require.Equal(t, http.StatusBadRequest, p.Status)
		require.Equal(t, "malformed", p.Code)
	}
}

// broken is a pool that panics.
type broken struct{ channels.Pool }

func (*broken) States() []channels.AccountState { panic("out of order") }

func (*broken) Missing() ([]channels.AccountState, error) { panic("out of order") }

func TestPanic(t *testing.T) {
	t.Parallel()
	var log logged
	b := open(t, func(o *rest.Options) {
		o.Pool = &broken{}
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	p := b.refused(500, "internal", "", "GET /v1/accounts", "")
	require.NotContains(t, p.Detail, "out of order")
	require.Contains(t, log.String(), p.RequestID)
	require.Contains(t, log.String(), "out of order")
	b.do(200, "GET /v1/topics", "") // it goes on
}

func TestStoreProblems(t *testing.T) {
	t.Parallel()
	var used atomic.Bool
	b := openDisk(t, nil, func() (uint64, uint64, error) {
		if used.Load() {
			return 1, 1 << 40, nil
		}
		return 1 << 40, 1 << 40, nil
	})
	const publish, body = "POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+1"},"message":"m"}`
	b.do(202, publish, body)
	used.Store(true)
	require.Eventually(t, b.store.DiskFull, 10*time.Second, 10*time.Millisecond)
	b.refused(503, "disk_full", "", publish, body)
	res, _ := b.send(publish, body)
	require.Equal(t, "30", res.Header.Get("Retry-After"))
	require.NoError(t, b.store.Close())
	b.refused(503, "store_failed", "", publish, body)
}

func TestNothingPrivateIsLogged(t *testing.T) {
	t.Parallel()
	var log logged
	b := open(t, func(o *rest.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	b.send("POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+491511234567"},"message":"hush","bad":1}`, "Authorization: Bearer hush-key")
	b.send("POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+491511234567"},"message":"hush"}`)
	require.NoError(t, b.store.Close())
	b.send("POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+491511234567"},"message":"hush"}`)
	require.NotContains(t, log.String(), "hush")
	require.NotContains(t, log.String(), "1511234567")
}

func TestAnotherAddressIsRefused(t *testing.T) {
	t.Parallel()
	h := rest.New(rest.Options{})
	for _, peer := range []string{"192.0.2.1:1234", "[2001:db8::1]:1", "", "@"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "http://localhost/v1/topics", nil)
		r.RemoteAddr = peer
		h.ServeHTTP(w, r)
		require.Equal(t, http.StatusForbidden, w.Code, peer)
		require.Contains(t, w.Body.String(), "comes from another address")
	}
}
