package fcm_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
)

// fuzzed makes a channel whose FCM is the handler.
func fuzzed(f *testing.F, h http.HandlerFunc) *fcm.Channel {
	f.Helper()
	api := httptest.NewServer(h)
	f.Cleanup(api.Close)
	sb := start(f)
	return open(f, sb, func(o *fcm.Options) { o.Endpoint = api.URL })
}

// A payload is refused without a call, or arrives with all of its data.
func FuzzPayload(f *testing.F) {
	var got atomic.Value
	ch := fuzzed(f, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.Store(body)
		_, _ = w.Write([]byte(`{"name":"projects/p/messages/1"}`))
	})
	for _, seed := range []string{`{"data":{"k":"v"}}`, `{"android":{"ttl":"3.5s","notification":{"tag":"x"}}}`, `{"apns":{"payload":{"aps":{"alert":"x"}}}}`, `{"webpush":{"headers":{"TTL":"x"}}}`, `null`, `[]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		d := channeltest.Delivery(device(1), 1)
		d.Content.Payload = payload
		if payload == nil {
			return // no payload: the fields are sent
		}
		got.Store([]byte(nil))
		_, err := ch.Deliver(t.Context(), d)
		var e *channels.Error
		if errors.As(err, &e) {
			require.Equal(t, channels.Rejected, e.Kind)
			require.Empty(t, got.Load())
			return
		}
		var sent struct {
			Message struct {
				Token string
				Data  map[string]string
			}
		}
		var given struct{ Data map[string]string }
		require.NoError(t, json.Unmarshal(got.Load().([]byte), &sent))
		require.NoError(t, json.Unmarshal(payload, &given))
		require.Equal(t, device(1), sent.Message.Token)
		require.Len(t, sent.Message.Data, len(given.Data))
	})
}

// Whatever FCM answers is classified, by one request.
func FuzzAnswer(f *testing.F) {
	type answer struct {
		status int
		body   []byte
	}
	var next atomic.Pointer[answer]
	var asked atomic.Int64
	ch := fuzzed(f, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		a := next.Load()
		w.WriteHeader(a.status)
		_, _ = w.Write(a.body)
	})
	f.Add(503, []byte(`{"error":{"status":"UNAVAILABLE"}}`))
	f.Add(404, []byte(`{"error":{"details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}`))
	f.Add(400, []byte(`{"error":{"details":[{"fieldViolations":[{"field":"message.token"}]}]}}`))
	f.Add(200, []byte(`{"name":""}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		next.Store(&answer{status, body})
		asked.Store(0)
		_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1))
		require.EqualValues(t, 1, asked.Load())
		var e *channels.Error
		if errors.As(err, &e) {
			require.False(t, e.Unknown, "%v", err)
		} else {
			require.Equal(t, http.StatusOK, status)
		}
	})
}
