package fcm_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/fcm"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// sender delivers to one device after another and shows what FCM got.
type sender struct {
	sb *sandbox.Server
	ch *fcm.Channel
	n  int
}

func newSender(t *testing.T) *sender {
	t.Helper()
	sb := start(t)
	return &sender{sb: sb, ch: open(t, sb, nil)}
}

func (s *sender) sent(t *testing.T, change func(*channels.Delivery)) (channels.Delivery, sandbox.Item) {
	t.Helper()
	s.n++
	d := channeltest.Delivery(device(s.n), s.n)
	change(&d)
	_, err := s.ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	items := s.sb.Inbox(fcm.Provider, device(s.n))
	require.Len(t, items, 1)
	return d, items[0]
}

func seconds(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSuffix(text, "s"))
	require.NoError(t, err)
	return n
}

func TestMessage(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	d, it := s.sent(t, func(d *channels.Delivery) {
		d.Attributes = map[string]channels.Attribute{"order": {Type: "Number", Value: "42"}, "kind": {Type: "String", Value: "a<b"}}
	})
	require.Equal(t, "Subject", it.Subject)
	require.Equal(t, d.Content.Text, it.Body)
	require.Equal(t, "42", it.Fields["data.order"])
	require.Equal(t, "a<b", it.Fields["data.kind"])
	require.Equal(t, "high", it.Fields["priority"])
	require.Equal(t, d.Publish.Hex(), it.Fields["collapse_key"])
	require.Equal(t, d.Publish.Hex(), it.Fields["tag"])
	require.Equal(t, d.Publish.Hex(), it.Fields["apns.apns-collapse-id"])
	require.Equal(t, d.Publish.Hex(), it.Delivery)
	require.InDelta(t, 3600, seconds(t, it.Fields["ttl"]), 10)
	require.InDelta(t, 3600, seconds(t, it.Fields["webpush.TTL"]), 10)
	require.Equal(t, strconv.FormatInt(d.Expires.Unix(), 10), it.Fields["apns.apns-expiration"])
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	t.Run("none", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) { d.Expires = time.Time{} })
		require.NotContains(t, it.Fields, "ttl")
		require.NotContains(t, it.Fields, "apns.apns-expiration")
		require.NotContains(t, it.Fields, "webpush.TTL")
	})
	t.Run("now or never", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) { d.Expires = time.Now().Add(-time.Minute) })
		require.Equal(t, "0s", it.Fields["ttl"])
		_, it = s.sent(t, func(d *channels.Delivery) { d.Push.Once = true })
		require.Equal(t, "0s", it.Fields["ttl"])
		require.Equal(t, "0", it.Fields["apns.apns-expiration"])
		require.Equal(t, "0", it.Fields["webpush.TTL"])
	})
	t.Run("beyond four weeks", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) { d.Expires = time.Now().AddDate(1, 0, 0) })
		require.Equal(t, "2419200s", it.Fields["ttl"])
	})
}

func TestLanes(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	for lane, want := range map[channels.Lane]string{channels.Critical: "high", channels.Transactional: "high", channels.Bulk: "normal"} {
		_, it := s.sent(t, func(d *channels.Delivery) { d.Lane = lane })
		require.Equal(t, want, it.Fields["priority"], lane)
	}
}

func TestCollapseID(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	_, it := s.sent(t, func(d *channels.Delivery) {
		d.CollapseID = "score"
		d.Content.Payload = []byte(`{"notification":{"title":"x"},"android":{"collapse_key":"own","notification":{"tag":"own"}},"apns":{"headers":{"Apns-Collapse-Id":"own"}}}`)
	})
	require.Equal(t, "score", it.Fields["collapse_key"])
	require.Equal(t, "score", it.Fields["tag"])
	require.Equal(t, "score", it.Fields["apns.apns-collapse-id"])
	require.NotContains(t, it.Fields, "apns.Apns-Collapse-Id")

	_, it = s.sent(t, func(d *channels.Delivery) { d.CollapseID = strings.Repeat("x", 65) })
	require.NotContains(t, it.Fields, "apns.apns-collapse-id", "APNs takes 64 bytes")
}

func TestPayload(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	t.Run("is the message", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) {
			d.Attributes = map[string]channels.Attribute{"order": {Type: "String", Value: "42"}}
			d.Content.Payload = []byte(`{"topic":"news","notification":{"title":"Hi","body":"there"},"data":{"k":"v"},
				"android":{"priority":"NORMAL","ttl":"60s","collapse_key":"own","notification":{"tag":"own","notification_priority":"PRIORITY_HIGH","sticky":false}},
				"apns":{"headers":{"apns-expiration":"0"},"payload":{"aps":{"badge":3,"alert":{"title":"Hi"}},"deep":{"list":[1,"two"]}}}}`)
		})
		require.Equal(t, "Hi", it.Subject)
		require.Equal(t, "there", it.Body)
		require.Equal(t, "v", it.Fields["data.k"])
		require.NotContains(t, it.Fields, "data.order")
		require.Equal(t, "normal", it.Fields["priority"])
		require.Equal(t, "own", it.Fields["collapse_key"])
		require.Equal(t, "own", it.Fields["tag"])
		require.Equal(t, "60s", it.Fields["ttl"], "sooner than the deadline")
		require.Equal(t, "0", it.Fields["apns.apns-expiration"])
	})
	t.Run("cannot outlive the deadline", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) {
			d.Content.Payload = []byte(`{"notification":{"title":"Hi"},"android":{"ttl":"86400s"},"webpush":{"headers":{"ttl":"86400"}}}`)
		})
		require.LessOrEqual(t, seconds(t, it.Fields["ttl"]), 3600)
		require.LessOrEqual(t, seconds(t, it.Fields["webpush.TTL"]), 3600)
		require.NotContains(t, it.Fields, "webpush.ttl")
	})
	t.Run("of data stays a data message", func(t *testing.T) {
		_, it := s.sent(t, func(d *channels.Delivery) { d.Content.Payload = []byte(`{"data":{"sync":"1"}}`) })
		require.NotContains(t, it.Fields, "tag")
		require.Empty(t, it.Subject+it.Body)
	})
}

// What cannot go is refused before any call.
func TestRefusedWithoutACall(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	payload := func(text string) func(*channels.Delivery) {
		return func(d *channels.Delivery) { d.Content.Payload = []byte(text) }
	}
	attribute := func(key string) func(*channels.Delivery) {
		return func(d *channels.Delivery) {
			d.Attributes = map[string]channels.Attribute{key: {Type: "String", Value: "secret-value"}}
		}
	}
	for name, c := range map[string]struct {
		change func(*channels.Delivery)
		code   string
	}{
		"from":             {attribute("from"), "reserved_key"},
		"message_type":     {attribute("message_type"), "reserved_key"},
		"google.":          {attribute("google.sent_time"), "reserved_key"},
		"gcm.notification": {attribute("gcm.notification.title"), "reserved_key"},
		"android data":     {payload(`{"android":{"data":{"from":"secret-value"}}}`), "reserved_key"},
		"too large":        {func(d *channels.Delivery) { d.Content.Text = strings.Repeat("secret-value", 400) }, "payload_too_large"},
		"too large data":   {payload(`{"data":{"k":"` + strings.Repeat("x", 4096) + `"}}`), "payload_too_large"},
		"too large aps":    {payload(`{"apns":{"payload":{"list":["` + strings.Repeat("x", 4096) + `"]}}}`), "payload_too_large"},
		"no JSON":          {payload(`secret-value`), "invalid_payload"},
		"null":             {payload(`null`), "invalid_payload"},
		"no object":        {payload(`["secret-value"]`), "invalid_payload"},
		"number as data":   {payload(`{"data":{"k":1}}`), "invalid_payload"},
		"unknown field":    {payload(`{"notification":{"title":"x","secret-value":"x"}}`), "unknown_field"},
		"camel case":       {payload(`{"notification":{"title":"x"},"android":{"collapseKey":"x"}}`), "unknown_field"},
		"bad priority":     {payload(`{"android":{"priority":"secret-value"}}`), "invalid_message"},
		"bad image":        {payload(`{"notification":{"title":"x","image":"secret-value"}}`), "invalid_message"},
	} {
		t.Run(name, func(t *testing.T) {
			d := channeltest.Delivery(device(2), 2)
			c.change(&d)
			_, err := ch.Deliver(t.Context(), d)
			e := failure(t, err)
			require.Equal(t, c.code, e.Code)
			require.Equal(t, channels.Rejected, e.Kind)
			require.False(t, e.Unknown)
			require.NotContains(t, err.Error(), "secret-value")
		})
	}
	require.Empty(t, sb.Requests(fcm.Provider, ""))
}

// Only keys and values count, not JSON's marks and escapes: 4096 bytes of them
// are sent.
func TestLargestMessage(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	d, it := s.sent(t, func(d *channels.Delivery) {
		d.Content.Subject = ""
		d.Content.Text = strings.Repeat("<", 4096-len("body")-len("tag")-32)
	})
	require.Equal(t, d.Content.Text, it.Body)
}

// FCM's own checks find what ours leave to it.
func TestRefusedByFCM(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, sb, nil)
	for _, payload := range []string{`{"data":{"googleplay":"x"}}`, `{"android":{"ttl":"2419201s"},"data":{"k":"v"}}`} {
		d := channeltest.Delivery(device(3), 3)
		d.Expires, d.Content.Payload = time.Time{}, []byte(payload)
		_, err := ch.Deliver(t.Context(), d)
		e := failure(t, err)
		require.Equal(t, channels.Rejected, e.Kind, payload)
		require.Equal(t, "INVALID_ARGUMENT", e.Code)
	}
	d := channeltest.Delivery("too-short", 4)
	_, err := ch.Deliver(t.Context(), d)
	require.Equal(t, channels.EndpointGone, failure(t, err).Kind, "message.token is the field at fault")
}
