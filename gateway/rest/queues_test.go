package rest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
	"github.com/fanfare-gateway/fanfare/queue"
)

func TestQueues(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	require.NotContains(t, b.do(200, "POST /v1/queues", `{"name":"dead"}`), "retention", "none: messages are kept for ever")
	made := b.do(200, "POST /v1/queues", `{"name":"work","visibility":"1m","max_receives":3,"dead_letter":"dead"}`)
	require.Equal(t, "1m0s", made["visibility"])
	require.Equal(t, "dead", made["dead_letter"])
	b.refused(409, "conflict", "", "POST /v1/queues", `{"name":"work"}`)
	page := b.do(200, "GET /v1/queues?limit=1", "")
	require.Equal(t, "dead", list(page, "queues")[0]["name"])
	require.Equal(t, "work", list(b.do(200, "GET /v1/queues?cursor="+page["next"].(string), ""), "queues")[0]["name"])

	b.do(200, "POST /v1/queues/work/messages", `{"body":"one"}`)
	b.do(200, "POST /v1/queues/work/messages", `{"body":"two","delay":"1h"}`)
	got := b.do(200, "GET /v1/queues/work", "")
	require.Equal(t, []any{1.0, 0.0, 1.0}, []any{got["ready"], got["in_flight"], got["delayed"]})
	ms := list(b.do(200, "POST /v1/queues/work/receive", `{"max":10,"wait":"1s","visibility":"30s"}`), "messages")
	require.Len(t, ms, 1)
	require.Equal(t, "one", ms[0]["body"])
	require.Empty(t, list(b.do(200, "POST /v1/queues/work/receive", `{}`), "messages"))

	handle := ms[0]["handle"].(string)
	b.do(204, "POST /v1/queues/work/visibility", `{"handle":"`+handle+`","visibility":"0s"}`)
	ms = list(b.do(200, "POST /v1/queues/work/receive", `{"wait":"1s"}`), "messages")
	require.Len(t, ms, 1)
	require.Equal(t, 2.0, ms[0]["receives"])
	out := b.do(200, "POST /v1/queues/work/delete", `{"handles":["`+ms[0]["handle"].(string)+`","x"]}`)
	require.Equal(t, 1.0, out["deleted"])
	require.Equal(t, "x", list(out, "failed")[0]["handle"])
	b.refused(409, "state", "", "POST /v1/queues/work/visibility", `{"handle":"`+handle+`","visibility":"5s"}`)

	b.do(204, "DELETE /v1/queues/work", "")
	b.refused(404, "not_found", "", "DELETE /v1/queues/work", "")
	p := b.refused(404, "not_found", "", "GET /v1/queues/work", "")
	require.Equal(t, `queue "work": not found`, p.Detail)
}

func TestQueueOfATopic(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, "POST /v1/queues", `{"name":"work"}`)
	b.do(200, "POST /v1/topics/alerts/subscriptions", `{"protocol":"sqs","endpoint":"work","raw":true}`)
	b.do(202, "POST /v1/publish", `{"topic":"alerts","message":"hello"}`)
	ms := list(b.do(200, "POST /v1/queues/work/receive", `{"wait":"5s"}`), "messages")
	require.Len(t, ms, 1)
	require.Equal(t, "hello", ms[0]["body"])
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/queues", `{"name":"work.fifo","fifo":true}`)
	const message = `{"body":"one","group":"g","dedup_id":"d"}`
	first := b.do(200, "POST /v1/queues/work.fifo/messages", message)
	again := b.do(200, "POST /v1/queues/work.fifo/messages", message)
	require.Equal(t, first["id"], again["id"])
	require.Equal(t, true, again["duplicate"])
}

func TestQueuesRefused(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) { o.MaxMessage = 8 << 20 })
	b.do(200, "POST /v1/queues", `{"name":"work"}`)
	for _, c := range []struct{ field, route, body string }{
		{"name", "POST /v1/queues", `{}`},
		{"name", "POST /v1/queues", `{"name":"a/b"}`},
		{"name", "POST /v1/queues", `{"name":"` + strings.Repeat("n", 81) + `"}`},
		{"visibility", "POST /v1/queues", `{"name":"q","visibility":"13h"}`},
		{"visibility", "POST /v1/queues", `{"name":"q","visibility":"30"}`},
		{"visibility", "POST /v1/queues", `{"name":"q","visibility":"0s"}`},
		{"retention", "POST /v1/queues", `{"name":"q","retention":"0s"}`},
		{"delay", "POST /v1/queues", `{"name":"q","delay":"-1s"}`},
		{"retention", "POST /v1/queues", `{"name":"q","retention":"long"}`},
		{"max_receives", "POST /v1/queues", `{"name":"q","dead_letter":"work"}`},
		{"max_receives", "POST /v1/queues", `{"name":"q","max_receives":3}`},
		{"max_receives", "POST /v1/queues", `{"name":"q","max_receives":-1}`},
		{"dead_letter", "POST /v1/queues", `{"name":"q","max_receives":3,"dead_letter":"q"}`},
		{"dead_letter", "POST /v1/queues", `{"name":"q","max_receives":3,"dead_letter":"wrok"}`},
		{"dead_letter", "POST /v1/queues", `{"name":"q","fifo":true,"max_receives":3,"dead_letter":"work"}`},
		{"body", "POST /v1/queues/work/messages", `{}`},
		{"body", "POST /v1/queues/work/messages", `{"body":"` + strings.Repeat("m", queue.MaxMessage+1) + `"}`},
		{"group", "POST /v1/queues/work/messages", `{"body":"b","group":"` + strings.Repeat("g", 129) + `"}`},
		{"delay", "POST /v1/queues/work/messages", `{"body":"b","delay":"20000h"}`},
		{"max", "POST /v1/queues/work/receive", `{"max":1001}`},
		{"wait", "POST /v1/queues/work/receive", `{"wait":"21s"}`},
		{"visibility", "POST /v1/queues/work/receive", `{"visibility":"13h"}`},
		{"handles", "POST /v1/queues/work/delete", `{"handles":[]}`},
		{"handle", "POST /v1/queues/work/visibility", `{"handle":"x","visibility":"5s"}`},
		{"visibility", "POST /v1/queues/work/visibility", `{"handle":"x"}`},
	} {
		t.Run(c.route+" "+c.field, func(t *testing.T) {
			b.refused(422, "invalid", c.field, c.route, c.body)
		})
	}
	for route, body := range map[string]string{"messages": `{"body":"b"}`, "receive": `{}`, "delete": `{"handles":["x"]}`, "visibility": `{"handle":"x","visibility":"1s"}`} {
		b.refused(404, "not_found", "", "POST /v1/queues/none/"+route, body)
	}
}
