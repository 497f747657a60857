package function_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/function"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestEventAsSNSHasIt(t *testing.T) {
	t.Parallel()
	sb := start(t)
	d := channeltest.Delivery("orders:live", 1)
	d.Topic, d.Subscription = "arn:aws:sns:eu-west-1:123456789012:alerts", "arn:aws:sns:eu-west-1:123456789012:alerts:1"
	d.PublishedAt = time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.FixedZone("", 3600))
	d.Content.Text = "für <you> & 🎉"
	d.Attributes = map[string]channels.Attribute{"kind": {Type: "String", Value: "new"}}
	d.UnsubscribeURL = "https://example.com/u"
	receipt, err := open(t, options(t, sb)).Deliver(t.Context(), d)
	require.NoError(t, err)

	got := sb.Inbox(sandbox.ProviderLambda, "orders:live")[0]
	require.Equal(t, channels.Receipt{ProviderID: got.ID, Delivered: true}, receipt)
	require.Equal(t, d.ID.Hex(), got.Delivery)
	require.JSONEq(t, `{"Records": [{
		"EventSource": "aws:sns", "EventVersion": "1.0",
		"EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:alerts:1",
		"Sns": {
			"Type": "Notification", "MessageId": "`+d.Publish.String()+`",
			"TopicArn": "arn:aws:sns:eu-west-1:123456789012:alerts", "Subject": "Subject",
			"Message": "für <you> & 🎉", "Timestamp": "2026-03-04T04:06:07.089Z",
			"SignatureVersion": "1", "Signature": "", "SigningCertUrl": "", "UnsubscribeUrl": "https://example.com/u",
			"MessageAttributes": {
				"kind": {"Type": "String", "Value": "new"},
				"`+function.DeliveryAttribute+`": {"Type": "String", "Value": "`+d.ID.Hex()+`"}
			}
		}
	}]}`, got.Body)
	require.Contains(t, got.Body, "<you> &", "as short as the text is")
}

func TestSubjectIsNullWithoutOne(t *testing.T) {
	t.Parallel()
	sb := start(t)
	d := channeltest.Delivery("orders", 1)
	d.Content.Subject = ""
	_, err := open(t, options(t, sb)).Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Contains(t, sb.Inbox(sandbox.ProviderLambda, "orders")[0].Body, `"Subject":null`)
}

func TestPayload(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c := open(t, options(t, sb))
	d := channeltest.Delivery("orders", 1)
	d.Content.Payload = []byte(`{"own": [1, 2]}`)
	_, err := c.Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, string(d.Content.Payload), sb.Inbox(sandbox.ProviderLambda, "orders")[0].Body)

	d.Content.Payload = []byte("no JSON")
	_, err = c.Deliver(t.Context(), d)
	require.Equal(t, "InvalidRequestContentException", requireKind(t, channels.Rejected, err).Code)
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	for kind, limit := range map[string]int{function.Event: 1 << 20, function.RequestResponse: 6 << 20} {
		o.InvocationType = kind
		c := open(t, o)
		d := channeltest.Delivery(kind, 1)
		d.Content.Payload = json.RawMessage(`"` + strings.Repeat("x", limit-2) + `"`)
		_, err := c.Deliver(t.Context(), d)
		require.NoError(t, err, "%s of %d bytes", kind, limit)
		d.Content.Payload = append(d.Content.Payload, ' ')
		_, err = c.Deliver(t.Context(), d)
		require.Equal(t, "too_large", requireKind(t, channels.Rejected, err).Code)
		require.Len(t, sb.Requests(sandbox.ProviderLambda, kind), 1, "no call for what cannot go")
	}
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("no name", 1))
	require.Equal(t, "bad_endpoint", requireKind(t, channels.Rejected, err).Code)
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for name, k := range map[string]struct {
		status int
		header [2]string
		body   string
		kind   channels.Kind
		code   string
	}{
		"a proxy's page":             {502, [2]string{}, "<html>leak</html>", channels.Temporary, ""},
		"a proxy's refusal":          {403, [2]string{}, "<html>leak</html>", channels.AccountFault, ""},
		"a long page":                {503, [2]string{}, strings.Repeat("leak", 1<<18), channels.Temporary, ""},
		"a function error like none": {200, [2]string{"X-Amz-Function-Error", "<leak>"}, "null", channels.Temporary, "function_error:"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var count atomic.Int32
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				count.Add(1)
				if k.header[0] != "" {
					w.Header().Set(k.header[0], k.header[1])
				}
				w.WriteHeader(k.status)
				_, _ = w.Write([]byte(k.body))
			}))
			defer srv.Close()
			o := account(t)
			o.Endpoint = srv.URL
			_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("orders", 1))
			require.Equal(t, k.code, requireKind(t, k.kind, err).Code)
			require.NotContains(t, err.Error(), "leak")
			require.EqualValues(t, 1, count.Load())
		})
	}
}

func TestLongResultIsNotRead(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	o := account(t)
	o.Endpoint, o.InvocationType = srv.URL, function.RequestResponse
	receipt, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("orders", 1))
	require.NoError(t, err)
	require.True(t, receipt.Delivered)
}

func TestGuard(t *testing.T) {
	t.Parallel()
	o := account(t)
	o.Endpoint, o.Control = "http://127.0.0.1:9", channels.Guard{}.Control
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("orders", 1))
	require.Equal(t, "blocked_address", requireKind(t, channels.Rejected, err).Code)
}
