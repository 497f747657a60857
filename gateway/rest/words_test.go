package rest_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
)

// engineWords are how the engine tells its callers what is wrong. Who uses the
// API knows no records, keys and shards.
var engineWords = regexp.MustCompile(`(?i)record|shard|key must|keys? of|revision|invalid argument|sqs/|local/|registry|prefix|batch`)

// TestTheEngineIsNotHeard asks every route for names, ids and pages that cannot
// be: what is answered is the API's own word.
func TestTheEngineIsNotHeard(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	var doc struct {
		Paths map[string]map[string]operation
	}
	_, text := b.send("GET /openapi.json", "")
	require.NoError(t, json.Unmarshal([]byte(text), &doc))
	long := strings.Repeat("a", 5000)
	id := queue.MakeID(time.Now(), 200, 1, 0).Hex() // of a shard that is not there
	suppression, err := json.Marshal(map[string]string{"protocol": "sms", "endpoint": long, "topic": long})
	require.NoError(t, err)
	odd := []string{
		long, "%00", "a%2Fb", "sub_" + id, "pub_" + id, "dlv_" + strings.TrimSuffix(id, "0") + "1", "red_" + id,
		base64.RawURLEncoding.EncodeToString(suppression),
	}
	asked := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			for _, value := range odd {
				route, query := path, url.Values{}
				for _, p := range op.Parameters {
					switch text, _ := p.Schema["type"].(string); {
					case p.In == "path":
						route = strings.ReplaceAll(route, "{"+p.Name+"}", value)
					case p.In == "query" && text == "string" && p.Schema["enum"] == nil:
						query.Set(p.Name, strings.ReplaceAll(value, "%00", "\x00"))
					}
				}
				for _, q := range []string{"", "?" + query.Encode()} {
					for _, body := range []string{"", `{}`, `{"body":"x","handle":"x","handles":["x"],"text":"x","channel":"sms","archive_days":1,"protocol":"sms","endpoint":"` + long + `"}`} {
						res, text := b.send(strings.ToUpper(method)+" "+route+q, body)
						asked++
						require.Less(t, res.StatusCode, 500, "%s %s: %s", method, route+q, text)
						if res.StatusCode >= http.StatusBadRequest {
							require.NotRegexp(t, engineWords, strings.ReplaceAll(text, "Idempotency-Key", ""), "%s %s", method, route)
							require.Less(t, len(text), 2000, "%s %s", method, path)
						}
					}
				}
			}
		}
	}
	require.Greater(t, asked, 1000)

	b.refused(404, "not_found", "", "GET /v1/topics/"+long, "")
	b.refused(404, "not_found", "", "DELETE /v1/topics/"+long, "")
	b.refused(404, "not_found", "", "GET /v1/queues/"+long, "")
	b.refused(404, "not_found", "", "POST /v1/publish", `{"topic":"`+long+`","message":"m"}`)
	b.refused(422, "invalid", "template", "POST /v1/publish", `{"to":{"protocol":"sms","endpoint":"+1"},"template":"`+long+`"}`)
	b.refused(422, "invalid", "dead_letter", "POST /v1/queues", `{"name":"q","max_receives":1,"dead_letter":"`+long+`"}`)
	b.refused(422, "invalid", "endpoint", "POST /v1/suppressions", `{"protocol":"sms","endpoint":"`+long+`"}`)
}
