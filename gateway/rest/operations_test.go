package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	all := list(b.do(200, "GET /v1/accounts", ""), "accounts")
	require.Len(t, all, 2)
	require.Equal(t, "active", all[0]["state"])
	b.do(204, "POST /v1/accounts/twilio/main/pause", "")
	paused := list(b.do(200, "GET /v1/accounts", ""), "accounts")[0]
	require.Equal(t, "paused", paused["state"])
	require.Equal(t, "operator", paused["by"])
	require.NotEmpty(t, paused["since"])
	require.NotEmpty(t, paused["reason"])
	require.NotEmpty(t, paused["advice"])
	require.NotContains(t, paused, "next_probe")
	b.do(204, "POST /v1/accounts/twilio/main/resume", "")
	require.Equal(t, "active", list(b.do(200, "GET /v1/accounts", ""), "accounts")[0]["state"])
	b.refused(404, "not_found", "", "POST /v1/accounts/twilio/none/pause", "")
	b.refused(404, "not_found", "", "POST /v1/accounts/twilio/none/resume", "")
}

func TestSuppressions(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+1","reason":"asked for it"}`)
	b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+2"}`)
	page := b.do(200, "GET /v1/suppressions?limit=1", "")
	require.Equal(t, "+1", list(page, "suppressions")[0]["endpoint"])
	rest := list(b.do(200, "GET /v1/suppressions?cursor="+page["next"].(string), ""), "suppressions")
	require.Len(t, rest, 1)
	require.Equal(t, "+2", rest[0]["endpoint"])
	b.do(204, "DELETE /v1/suppressions?protocol=sms&endpoint=%2B1", "")
	b.refused(404, "not_found", "", "DELETE /v1/suppressions?protocol=sms&endpoint=%2B1", "")
	b.refused(422, "invalid", "endpoint", "DELETE /v1/suppressions?protocol=sms", "")
	b.refused(422, "invalid", "protocol", "POST /v1/suppressions", `{"protocol":"fax","endpoint":"1"}`)
	b.refused(422, "invalid", "endpoint", "POST /v1/suppressions", `{"protocol":"sms","endpoint":"bad"}`)
	b.refused(422, "invalid", "cursor", "GET /v1/suppressions?cursor=x", "")

	first := b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+3","topic":"news","reason":"first"}`)
	require.Equal(t, first, b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+3","topic":"news","reason":"second"}`))
	b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+3","lane":"bulk"}`)
	b.refused(404, "not_found", "", "DELETE /v1/suppressions?protocol=sms&endpoint=%2B3", "")
	b.do(204, "DELETE /v1/suppressions?protocol=sms&endpoint=%2B3&topic=news", "")
	b.do(204, "DELETE /v1/suppressions?protocol=sms&endpoint=%2B3&lane=bulk", "")
	b.refused(422, "invalid", "lane", "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+3","lane":"slow"}`)
	b.refused(422, "invalid", "lane", "POST /v1/suppressions", `{"protocol":"sms","endpoint":"+3","lane":"bulk","topic":"news"}`)
}

func TestTemplatesAreListedAndDeleted(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	for _, name := range []string{"hello", "hello", "a", "hello-you", "hello.all"} {
		b.do(200, "PUT /v1/templates/"+name, `{"text":"hello {{.name}}"}`)
	}
	var all []object
	for next := ""; ; {
		page := b.do(200, "GET /v1/templates?limit=2"+next, "")
		all = append(all, list(page, "templates")...)
		if page["next"] == nil {
			break
		}
		next = "&cursor=" + page["next"].(string)
	}
	require.Equal(t, []object{
		{"name": "a", "version": 1.0}, {"name": "hello", "version": 2.0}, {"name": "hello-you", "version": 1.0}, {"name": "hello.all", "version": 1.0},
	}, all)

	const publish = `{"to":{"protocol":"sms","endpoint":"+1"},"template":"hello","data":{"name":"Ana"}`
	queued := b.do(202, "POST /v1/publish", publish+`}`)
	b.do(204, "DELETE /v1/templates/hello", "")
	b.refused(404, "not_found", "", "DELETE /v1/templates/hello", "")
	b.refused(404, "not_found", "", "DELETE /v1/templates/none", "")
	b.refused(404, "not_found", "", "GET /v1/templates/hello", "")
	b.refused(404, "not_found", "", "GET /v1/templates/hello?version=1", "")
	b.refused(422, "invalid", "template", "POST /v1/publish", publish+`}`)
	b.refused(422, "invalid", "template", "POST /v1/publish", publish+`,"template_version":2}`)
	require.Len(t, list(b.do(200, "GET /v1/templates", ""), "templates"), 3)
	b.work()
	b.await("GET /v1/publishes/"+queued["id"].(string), func(p object) bool { return p["ledger"].(object)["sent"] == 1.0 })

	require.Equal(t, 3.0, b.do(200, "PUT /v1/templates/hello", `{"text":"good day {{.name}}"}`)["version"])
	require.Equal(t, "good day {{.name}}", b.do(200, "GET /v1/templates/hello", "")["text"])
	b.refused(404, "not_found", "", "GET /v1/templates/hello?version=2", "")
	require.Len(t, list(b.do(200, "GET /v1/templates", ""), "templates"), 4)
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	require.Equal(t, 1.0, b.do(200, "PUT /v1/templates/hello", `{"subject":"s","text":"hello {{.name}}","channels":{"sms":{"text":"hi {{.name}}"}}}`)["version"])
	require.Equal(t, 2.0, b.do(200, "PUT /v1/templates/hello", `{"text":"good day {{.name}}"}`)["version"])
	require.Equal(t, "good day {{.name}}", b.do(200, "GET /v1/templates/hello", "")["text"])
	require.Equal(t, "hello {{.name}}", b.do(200, "GET /v1/templates/hello?version=1", "")["text"])
	require.Equal(t, object{"subject": "s", "text": "hi Ana"}, b.do(200, "POST /v1/templates/hello/preview", `{"version":1,"channel":"sms","data":{"name":"Ana"}}`))
	require.Equal(t, object{"text": "good day Ana"}, b.do(200, "POST /v1/templates/hello/preview", `{"channel":"email","data":{"name":"Ana"}}`))
	b.refused(422, "invalid", "data", "POST /v1/templates/hello/preview", `{"channel":"sms","data":{}}`)
	b.refused(422, "invalid", "channel", "POST /v1/templates/hello/preview", `{"channel":"fax"}`)
	b.refused(422, "invalid", "template", "PUT /v1/templates/hello", `{"text":"{{.name"}`)
	b.refused(422, "invalid", "template", "PUT /v1/templates/hello", `{}`)
	b.refused(404, "not_found", "", "GET /v1/templates/none", "")
	b.refused(404, "not_found", "", "GET /v1/templates/hello?version=3", "")
	b.refused(404, "not_found", "", "POST /v1/templates/none/preview", `{"channel":"sms"}`)
}
