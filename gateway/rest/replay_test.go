package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

func TestReplays(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	made := b.do(200, "POST /v1/topics", `{"name":"news","archive_days":7}`)
	require.Equal(t, 7.0, made["archive_days"])
	since := made["archived_since"].(string)
	b.refused(409, "conflict", "", "POST /v1/topics", `{"name":"news"}`)
	b.refused(422, "invalid", "archive_days", "POST /v1/topics", `{"name":"long","archive_days":366}`)
	b.refused(422, "invalid", "archive_days", "PUT /v1/topics/news/archive", `{"archive_days":-1}`)
	b.refused(409, "state", "", "DELETE /v1/topics/news", "")

	old := b.do(202, "POST /v1/publish", `{"topic":"news","message":"old"}`)["id"].(string)
	b.do(200, "POST /v1/queues", `{"name":"work"}`)
	sub := b.do(200, "POST /v1/topics/news/subscriptions", `{"protocol":"sqs","endpoint":"work"}`)["id"].(string)
	route := " /v1/subscriptions/" + sub + "/replay"
	b.refused(422, "invalid", "from", "PUT"+route, `{"from":"2001-01-01T00:00:00Z"}`)
	b.refused(422, "invalid", "until", "PUT"+route, `{"from":"`+since+`","until":"2901-01-01T00:00:00Z"}`)
	b.refused(422, "invalid", "from", "PUT"+route, `{}`)
	b.refused(404, "not_found", "", "PUT /v1/subscriptions/"+sub[:len(sub)-1]+"1/replay", `{"from":"`+since+`"}`)
	asked := b.do(200, "PUT"+route, `{"from":"`+since+`"}`)
	require.Equal(t, object{"from": since, "state": "pending"}, asked["replay"])
	b.work()
	completed := func() {
		require.Eventually(t, func() bool {
			return b.do(200, "GET /v1/subscriptions/"+sub, "")["replay"].(object)["state"] == "completed"
		}, 20*queuetest.Slowdown*time.Second, 5*time.Millisecond)
	}
	completed()
	got := list(b.do(200, "POST /v1/queues/work/receive", `{"max":10}`), "messages")
	require.Len(t, got, 1)
	require.Contains(t, got[0]["body"], `"message":"old"`)
	require.Contains(t, got[0]["body"], `"replayed":true`)
	require.NotContains(t, b.do(200, "DELETE"+route, ""), "replay")

	const archived = "DELETE /v1/topics/news/archive/"
	b.refused(422, "invalid", "id", archived+"x", "")
	b.refused(404, "not_found", "", "DELETE /v1/topics/other/archive/"+old, "")
	b.do(204, archived+old, "")
	b.refused(404, "not_found", "", archived+old, "")
	b.do(200, "PUT"+route, `{"from":"`+since+`"}`)
	completed()
	require.Empty(t, list(b.do(200, "POST /v1/queues/work/receive", `{"max":10}`), "messages"), "it comes no more")

	ended := b.do(200, "PUT /v1/topics/news/archive", `{"archive_days":0}`)
	require.NotContains(t, ended, "archived_since")
	b.refused(422, "invalid", "replay", "PUT"+route, `{"from":"`+since+`"}`)
	b.do(204, "DELETE /v1/topics/news", "")
}
