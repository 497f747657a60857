package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.work()
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, "POST /v1/topics/alerts/subscriptions", `{"protocol":"sms","endpoint":"+1"}`)
	b.do(200, "POST /v1/topics/alerts/subscriptions", `{"protocol":"sms","endpoint":"fail"}`)
	made := b.do(202, "POST /v1/publish", `{"topic":"alerts","subject":"s","message":"m","attributes":{"a":{"type":"String","value":"v"}},
		"overrides":{"https":{"payload":{"n":12345678901234567890}}},"lane":"critical"}`)
	id := made["id"].(string)
	require.True(t, strings.HasPrefix(id, "pub_"))

	got := b.await("GET /v1/publishes/"+id, func(o object) bool {
		l := o["ledger"].(object)
		return l["sent"] == 1.0 && l["failed"] == 1.0
	})
	require.Equal(t, 2.0, got["total"])
	require.Len(t, got["ledger"], len(topics.States()), "all states are listed")

	all := list(b.do(200, "GET /v1/publishes/"+id+"/deliveries", ""), "deliveries")
	require.Len(t, all, 2)
	page := b.do(200, "GET /v1/publishes/"+id+"/deliveries?limit=1", "")
	require.Equal(t, all[1:], list(b.do(200, "GET /v1/publishes/"+id+"/deliveries?cursor="+page["next"].(string), ""), "deliveries"))
	failed := list(b.do(200, "GET /v1/publishes/"+id+"/deliveries?state=failed", ""), "deliveries")
	require.Len(t, failed, 1)
	one := b.do(200, "GET /v1/deliveries/"+failed[0]["id"].(string), "")
	require.Equal(t, "failed", one["state"])
	attempts := list(one, "failed_attempts")
	require.Len(t, attempts, 1)
	require.Equal(t, "21211", attempts[0]["code"])
	require.Equal(t, "rejected", attempts[0]["kind"])
}

func TestPublishToOneEndpoint(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	made := b.do(202, "POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+1"},"message":"m"}`)
	got := b.do(200, "GET /v1/publishes/"+made["id"].(string), "")
	require.Equal(t, 1.0, got["total"])
	require.Equal(t, 1.0, got["ledger"].(object)["queued"])
}

// Who looks at a delivery that failed once sees when it is tried again.
func TestNextAttempt(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.work()
	id := b.do(202, "POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"busy"},"message":"m"}`)["id"].(string)
	name := list(b.do(200, "GET /v1/publishes/"+id+"/deliveries", ""), "deliveries")[0]["id"].(string)
	got := b.await("GET /v1/deliveries/"+name, func(o object) bool { return len(list(o, "failed_attempts")) == 1 })
	require.Equal(t, "queued", got["state"])
	next, err := time.Parse(time.RFC3339Nano, got["next_attempt"].(string))
	require.NoError(t, err)
	require.WithinRange(t, next, b.store.Now().Add(50*time.Minute), b.store.Now().Add(2*time.Hour))
}

func TestPublishes(t *testing.T) {
	t.Parallel()
	b := open(t, nil) // without workers: all stay queued
	for _, name := range []string{"alerts", "news"} {
		b.do(200, "POST /v1/topics", `{"name":"`+name+`"}`)
	}
	b.do(200, "POST /v1/topics/news/subscriptions", `{"protocol":"sms","endpoint":"+1"}`)
	var made []string // newest first
	publish := func(topic string) string {
		return b.do(202, "POST /v1/publish", `{"topic":"`+topic+`","message":"m"}`)["id"].(string)
	}
	for range 9 { // a shard may have more than its share
		made = append([]string{b.do(202, "POST /v1/publish", `{"topic":"alerts","message":"m","group":"g"}`)["id"].(string)}, made...)
	}
	for i := range 25 {
		made = append([]string{publish([]string{"alerts", "news"}[i%3%2])}, made...)
	}
	pages := func(query string, size int) (ids []string) {
		for cursor := ""; ; {
			page := b.do(200, fmt.Sprintf("GET /v1/publishes?limit=%d%s%s", size, query, cursor), "")
			for _, p := range list(page, "publishes") {
				ids = append(ids, p["id"].(string))
				require.NotNil(t, p["ledger"])
			}
			if page["next"] == nil {
				return ids
			}
			cursor = "&cursor=" + page["next"].(string)
		}
	}
	sorted := func(ids []string) []string {
		out := slices.Clone(ids)
		slices.SortFunc(out, func(a, b string) int { return strings.Compare(b, a) })
		return out
	}
	for _, size := range []int{1, 7, 34, 1000} {
		require.Equal(t, sorted(made), pages("", size))
	}
	news := pages("&topic=news", 3)
	require.Len(t, news, 8)
	require.Subset(t, made, news)
	require.Empty(t, pages("&phase=completed", 7))
	require.Empty(t, pages("&topic=none", 7))
	b.refused(422, "invalid", "phase", "GET /v1/publishes?phase=odd", "")
	b.refused(422, "invalid", "cursor", "GET /v1/publishes?cursor=odd", "")

	first := b.do(200, "GET /v1/publishes?limit=5", "")
	publish("alerts") // a newer one moves nothing
	second := b.do(200, "GET /v1/publishes?limit=100&cursor="+first["next"].(string), "")
	require.Len(t, list(second, "publishes"), 34-5)
}

func TestPublishControl(t *testing.T) {
	t.Parallel()
	b := open(t, nil) // without workers: it stays as it is
	id := b.do(202, "POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+1"},"message":"m"}`)["id"].(string)
	require.Equal(t, "paused", b.do(200, "POST /v1/publishes/"+id+"/pause", "")["control"])
	require.NotContains(t, b.do(200, "POST /v1/publishes/"+id+"/resume", ""), "control")
	require.Equal(t, "cancelled", b.do(200, "POST /v1/publishes/"+id+"/cancel", "")["control"])
	b.refused(409, "state", "", "POST /v1/publishes/"+id+"/resume", "")
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	const body = `{"to":{"protocol":"sms","endpoint":"+1"},"message":"m"}`
	send := func(body, key string) (*http.Response, object) {
		res, text := b.send("POST /v1/publish", body, "Idempotency-Key: "+key)
		require.Equal(t, 202, res.StatusCode, text)
		var o object
		require.NoError(t, json.Unmarshal([]byte(text), &o))
		return res, o
	}
	res, first := send(body, "k1")
	require.Empty(t, res.Header.Get("Idempotency-Replayed"))
	res, again := send(body, "k1")
	require.Equal(t, "true", res.Header.Get("Idempotency-Replayed"))
	require.Equal(t, first, again)
	b.refused(422, "idempotency_mismatch", "Idempotency-Key", "POST /v1/publish", strings.Replace(body, `"m"`, `"n"`, 1), "Idempotency-Key: k1")
	_, other := send(body, "k2")
	require.NotEqual(t, first["id"], other["id"])
	b.refused(422, "invalid", "Idempotency-Key", "POST /v1/publish", body, "Idempotency-Key: "+strings.Repeat("k", 256))

	t.Run("a repeat after a new template version", func(t *testing.T) {
		const body = `{"to":{"protocol":"sms","endpoint":"+1"},"template":"hello"}`
		b.do(200, "PUT /v1/templates/hello", `{"text":"one"}`)
		_, first := send(body, "k3")
		b.do(200, "PUT /v1/templates/hello", `{"text":"two"}`)
		res, again := send(body, "k3")
		require.Equal(t, "true", res.Header.Get("Idempotency-Replayed"))
		require.Equal(t, first, again)
	})
	t.Run("a repeat after its topic is gone", func(t *testing.T) {
		b.do(200, "POST /v1/topics", `{"name":"brief"}`)
		_, first := send(`{"topic":"brief","message":"m"}`, "k4")
		b.do(204, "DELETE /v1/topics/brief", "")
		_, again := send(`{"topic":"brief","message":"m"}`, "k4")
		require.Equal(t, first["id"], again["id"])
	})
}

func TestPublishRefused(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, "PUT /v1/templates/hello", `{"text":"hello {{.name}}"}`)
	past := time.Now().Add(-time.Hour).Format(time.RFC3339)
	far := time.Now().AddDate(2, 0, 0).Format(time.RFC3339)
	for _, c := range []struct{ name, field, body string }{
		{"topic and endpoint", "topic", `{"topic":"alerts","to":{"protocol":"sms","endpoint":"+1"},"message":"m"}`},
		{"neither", "topic", `{"message":"m"}`},
		{"no message", "message", `{"topic":"alerts"}`},
		{"bad endpoint", "to.endpoint", `{"to":{"protocol":"sms","endpoint":"bad"},"message":"m"}`},
		{"no account", "to.protocol", `{"to":{"protocol":"email","endpoint":"a@b.example"},"message":"m"}`},
		{"unknown protocol", "to.protocol", `{"to":{"protocol":"fax","endpoint":"1"},"message":"m"}`},
		{"missing in to", "to.endpoint", `{"to":{"protocol":"sms"},"message":"m"}`},
		{"bad lane", "lane", `{"topic":"alerts","message":"m","lane":"fast"}`},
		{"expired", "expires_at", `{"topic":"alerts","message":"m","expires_at":"` + past + `"}`},
		{"no time", "expires_at", `{"topic":"alerts","message":"m","expires_at":"soon"}`},
		{"too far", "send_at", `{"topic":"alerts","message":"m","send_at":"` + far + `"}`},
		{"unknown template", "template", `{"topic":"alerts","template":"none"}`},
		{"missing variable", "data", `{"topic":"alerts","template":"hello","data":{}}`},
		{"data without template", "data", `{"topic":"alerts","message":"m","data":{"a":1}}`},
		{"attribute without a name", "attributes", `{"topic":"alerts","message":"m","attributes":{"":{"type":"String","value":"1"}}}`},
		{"attribute name", "attributes", `{"topic":"alerts","message":"m","attributes":{"a..b":{"type":"String","value":"1"}}}`},
		{"attribute's long name", "attributes", `{"topic":"alerts","message":"m","attributes":{"` + strings.Repeat("a", 257) + `":{"type":"String","value":"1"}}}`},
		{"attribute label", "attributes.a.type", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"String.","value":"1"}}}`},
		{"attribute without a value", "attributes.a.value", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"String","value":""}}}`},
		{"attribute that is a number to Go only", "attributes.a.value", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"Number","value":"0x1p-2"}}}`},
		{"attribute that is no number", "attributes.a.value", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"Number","value":"one"}}}`},
		{"attribute that is not base64", "attributes.a.value", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"Binary.gif","value":"%"}}}`},
		{"attribute type", "attributes.a.type", `{"topic":"alerts","message":"m","attributes":{"a":{"type":"Int","value":"1"}}}`},
		{"words for some protocols only", "message", `{"topic":"alerts","overrides":{"sms":{"message":"m"}}}`},
		{"words for another protocol", "message", `{"to":{"protocol":"sms","endpoint":"+1"},"overrides":{"email":{"message":"m"}}}`},
		{"a version of no template", "template_version", `{"topic":"alerts","message":"m","template_version":3}`},
		{"override's protocol", "overrides.fax", `{"topic":"alerts","message":"m","overrides":{"fax":{"message":"m"}}}`},
		{"long collapse id", "collapse_id", `{"topic":"alerts","message":"m","collapse_id":"` + strings.Repeat("c", 65) + `"}`},
		{"too large", "message", `{"topic":"alerts","message":"` + strings.Repeat("m", 1<<20) + `"}`},
		{"unknown field", "mesage", `{"topic":"alerts","mesage":"m"}`},
		{"wrong type", "message", `{"topic":"alerts","message":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.refused(422, "invalid", c.field, "POST /v1/publish", c.body)
		})
	}
	b.refused(404, "not_found", "", "POST /v1/publish", `{"topic":"none","message":"m"}`)
	for _, route := range []string{"GET /v1/publishes/x", "GET /v1/publishes/dlv_0", "POST /v1/publishes/pub_/pause", "GET /v1/deliveries/dlv_zz", "GET /v1/subscriptions/1", "DELETE /v1/subscriptions/sub_1", "GET /v1/publishes/1/deliveries"} {
		b.refused(422, "invalid", "id", route, "")
	}
	id := b.store.NewID(0).Hex()
	b.refused(404, "not_found", "", "GET /v1/publishes/pub_"+id, "")
	b.refused(404, "not_found", "", "GET /v1/deliveries/dlv_"+id, "")
	b.refused(404, "not_found", "", "POST /v1/publishes/pub_"+id+"/cancel", "")
	b.refused(422, "invalid", "state", "GET /v1/publishes/pub_"+id+"/deliveries?state=lost", "")
	b.refused(422, "invalid", "cursor", "GET /v1/publishes/pub_"+id+"/deliveries?cursor=lost", "")
	b.refused(422, "invalid", "limit", "GET /v1/topics?limit=0", "")
	b.refused(422, "invalid", "limit", "GET /v1/topics?limit=1001", "")
	b.refused(422, "invalid", "limit", "GET /v1/topics?limit=many", "")
	b.refused(422, "invalid", "page", "GET /v1/topics?page=2", "")
}
