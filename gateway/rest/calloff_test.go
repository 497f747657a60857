package rest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAScheduledPublishIsCalledOff at once: nobody waits until it would have
// been sent to learn that it was not.
func TestAScheduledPublishIsCalledOff(t *testing.T) {
	t.Parallel()
	b := open(t, nil)
	b.do(200, "POST /v1/topics", `{"name":"alerts"}`)
	b.do(200, subscribe, `{"protocol":"sms","endpoint":"+1"}`)
	b.work()
	at := `,"message":"m","send_at":"` + time.Now().Add(4*time.Second).UTC().Format(time.RFC3339Nano) + `"}`
	var next []string
	called := map[string]object{}
	for to, deliveries := range map[string]float64{`{"to":{"protocol":"sms","endpoint":"+2"}`: 1, `{"topic":"alerts"`: 0} {
		p := b.do(202, "POST /v1/publish", to+at)
		require.Equal(t, "scheduled", p["phase"])
		path := "/v1/publishes/" + p["id"].(string)
		off := b.do(200, "POST "+path+"/cancel", "")
		require.Equal(t, "cancelled", off["phase"])
		got := b.do(200, "GET "+path, "")
		require.Equal(t, "cancelled", got["phase"])
		require.Equal(t, "cancelled", got["control"])
		require.NotEmpty(t, got["completed_at"])
		require.Equal(t, deliveries, got["total"])
		require.Equal(t, deliveries, got["ledger"].(object)["cancelled"])
		for _, d := range list(b.do(200, "GET "+path+"/deliveries", ""), "deliveries") {
			require.Equal(t, "cancelled", d["state"])
		}
		b.do(200, "POST "+path+"/cancel", "") // once more
		b.refused(409, "state", "", "POST "+path+"/resume", "")
		called[path] = got
		next = append(next, b.do(202, "POST /v1/publish", to+at)["id"].(string))
	}
	for _, id := range next { // their time comes, and with it that of the others
		b.await("GET /v1/publishes/"+id, func(p object) bool { return p["phase"] == "completed" || p["phase"] == "expanded" && p["total"] == 1.0 })
	}
	for path, got := range called {
		require.Equal(t, got, b.do(200, "GET "+path, ""))
	}
	require.Len(t, list(b.do(200, "GET /v1/publishes?phase=cancelled", ""), "publishes"), 2)
	n, err := b.room.Audit()
	require.NoError(t, err)
	require.Zero(t, n)
}
