package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/webhook"
)

// only is the one request a receiver saw.
func only(t *testing.T, sb *sandbox.Server, endpoint string) sandbox.Item {
	t.Helper()
	items := sb.Requests(sandbox.ProviderWebhook, endpoint)
	require.Len(t, items, 1)
	return items[0]
}

// failed is the *Error of a delivery that must fail.
func failed(t *testing.T, ch *webhook.Channel, d channels.Delivery) *channels.Error {
	t.Helper()
	receipt, err := ch.Deliver(t.Context(), d)
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	require.Zero(t, receipt)
	return got
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	d := channeltest.Delivery(sb.Webhook.URL+"/a", 1)
	d.PublishedAt = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.FixedZone("", 3600))
	d.Content = channels.Content{Subject: "Order <7>", Text: "It's & \"done\"\n", HTML: "<p>unused</p>"}
	d.Attributes = map[string]channels.Attribute{"shop": {Type: "String", Value: "Köln"}}
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, channels.Receipt{Delivered: true}, receipt)

	it := only(t, sb, d.Endpoint)
	require.True(t, it.Accepted)
	require.Equal(t, "dlv_"+d.ID.Hex(), it.Delivery)
	require.Equal(t, "application/json", it.Fields["content-type"])
	require.Equal(t, "Fanfare", it.Fields["user-agent"])
	require.NotContains(t, it.Fields, "webhook-signature", "nothing to sign with")
	require.Equal(t, `{"type":"notification","id":"dlv_`+d.ID.Hex()+`","publish_id":"pub_`+d.Publish.Hex()+`","topic":"alerts",`+
		`"subject":"Order <7>","message":"It's & \"done\"\n","attributes":{"shop":{"type":"String","value":"Köln"}},`+
		`"timestamp":"2026-01-02T02:04:05.678Z"}`, it.Body)

	d = channeltest.Delivery(sb.Webhook.URL+"/b", 2)
	_, err = ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(only(t, sb, d.Endpoint).Body), &body))
	require.Equal(t, map[string]any{}, body["attributes"], "never null")
}

func TestPayload(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	for i, c := range []struct{ body, contentType, want string }{
		{`{"raw": true}`, "", "application/json"},
		{"\x00\x01binary", "application/octet-stream", "application/octet-stream"},
		{"", "text/plain; charset=utf-8", "text/plain; charset=utf-8"},
		{strings.Repeat("x", 1<<20), "text/plain", "text/plain"},
	} {
		d := channeltest.Delivery(sb.Webhook.URL+"/"+strconv.Itoa(i), i+1)
		d.Content.Payload, d.Content.ContentType = []byte(c.body), c.contentType
		d.Secrets = []string{vectorSecret}
		sb.Webhook.Expect("/"+strconv.Itoa(i), d.Secrets[0])
		_, err := ch.Deliver(t.Context(), d)
		require.NoError(t, err)
		it := only(t, sb, d.Endpoint)
		require.Equal(t, c.body, it.Body)
		require.Equal(t, c.want, it.Fields["content-type"])
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	d := channeltest.Delivery(sb.Webhook.URL+"/", 1)
	d.Secrets = []string{vectorSecret}
	d.Content.Headers = map[string]string{
		"X-Shop": "seven; \"8\"", "Authorization": "Bearer abc", "idempotency-key": "k",
		"webhook-id": "mine", "Webhook-Signature": "v1,mine", "WEBHOOK-Timestamp": "1", "webhook-other": "mine",
		"host": "elsewhere.example", "Content-Length": "1", "Transfer-Encoding": "gzip", "Connection": "close",
		"content-type": "text/plain", "User-agent": "mine", "Upgrade": "h2c", "Expect": "100-continue",
	}
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	f := only(t, sb, d.Endpoint).Fields
	require.Equal(t, `seven; "8"`, f["x-shop"])
	require.Equal(t, "Bearer abc", f["authorization"])
	require.Equal(t, "k", f["idempotency-key"])
	require.Equal(t, "Fanfare", f["user-agent"])
	require.Equal(t, "application/json", f["content-type"])
	require.Equal(t, strings.TrimPrefix(sb.Webhook.URL, "http://"), f["host"])
	require.Equal(t, "dlv_"+d.ID.Hex(), f["webhook-id"])
	for name, value := range f {
		require.NotContains(t, value, "mine", name)
	}
	require.NotContains(t, f, "webhook-other")
	require.NotContains(t, f, "expect")
}

// publicOf is the receiver's key to a sender's of ed25519.
func publicOf(t *testing.T, private string) string {
	t.Helper()
	seed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(private, "whsk_"))
	require.NoError(t, err)
	return "whpk_" + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed)[ed25519.SeedSize:])
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb.Webhook.CAPEM)
	older, newer := vectorSecret, "whsec_"+strings.Repeat("A", 32)
	private, public := vectorPrivate, publicOf(t, vectorPrivate)
	stranger := publicOf(t, "whsk_"+strings.Repeat("A", 43)+"=")
	n := 0
	for _, base := range []string{sb.Webhook.URL, sb.Webhook.TLSURL} {
		for _, c := range []struct {
			expect  string
			secrets []string
			good    bool
		}{
			{older, []string{older}, true},
			{older, []string{newer, older}, true},
			{newer, []string{newer, older}, true},
			{public, []string{newer, private}, true},
			{newer, []string{newer, private}, true},
			{newer, []string{older}, false},
			{stranger, []string{private}, false},
			{newer, nil, false},
			{"", nil, true},
		} {
			n++
			path := "/" + strconv.Itoa(n)
			sb.Webhook.Expect(path, c.expect)
			d := channeltest.Delivery(base+path, n)
			d.Secrets = c.secrets
			_, err := ch.Deliver(t.Context(), d)
			it := only(t, sb, d.Endpoint)
			require.Equal(t, c.good, it.Accepted)
			require.Equal(t, c.good, err == nil)
			if !c.good {
				require.Equal(t, 401, it.Status)
				require.ErrorContains(t, err, "status 401")
			}
		}
	}
}

// A retry is the same message at another time.
func TestRetry(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	d := channeltest.Delivery(sb.Webhook.URL+"/", 1)
	d.Secrets = []string{vectorSecret}
	sb.Webhook.Expect("/", d.Secrets[0])
	sb.Script(sandbox.ProviderWebhook, d.Endpoint, sandbox.Answer{Status: 503, Times: 1}, sandbox.Answer{Status: 202})
	require.Equal(t, 503, failed(t, ch, d).Status)
	d.Try = 2
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	require.True(t, receipt.Delivered)
	items := sb.Requests(sandbox.ProviderWebhook, d.Endpoint)
	require.Len(t, items, 2)
	require.Equal(t, items[0].Delivery, items[1].Delivery)
	require.Equal(t, items[0].Body, items[1].Body)
	require.Len(t, sb.Inbox(sandbox.ProviderWebhook, ""), 1)
}

func TestAcceptedStatuses(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb.Webhook.CAPEM)
	for i, status := range []int{200, 201, 202, 203, 204, 205, 206, 207, 299} {
		d := channeltest.Delivery(sb.Webhook.TLSURL+"/"+strconv.Itoa(status), i+1)
		sb.Script(sandbox.ProviderWebhook, d.Endpoint, sandbox.Answer{Status: status, RetryAfter: 5})
		receipt, err := ch.Deliver(t.Context(), d)
		require.NoError(t, err, status)
		require.True(t, receipt.Delivered)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	for i, status := range []int{301, 302, 303, 307, 308} {
		d := channeltest.Delivery(sb.Webhook.URL+"/"+strconv.Itoa(status), i+1)
		sb.Script(sandbox.ProviderWebhook, d.Endpoint, sandbox.Answer{Status: status})
		require.Equal(t, status, failed(t, ch, d).Status)
	}
	require.Empty(t, sb.Requests(sandbox.ProviderWebhook, sb.Webhook.URL+"/redirected"))
	require.Len(t, sb.Requests(sandbox.ProviderWebhook, ""), 5)
}

// Refused deliveries make no request.
func TestRefused(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, nil)
	good := func() channels.Delivery { return channeltest.Delivery(sb.Webhook.TLSURL+"/", 1) }
	for name, c := range map[string]struct {
		code   string
		change func(*channels.Delivery)
	}{
		"secret":          {"bad_secret", func(d *channels.Delivery) { d.Secrets = []string{"whsec_hush-hush-hush"} }},
		"public key":      {"bad_secret", func(d *channels.Delivery) { d.Secrets = []string{publicOf(t, vectorPrivate)} }},
		"header value":    {"bad_header", func(d *channels.Delivery) { d.Content.Headers = map[string]string{"X-A": "hush\r\nX-B: 1"} }},
		"header name":     {"bad_header", func(d *channels.Delivery) { d.Content.Headers = map[string]string{"X A hush": "1"} }},
		"no header name":  {"bad_header", func(d *channels.Delivery) { d.Content.Headers = map[string]string{"": "hush"} }},
		"content type":    {"bad_header", func(d *channels.Delivery) { d.Content.Payload, d.Content.ContentType = []byte("x"), "hush\n" }},
		"scheme":          {"bad_endpoint", func(d *channels.Delivery) { d.Endpoint = "ftp://127.0.0.1/hush" }},
		"not an endpoint": {"bad_endpoint", func(d *channels.Delivery) { d.Endpoint = "hush" }},
	} {
		d := good()
		c.change(&d)
		got := failed(t, ch, d)
		require.Equal(t, c.code, got.Code, name)
		require.Equal(t, channels.Rejected.String(), got.Kind.String(), name)
		require.False(t, got.Unknown, name)
		require.NotContains(t, got.Error(), "hush", name)
	}
	require.Empty(t, sb.Requests("", ""))
}
