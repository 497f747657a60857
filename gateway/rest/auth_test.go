package rest_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func key(name, account string, scopes ...string) rest.Key {
	sum := sha256.Sum256([]byte(name))
	return rest.Key{Name: name, Hash: "sha256:" + strings.ToUpper(hex.EncodeToString(sum[:])), Scopes: scopes, Account: account}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) {
		for _, scope := range []string{"publish", "read", "manage", "admin"} {
			o.Keys = append(o.Keys, key("key-"+scope, "", scope))
		}
		o.Keys = append(o.Keys, key("key-none", ""))
	})
	for _, c := range []struct{ route, body, allowed string }{
		{"POST /v1/publish", `{}`, "publish admin"},
		{"POST /v1/queues/q/messages", `{"body":""}`, "publish admin"},
		{"POST /v1/queues/q/receive", `{}`, "publish admin"},
		{"POST /v1/queues/q/delete", `{"handles":["x"]}`, "publish admin"},
		{"POST /v1/queues/q/visibility", `{"handle":"x","visibility":"1s"}`, "publish admin"},
		{"GET /v1/topics", "", "read manage admin"},
		{"GET /v1/topics/a", "", "read manage admin"},
		{"GET /v1/topics/a/subscriptions", "", "read manage admin"},
		{"GET /v1/subscriptions/x", "", "read manage admin"},
		{"GET /v1/publishes/x", "", "read manage admin"},
		{"GET /v1/publishes/x/deliveries", "", "read manage admin"},
		{"GET /v1/deliveries/x", "", "read manage admin"},
		{"GET /v1/accounts", "", "read manage admin"},
		{"GET /v1/suppressions", "", "read manage admin"},
		{"GET /v1/templates/x", "", "read manage admin"},
		{"POST /v1/templates/x/preview", `{"channel":"sms"}`, "read manage admin"},
		{"GET /v1/queues", "", "read manage admin"},
		{"GET /v1/queues/q", "", "read manage admin"},
		{"POST /v1/topics", `{"name":"/"}`, "manage admin"},
		{"DELETE /v1/topics/a", "", "manage admin"},
		{"POST /v1/topics/a/subscriptions", `{"protocol":"sms","endpoint":"1"}`, "manage admin"},
		{"POST /v1/topics/a/subscriptions/import", "", "manage admin"},
		{"DELETE /v1/subscriptions/x", "", "manage admin"},
		{"POST /v1/publishes/x/pause", "", "manage admin"},
		{"POST /v1/publishes/x/resume", "", "manage admin"},
		{"POST /v1/publishes/x/cancel", "", "manage admin"},
		{"POST /v1/suppressions", `{"protocol":"fax","endpoint":"1"}`, "manage admin"},
		{"DELETE /v1/suppressions?protocol=sms&endpoint=1", "", "manage admin"},
		{"PUT /v1/templates/x", `{}`, "manage admin"},
		{"POST /v1/queues", `{"name":"/"}`, "manage admin"},
		{"DELETE /v1/queues/q", "", "manage admin"},
		{"GET /v1/dead-letters", "", "admin"},
		{"POST /v1/dead-letters/redrive", `{"cause":{"protocol":"","account":"","kind":"","code":""}}`, "admin"},
		{"POST /v1/accounts/a/b/pause", "", "admin"},
		{"POST /v1/accounts/a/b/resume", "", "admin"},
	} {
		for _, scope := range []string{"none", "publish", "read", "manage", "admin"} {
			b.key = "key-" + scope
			if strings.Contains(" "+c.allowed+" ", " "+scope+" ") {
				res, text := b.send(c.route, c.body)
				require.NotContains(t, []int{401, 403, 500}, res.StatusCode, "%s with %s: %s", c.route, scope, text)
				continue
			}
			b.refused(403, "scope", "", c.route, c.body)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) {
		o.Keys = []rest.Key{key("one", "111111111111", "admin"), key("two", "", "admin")}
	})
	b.key = "one"
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, "GET /v1/topics/alerts", "", "Authorization: bearer one", "Host: api.example", "X-Forwarded-For: 192.0.2.1")
	b.key = "two"
	b.refused(404, "not_found", "", "GET /v1/topics/alerts", "")
	b.key = ""
	for _, header := range []string{"X-Key: one", "Authorization: one", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: Bearer three", "Authorization: Basic one"} {
		b.refused(401, "key", "", "GET /v1/topics", "", header)
		b.refused(401, "key", "", "GET /openapi.json", "", header)
	}
	res, _ := b.send("GET /v1/topics", "")
	require.Equal(t, "Bearer", res.Header.Get("WWW-Authenticate"))
}

func TestLoopbackOnly(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	host := strings.TrimPrefix(b.url, "http://")
	for _, header := range []string{"Host: localhost", "Host: LOCALHOST:80", "Host: sqs.eu-west-1.localhost:80", "Host: [::1]:8080", "Host: 127.0.0.2", "Origin: http://" + host} {
		b.do(200, "GET /v1/topics", "", header)
	}
	for _, header := range []string{
		"Host: evil.example", "Host: localhost.evil.example", "Host: evillocalhost", "Host: 192.0.2.1:80", "Host: 0.0.0.0",
		"Origin: http://evil.example", "Origin: null", "Origin: http://localhost:1", "Forwarded: for=192.0.2.1",
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Real-Ip: 127.0.0.1",
	} {
		b.refused(403, "loopback_only", "", "GET /v1/topics", "", header)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	own := &net.TCPAddr{IP: net.ParseIP("192.0.2.5"), Port: 9090}
	for _, c := range []struct{ peer, host, why string }{
		{"127.0.0.1:50000", "localhost:9090", ""},
		{"[::1]:50000", "[::1]:9090", ""},
		{"192.0.2.5:50000", "192.0.2.5:9090", ""}, // this machine to its own address
		{"192.0.2.6:50000", "192.0.2.5:9090", "another address"},
		{"192.0.2.6:50000", "localhost", "another address"},
		{"192.0.2.5:50000", "rebound.example:9090", "Host header"},
		{"127.0.0.1:50000", "192.0.2.6", "Host header"},
		{"nobody", "localhost", "another address"},
	} {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, own), http.MethodPost, "/", nil)
		r.RemoteAddr, r.Host = c.peer, c.host
		if c.why == "" {
			require.Empty(t, rest.Foreign(r), c)
			continue
		}
		require.Contains(t, rest.Foreign(r), c.why, c)
	}
}
