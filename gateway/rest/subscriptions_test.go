package rest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
	"github.com/fanfare-gateway/fanfare/topics"
)

const subscribe = "POST /v1/topics/alerts/subscriptions"

// audience publishes to the topic and tells how many deliveries that makes.
func (b *bench) audience(more string) float64 {
	b.t.Helper()
	p := b.do(202, "POST /v1/publish", `{"topic":"alerts","message":"{\"level\":4}"`+more+`}`)
	return b.do(200, "GET /v1/publishes/"+p["id"].(string), "")["total"].(float64)
}

func TestAFilterChoosesWhatASubscriptionGets(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	by := b.do(200, subscribe, `{"protocol":"sms","endpoint":"+1","filter":{"policy":{"severity": ["high"]}}}`)
	require.Equal(t, object{"policy": object{"severity": []any{"high"}}, "scope": "MessageAttributes"}, by["filter"])
	require.Equal(t, by, b.do(200, "GET /v1/subscriptions/"+by["id"].(string), ""))
	require.Len(t, b.imported(`{"protocol":"sms","endpoint":"+2","filter":{"policy":{"level":[{"numeric":[">",3]}]},"scope":"MessageBody"}}`), 1)

	require.Equal(t, 1.0, b.audience(""), "only the one that looks at the message")
	const high = `,"attributes":{"severity":{"type":"String","value":"high"}}`
	require.Equal(t, 2.0, b.audience(high))

	route := "PATCH /v1/subscriptions/" + by["id"].(string)
	changed := b.do(200, route, `{"filter":{"policy":{"severity":["low"]}}}`)
	require.Equal(t, object{"severity": []any{"low"}}, changed["filter"].(object)["policy"])
	require.Equal(t, 1.0, b.audience(high))
	require.NotContains(t, b.do(200, route, `{"filter":null}`), "filter")
	require.Equal(t, 2.0, b.audience(""))
}

func TestChangesOfASubscription(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, "POST /v1/queues", `{"name":"dead"}`)
	hook := b.do(200, subscribe, `{"protocol":"https","endpoint":"https://a.example/"}`)
	route := "PATCH /v1/subscriptions/" + hook["id"].(string)
	delete(hook, "secret")
	require.Equal(t, hook, b.do(200, route, `{}`), "nothing was asked for")
	require.Equal(t, hook, b.do(200, route, `{}`, "Content-Type: application/merge-patch+json"))

	changed := b.do(200, route, `{"raw":true,"recipient":"ana","dead_letter_queue":"dead","retry":{"phases":[{"tries":2,"from":"1s"}]}}`)
	require.Equal(t, changed, b.do(200, "GET /v1/subscriptions/"+hook["id"].(string), ""))
	for field, want := range map[string]any{"raw": true, "recipient": "ana", "dead_letter_queue": "dead"} {
		require.Equal(t, want, changed[field])
	}
	require.Contains(t, changed, "retry")
	require.Equal(t, hook, b.do(200, route, `{"raw":null,"recipient":null,"dead_letter_queue":null,"retry":null}`), "as it was")

	b.refused(404, "not_found", "", "PATCH /v1/subscriptions/sub_"+strings.Repeat("0", 12)+"8"+strings.Repeat("0", 3)+"8"+strings.Repeat("0", 15), `{}`)
	for _, c := range []struct{ field, body string }{
		{"endpoint", `{"recipient":"bob","endpoint":"https://b.example/"}`},
		{"raw", `{"raw":"yes"}`},
		{"filter.policy", `{"recipient":"bob","filter":{"policy":{"a":"b"}}}`},
		{"filter.policy", `{"recipient":"bob","filter":{"policy":[]}}`},
		{"filter.policy", `{"recipient":"bob","filter":{}}`},
		{"filter.scope", `{"recipient":"bob","filter":{"policy":{},"scope":"body"}}`},
		{"retry.phases[0].from", `{"recipient":"bob","retry":{"phases":[{"tries":1,"from":"soon"}]}}`},
		{"dead_letter_queue", `{"recipient":"bob","dead_letter_queue":"nowhere"}`},
		{"recipient", `{"raw":true,"recipient":"` + strings.Repeat("r", 257) + `"}`},
		{"disabled", `{"recipient":"bob","disabled":"` + strings.Repeat("r", 257) + `"}`},
		{"secret", `{"recipient":"bob","secret":"whsec_c2hvcnQ="}`},
	} {
		p := b.refused(422, "invalid", c.field, route, c.body)
		require.NotContains(t, p.Detail, "Source:")
	}
	require.Equal(t, hook, b.do(200, "GET /v1/subscriptions/"+hook["id"].(string), ""), "nothing of it was written")

	sms := b.do(200, subscribe, `{"protocol":"sms","endpoint":"+1"}`)
	b.refused(422, "invalid", "raw", "PATCH /v1/subscriptions/"+sms["id"].(string), `{"raw":true}`)
	b.refused(422, "invalid", "secret", "PATCH /v1/subscriptions/"+sms["id"].(string), `{"secret":null}`)
}

func TestWhatIsWrongWithAFilterIsNamed(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	for _, c := range []struct{ field, more string }{
		{"filter.policy", `"filter":{"policy":{"a":"b"}}`},
		{"filter.policy", `"filter":{"policy":{"a":[{"like":"b"}]}}`},
		{"filter.policy", `"filter":{"policy":{"a":{"b":["c"]}},"scope":"MessageAttributes"}`},
		{"filter.policy", `"filter":{"scope":"MessageBody"}`},
		{"filter.scope", `"filter":{"policy":{},"scope":"Topic"}`},
		{"raw", `"raw":true`},
		{"dead_letter_queue", `"dead_letter_queue":"nowhere"`},
	} {
		body := `{"protocol":"sms","endpoint":"+1",` + c.more + `}`
		b.refused(422, "invalid", c.field, subscribe, body)
		got := b.imported(body)
		require.Len(t, got, 2)
		require.Equal(t, c.field, got[0].Field, c.more)
		require.NotContains(t, got[0].Error, "Source:")
	}
	require.Empty(t, list(b.do(200, "GET /v1/topics/alerts/subscriptions", ""), "subscriptions"))
}

// TestASecretIsRotated: while receivers change over, both sign.
func TestASecretIsRotated(t *testing.T) {
	t.Parallel()
	got := make(chan []string, 1)
	b := open(t, nil)
	require.NoError(t, b.pool.Put(t.Context(), channels.AccountOptions{
		Name: "webhook/default", Protocol: "webhook", Provider: "webhook", Channel: seen{secrets: got}, Idempotent: true,
	}))
	b.work()
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	hook := b.do(200, subscribe, `{"protocol":"https","endpoint":"https://a.example/"}`)
	route := "PATCH /v1/subscriptions/" + hook["id"].(string)
	made := b.do(200, route, `{"secret":null}`)
	require.NotEqual(t, hook["secret"], made["secret"])
	b.audience("")
	require.Equal(t, []string{made["secret"].(string), hook["secret"].(string)}, <-got)
	own := "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	require.Equal(t, own, b.do(200, route, `{"secret":"`+own+`"}`)["secret"])
	b.audience("")
	require.Equal(t, []string{own, made["secret"].(string)}, <-got)
	b.do(200, route, `{"secret":"`+own+`"}`)
	b.audience("")
	require.Equal(t, []string{own}, <-got, "given once more, it is the only one")
	private := "whsk_VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk="
	require.Equal(t, private, b.do(200, route, `{"secret":"`+private+`"}`)["secret"])
	b.audience("")
	require.Equal(t, []string{private, own}, <-got, "both sign")
}

// seen tells what a delivery was to be signed with.
type seen struct {
	provider
	secrets chan []string
}

func (s seen) Deliver(_ context.Context, d channels.Delivery) (channels.Receipt, error) {
	s.secrets <- d.Secrets
	return channels.Receipt{}, nil
}

func TestASubscriptionIsDisabledAndEnabledAgain(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	sms := b.do(200, subscribe, `{"protocol":"sms","endpoint":"+1"}`)
	route := "PATCH /v1/subscriptions/" + sms["id"].(string)
	off := b.do(200, route, `{"disabled":"on holiday"}`)
	require.Equal(t, "on holiday", off["disabled"])
	require.NotEmpty(t, off["disabled_since"])
	require.Zero(t, b.audience(""))
	for _, body := range []string{`{"disabled":null}`, `{"disabled":""}`} {
		on := b.do(200, route, body)
		require.NotContains(t, on, "disabled")
		require.NotContains(t, on, "disabled_since")
		require.Equal(t, 1.0, b.audience(""))
		b.do(200, route, `{"disabled":"again"}`)
	}
}

// TestOtherSettingsOfTheSameEndpointAreNotPassedOver: what is asked for holds,
// or it is said that it does not.
func TestOtherSettingsOfTheSameEndpointAreNotPassedOver(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	const plain, low = `{"protocol":"http","endpoint":"http://a.example/"`, `,"filter":{"policy":{"a":["low"]}}}`
	first := b.do(200, subscribe, plain+low)
	id := first["id"].(string)
	require.Equal(t, id, b.do(200, subscribe, plain+low)["id"])
	require.Equal(t, id, b.do(200, subscribe, plain+`}`)["id"], "nothing is said of it")
	b.do(200, "PATCH /v1/subscriptions/"+id, `{"disabled":"for now"}`)
	for field, more := range map[string]string{
		"filter": `"filter":{"policy":{"a":["high"]}}`, "raw": `"raw":true`, "recipient": `"recipient":"ana"`, "retry": `"retry":{"phases":[]}`,
	} {
		p := b.refused(409, "conflict", "", subscribe, plain+`,`+more+`}`)
		require.Contains(t, p.Detail, field)
		require.Contains(t, p.Detail, id)
		got := b.imported(plain + `,` + more + `}`)
		require.Equal(t, rest.ImportLine{Line: 1, Error: got[0].Error}, got[0])
		require.Contains(t, got[0].Error, field)
	}
	require.Contains(t, b.do(200, "GET /v1/subscriptions/"+id, ""), "disabled", "who is refused enables nothing")
	require.NotContains(t, b.do(200, subscribe, plain+`}`), "disabled")
}

// TestWhatAnotherFaceMade keeps to what that face has.
func TestWhatAnotherFaceMade(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	made, err := b.room.Subscribe(t.Context(), topics.DefaultOwner, topics.Subscription{
		Topic: "alerts", Protocol: "http", Endpoint: "http://a.example/", Face: "sns", Pending: true,
	})
	require.NoError(t, err)
	route := "PATCH /v1/subscriptions/" + topics.SubscriptionName(made.ID)
	require.Equal(t, true, b.do(200, route, `{"raw":true,"filter":{"policy":{"a":["b"]}}}`)["pending"])
	b.refused(422, "invalid", "retry", route, `{"retry":null}`)
	b.refused(422, "invalid", "secret", route, `{"secret":null}`)
}
