package rest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	made := b.do(200, "POST /v1/topics", `{"name":"alerts","display_name":"Alerts","on_uncertain":"hold","tags":{"team":"ops"}}`)
	require.Equal(t, "alerts", made["name"])
	require.Equal(t, made, b.do(200, "POST /v1/topics", `{"name":"alerts","display_name":"Alerts","on_uncertain":"hold"}`), "same again")
	require.Equal(t, made, b.do(200, "GET /v1/topics/alerts", ""))
	b.refused(409, "conflict", "", "POST /v1/topics", `{"name":"alerts","display_name":"Other"}`)
	b.do(200, "POST /v1/topics", `{"name":"news"}`)

	first := b.do(200, "GET /v1/topics?limit=1", "")
	require.Equal(t, "alerts", list(first, "topics")[0]["name"])
	second := b.do(200, "GET /v1/topics?limit=5&cursor="+first["next"].(string), "")
	require.Equal(t, "news", list(second, "topics")[0]["name"])
	require.NotContains(t, second, "next")

	events := b.do(200, "POST /v1/topics/fanfare.events/subscriptions", `{"protocol":"sms","endpoint":"+1"}`)
	require.Equal(t, "fanfare.events", events["topic"])
	require.NotContains(t, b.do(200, "GET /v1/topics/fanfare.events", ""), "created", "nobody made it")
	b.refused(422, "invalid", "name", "POST /v1/topics", `{"name":"fanfare.events"}`)
	b.refused(422, "invalid", "topic", "DELETE /v1/topics/fanfare.events", "")
	b.refused(422, "invalid", "topic", "POST /v1/publish", `{"topic":"fanfare.events","message":"m"}`)

	b.do(204, "DELETE /v1/topics/alerts", "")
	b.refused(404, "not_found", "", "GET /v1/topics/alerts", "")
	b.refused(404, "not_found", "", "DELETE /v1/topics/alerts", "")
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	const route = "/v1/topics/alerts/subscriptions"
	sms := b.do(200, "POST "+route, `{"protocol":"sms","endpoint":"+491510000001","recipient":"ana",
		"retry":{"phases":[{"tries":3,"from":"1s","to":"10s","backoff":"exponential"}],"max_age":"1h"}}`)
	require.Equal(t, "twilio/main", sms["account"])
	require.NotContains(t, sms, "secret")
	require.Equal(t, object{"max_age": "1h0m0s", "phases": []any{object{"tries": 3.0, "from": "1s", "to": "10s", "backoff": "exponential"}}}, sms["retry"])
	got := b.do(200, "GET /v1/subscriptions/"+sms["id"].(string), "")
	require.Equal(t, sms, got)

	t.Run("secret only when made", func(t *testing.T) {
		hook := b.do(200, "POST "+route, `{"protocol":"https","endpoint":"https://a.example/hook"}`)
		require.True(t, strings.HasPrefix(hook["secret"].(string), "whsec_"))
		require.NotContains(t, b.do(200, "GET /v1/subscriptions/"+hook["id"].(string), ""), "secret")
		again := b.do(200, "POST "+route, `{"protocol":"https","endpoint":"https://a.example/hook"}`)
		require.Equal(t, hook["id"], again["id"])
		require.NotContains(t, again, "secret", "the first one's is not shown again")
		own := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		hook = b.do(200, "POST "+route, `{"protocol":"http","endpoint":"http://b.example/","secret":"`+own+`"}`)
		require.Equal(t, own, hook["secret"])
	})
	t.Run("pages", func(t *testing.T) {
		var seen []object
		for cursor := ""; ; {
			page := b.do(200, "GET "+route+"?limit=2"+cursor, "")
			seen = append(seen, list(page, "subscriptions")...)
			if page["next"] == nil {
				break
			}
			cursor = "&cursor=" + page["next"].(string)
		}
		require.Len(t, seen, 3)
		for _, s := range seen {
			require.NotContains(t, s, "secret")
		}
	})
	b.do(204, "DELETE /v1/subscriptions/"+sms["id"].(string), "")
	b.refused(404, "not_found", "", "GET /v1/subscriptions/"+sms["id"].(string), "")
	b.refused(404, "not_found", "", "DELETE /v1/subscriptions/"+sms["id"].(string), "")
}

func TestSubscriptionsRefused(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	for _, c := range []struct{ name, field, body string }{
		{"unknown protocol", "protocol", `{"protocol":"fax","endpoint":"1"}`},
		{"no account", "protocol", `{"protocol":"email","endpoint":"a@b.example"}`},
		{"unknown account", "account", `{"protocol":"sms","endpoint":"1","account":"twilio/other"}`},
		{"other protocol's account", "account", `{"protocol":"sms","endpoint":"1","account":"webhook/default"}`},
		{"bad endpoint", "endpoint", `{"protocol":"sms","endpoint":"bad"}`},
		{"long recipient", "recipient", `{"protocol":"sms","endpoint":"1","recipient":"` + strings.Repeat("r", 257) + `"}`},
		{"missing endpoint", "endpoint", `{"protocol":"sms"}`},
		{"wrong scheme", "endpoint", `{"protocol":"https","endpoint":"http://a.example/"}`},
		{"unknown queue", "endpoint", `{"protocol":"sqs","endpoint":"nowhere"}`},
		{"unknown field", "colour", `{"protocol":"sms","endpoint":"1","colour":"red"}`},
		{"wrong type", "raw", `{"protocol":"sms","endpoint":"1","raw":"yes"}`},
		{"short secret", "secret", `{"protocol":"https","endpoint":"https://a.example","secret":"whsec_c2hvcnQ="}`},
		{"short private key", "secret", `{"protocol":"https","endpoint":"https://a.example","secret":"whsk_c2hvcnQ="}`},
		{"needless secret", "secret", `{"protocol":"sms","endpoint":"1","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`},
		{"bad duration", "retry.phases[0].from", `{"protocol":"sms","endpoint":"1","retry":{"phases":[{"tries":1,"from":"soon"}]}}`},
		{"waits that shrink", "retry.phases[1].to", `{"protocol":"sms","endpoint":"1","retry":{"phases":[{"tries":1,"from":"1s"},{"tries":1,"from":"2s","to":"1s"}]}}`},
		{"no tries", "retry.phases[0].tries", `{"protocol":"sms","endpoint":"1","retry":{"phases":[{"tries":0,"from":"1s"}]}}`},
		{"unknown backoff", "retry.phases[0].backoff", `{"protocol":"sms","endpoint":"1","retry":{"phases":[{"tries":1,"from":"1s","backoff":"odd"}]}}`},
		{"bad age", "retry.max_age", `{"protocol":"sms","endpoint":"1","retry":{"phases":[],"max_age":"-1h"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.refused(422, "invalid", c.field, "POST /v1/topics/alerts/subscriptions", c.body)
		})
	}
	require.Empty(t, list(b.do(200, "GET /v1/topics/alerts/subscriptions", ""), "subscriptions"), "nothing was written")
}

// imported sends an import and returns the lines of its answer.
func (b *bench) imported(body string) []rest.ImportLine {
	b.t.Helper()
	res, text := b.send("POST /v1/topics/alerts/subscriptions/import", body, "Content-Type: application/x-ndjson")
	require.Equal(b.t, http.StatusOK, res.StatusCode, text)
	require.Equal(b.t, "application/x-ndjson", res.Header.Get("Content-Type"))
	var out []rest.ImportLine
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		var l rest.ImportLine
		require.NoError(b.t, json.Unmarshal(lines.Bytes(), &l), lines.Text())
		out = append(out, l)
	}
	return out
}

func TestImport(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) { o.MaxImport = 200_000 })
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	var body strings.Builder
	for n := range 2100 {
		switch n {
		case 2:
			body.WriteString("not JSON\n")
		case 4:
			body.WriteString(`{"protocol":"sms","endpoint":"bad"}` + "\n")
		case 1500:
			body.WriteString(`{"protocol":"sms","endpoint":"1","colour":1}` + "\n")
		case 1501:
			body.WriteString(`{"protocol":"sms","endpoint":1}` + "\n")
		case 1502:
			body.WriteString("\n")
		case 1503:
			body.WriteString(`{"protocol":"https","endpoint":"https://a.example/"}` + "\n")
		default:
			fmt.Fprintf(&body, `{"protocol":"sms","endpoint":"+4915%07d"}`+"\n", n)
		}
	}
	got := b.imported(body.String())
	require.Len(t, got, 8)
	require.True(t, strings.HasPrefix(got[5].Secret, "whsec_"))
	require.NotEmpty(t, got[5].ID)
	got[5].Secret, got[5].ID = "", ""
	require.Equal(t, []rest.ImportLine{
		{Line: 3, Error: "must be one JSON object"},
		{Line: 5, Field: "endpoint", Error: "must not be bad"},
		{Lines: 1000, Refused: 2},
		{Line: 1501, Field: "colour", Error: "is no field of a subscription"},
		{Line: 1502, Field: "endpoint", Error: "must be string, not number"},
		{Line: 1504},
		{Lines: 2000, Refused: 4},
		{Done: true, Lines: 2100, Refused: 4},
	}, got)
	count := 0
	for cursor := ""; ; {
		page := b.do(200, "GET /v1/topics/alerts/subscriptions?limit=1000"+cursor, "")
		count += len(list(page, "subscriptions"))
		if page["next"] == nil {
			break
		}
		cursor = "&cursor=" + page["next"].(string)
	}
	require.Equal(t, 2100-5, count)

	t.Run("the same endpoint in one import", func(t *testing.T) {
		b.do(200, "POST /v1/topics", `{"name":"twice"}`)
		const line = `{"protocol":"https","endpoint":"https://a.example/"}` + "\n"
		_, text := b.send("POST /v1/topics/twice/subscriptions/import", line+line, "Content-Type: application/x-ndjson")
		require.Equal(t, 1, strings.Count(text, "whsec_"), text)
		require.Len(t, list(b.do(200, "GET /v1/topics/twice/subscriptions", ""), "subscriptions"), 1)
		_, text = b.send("POST /v1/topics/twice/subscriptions/import", line, "Content-Type: application/x-ndjson")
		require.NotContains(t, text, "whsec_", "it has its secret already")
	})
	t.Run("bounds", func(t *testing.T) {
		const route = "POST /v1/topics/alerts/subscriptions/import"
		b.refused(413, "too_large", "", route, strings.Repeat(" ", 200_001))
		b.refused(415, "content_type", "", route, "x", "Content-Type: text/csv")
		b.refused(404, "not_found", "", "POST /v1/topics/none/subscriptions/import", "x")
		got := b.imported(`{"protocol":"sms","endpoint":"+1"}` + "\n" + strings.Repeat("\n", 10) + "{} {}")
		require.Equal(t, []rest.ImportLine{{Line: 12, Error: "must be one JSON object"}, {Done: true, Lines: 12, Refused: 1}}, got)
	})
}
