package rest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

const refusedCause = `"cause":{"protocol":"sms","account":"twilio/main","kind":"rejected","code":"21211"}`

// failing publishes to endpoints that fail and waits until they have.
func (b *bench) failing(endpoints ...string) (publish string) {
	b.t.Helper()
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	for _, end := range endpoints {
		b.do(200, "POST /v1/topics/alerts/subscriptions", `{"protocol":"sms","endpoint":"`+end+`"}`)
	}
	publish = b.do(202, "POST /v1/publish", `{"topic":"alerts","message":"m"}`)["id"].(string)
	b.await("GET /v1/publishes/"+publish, func(o object) bool { return o["ledger"].(object)["failed"] == float64(len(endpoints)) })
	return publish
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.work()
	id := b.failing("fail1", "fail2", "fail3")
	dead := list(b.do(200, "GET /v1/dead-letters", ""), "dead_letters")
	require.Len(t, dead, 1)
	require.Equal(t, "21211", dead[0]["code"])
	require.Equal(t, 3.0, dead[0]["count"])
	require.NotEmpty(t, dead[0]["action"])
	require.NotEmpty(t, dead[0]["first"])
	require.NotEmpty(t, dead[0]["last"])

	b.do(200, "POST /v1/suppressions", `{"protocol":"sms","endpoint":"fail3"}`)
	require.Equal(t, object{
		"count": 3.0, "dry_run": true, "examined": 3.0, "lanes": object{"transactional": 2.0}, "skip": object{"suppressed": 1.0},
	}, b.do(200, "POST /v1/dead-letters/redrive", `{`+refusedCause+`,"dry_run":true}`))
	require.Empty(t, list(b.do(200, "GET /v1/redrives", ""), "redrives"))

	begun := b.do(200, "POST /v1/dead-letters/redrive", `{`+refusedCause+`,"rate":100}`)
	require.Equal(t, 3.0, begun["count"])
	name := begun["id"].(string)
	done := b.await("GET /v1/redrives/"+name, func(o object) bool { return o["state"] == "done" })
	require.Equal(t, []any{3.0, 2.0, 1.0, 100.0}, []any{done["total"], done["done"], done["skipped"], done["rate"]})
	require.Equal(t, []object{done}, list(b.do(200, "GET /v1/redrives", ""), "redrives"))
	// What fails again is not redriven again.
	for _, d := range list(b.do(200, "GET /v1/publishes/"+id+"/deliveries", ""), "deliveries")[:2] {
		b.await("GET /v1/deliveries/"+d["id"].(string), func(o object) bool { return len(o["failed_attempts"].([]any)) == 2 })
	}
}

func TestARedriveIsCancelled(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.work()
	var endpoints []string
	for n := range 30 { // half a minute of work
		endpoints = append(endpoints, fmt.Sprint("fail", n))
	}
	b.failing(endpoints...)
	const route = "POST /v1/dead-letters/redrive"
	name := b.do(200, route, `{`+refusedCause+`,"rate":1}`)["id"].(string)
	b.refused(409, "conflict", "", route, `{`+refusedCause+`}`)
	require.Equal(t, "running", b.do(200, "GET /v1/redrives/"+name, "")["state"])
	require.Equal(t, "cancelled", b.do(200, "DELETE /v1/redrives/"+name, "")["state"])
	b.refused(409, "state", "", "DELETE /v1/redrives/"+name, "")
	require.NotEmpty(t, b.do(200, "GET /v1/redrives/"+name, "")["ended"])

	for _, method := range []string{"GET", "DELETE"} {
		b.refused(404, "not_found", "", method+" /v1/redrives/red_"+b.store.NewID(0).Hex(), "")
		b.refused(422, "invalid", "id", method+" /v1/redrives/1", "")
	}
	b.refused(404, "not_found", "", route, `{"cause":{"protocol":"sms","account":"a","kind":"k","code":"c"}}`)
	b.refused(422, "invalid", "rate", route, `{`+refusedCause+`,"rate":0}`)
	b.refused(422, "invalid", "rate", route, `{`+refusedCause+`,"rate":10001}`)
	b.refused(422, "invalid", "cause", route, `{}`)
}
