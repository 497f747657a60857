package apns_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/apns"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// sent delivers and returns what the sandbox accepted.
func sent(t *testing.T, sb *sandbox.Server, ch *apns.Channel, d channels.Delivery) sandbox.Item {
	t.Helper()
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	items := sb.Inbox("apns", d.Endpoint)
	require.NotEmpty(t, items)
	last := items[len(items)-1]
	require.Equal(t, last.ID, receipt.ProviderID)
	require.False(t, receipt.Delivered, "accepted is not delivered")
	return last
}

func TestOnTheWire(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery(device(1), 1)
	d.Content = channels.Content{Subject: "Door <2>", Text: "opened & closed"}
	d.Attributes = map[string]channels.Attribute{"floor": {Type: "Number", Value: "3"}}

	it := sent(t, sb, ch, d)
	require.Equal(t, d.ID.String(), it.Delivery)
	require.Equal(t, d.ID.String(), it.ID)
	require.Equal(t, "Door <2>", it.Subject)
	require.Equal(t, "opened & closed", it.Body)
	require.JSONEq(t, `{"aps":{"alert":{"title":"Door <2>","body":"opened & closed"}},"data":{"floor":"3"}}`, it.Fields["payload"])
	require.Equal(t, "dev.fanfare.sandbox", it.Fields["apns-topic"])
	require.Equal(t, "alert", it.Fields["apns-push-type"])
	require.Equal(t, "10", it.Fields["apns-priority"])
	require.Equal(t, d.Publish.Hex(), it.Fields["apns-collapse-id"])
	require.Equal(t, strconv.FormatInt(d.Expires.Unix(), 10), it.Fields["apns-expiration"], "absolute")

	d.Expires = time.Time{}
	require.NotContains(t, sent(t, sb, ch, d).Fields, "apns-expiration", "0 would mean: try once")
}

func TestWhatThePublisherAsksOfAPNs(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery(device(1), 1)
	d.CollapseID = "score"
	d.Push = channels.Push{Type: "background", Priority: 1, Once: true}
	it := sent(t, sb, ch, d)
	require.Equal(t, "background", it.Fields["apns-push-type"])
	require.Equal(t, "1", it.Fields["apns-priority"])
	require.Equal(t, "score", it.Fields["apns-collapse-id"])
	require.Equal(t, "1", it.Fields["apns-expiration"], "in the past: now or never")

	d.Push = channels.Push{Topic: "dev.fanfare.sandbox.voip"}
	it = sent(t, sb, ch, d)
	require.Equal(t, "dev.fanfare.sandbox.voip", it.Fields["apns-topic"])
	require.Equal(t, "voip", it.Fields["apns-push-type"], "it follows from the topic")

	// What is not the app's is the message's fault: account and device go on.
	for _, push := range []channels.Push{{Topic: "com.example.other"}, {Type: "voip"}} {
		d.Push = push
		_, err := ch.Deliver(t.Context(), d)
		var got *channels.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, "TopicDisallowed", got.Code)
		require.Equal(t, channels.Rejected, got.Kind)
	}
}

func TestPriorityAndPushType(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	for i, c := range []struct {
		lane           channels.Lane
		payload        string
		priority, kind string
	}{
		{channels.Critical, "", "10", "alert"},
		{channels.Transactional, "", "10", "alert"},
		{channels.Bulk, "", "5", "alert"},
		{channels.Critical, `{"aps":{"content-available":1}}`, "5", "background"},
		{channels.Bulk, `{"aps":{"content-available": 1, "thread-id":"x"},"more":[1]}`, "5", "background"},
		{channels.Critical, `{"aps":{"content-available":1,"alert":"hi"}}`, "10", "alert"},
		{channels.Critical, `{"aps":{"content-available":1,"badge":3}}`, "10", "alert"},
		{channels.Critical, ` {"aps":{"sound":"default"}}`, "10", "alert"},
	} {
		d := channeltest.Delivery(device(i+1), i+1)
		d.Lane = c.lane
		if c.payload != "" {
			d.Content = channels.Content{Payload: []byte(c.payload)}
		}
		it := sent(t, sb, ch, d)
		require.Equal(t, c.priority, it.Fields["apns-priority"], "%+v", c)
		require.Equal(t, c.kind, it.Fields["apns-push-type"], "%+v", c)
		if c.payload != "" {
			require.JSONEq(t, c.payload, it.Fields["payload"])
		}
	}
}

func TestPushTypeFollowsTheTopic(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for suffix, kind := range map[string]string{
		".voip": "voip", ".voip-ptt": "pushtotalk", ".complication": "complication", ".location-query": "location",
		".pushkit.fileprovider": "fileprovider", ".push-type.liveactivity": "liveactivity",
	} {
		o := options(t, sb)
		o.Topic += suffix
		ch := open(t, o)
		it := sent(t, sb, ch, channeltest.Delivery(device(len(suffix)), 1))
		require.Equal(t, kind, it.Fields["apns-push-type"])
		require.NotContains(t, it.Fields, "apns-collapse-id")
		require.NoError(t, ch.Probe(t.Context()))
	}
}

func TestARepeatReplacesWhatItRepeats(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery(device(1), 1)
	sb.Script("apns", d.Endpoint, sandbox.Answer{Drop: sandbox.DropAfter, Times: 1})
	_, err := ch.Deliver(t.Context(), d)
	require.Equal(t, channels.Uncertain, failure(t, err).Kind)
	again := sent(t, sb, ch, d)
	require.Len(t, sb.Inbox("apns", d.Endpoint), 2)
	require.Equal(t, []sandbox.Item{again}, sb.APNs.Shown(d.Endpoint))

	other := channeltest.Delivery(device(1), 2)
	sent(t, sb, ch, other)
	require.Len(t, sb.APNs.Shown(d.Endpoint), 2, "another publish")
}

func TestCollapseID(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	id := func(text string) string {
		d := channeltest.Delivery(device(1), 1)
		d.CollapseID = text
		return sent(t, sb, ch, d).Fields["apns-collapse-id"]
	}
	require.Equal(t, "score:17", id("score:17"))
	require.Equal(t, strings.Repeat("x", 64), id(strings.Repeat("x", 64)))
	for _, odd := range []string{strings.Repeat("x", 65), "two\nlines", "größe", "a b"} {
		got := id(odd)
		require.Len(t, got, 64, odd)
		require.Equal(t, got, id(odd), "the same text still collapses")
	}
	require.NotEqual(t, id("two\nlines"), id("größe"))
}

func TestRefusedWithoutACall(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	long := func(n int) string {
		return `{"aps":{"alert":"` + strings.Repeat("x", n-len(`{"aps":{"alert":""}}`)) + `"}}`
	}
	for i, c := range []struct {
		content channels.Content
		code    string
	}{
		{channels.Content{}, "PayloadEmpty"},
		{channels.Content{HTML: "<p>"}, "PayloadEmpty"},
		{channels.Content{Text: strings.Repeat("ü", 3000)}, "PayloadTooLarge"},
		{channels.Content{Payload: []byte(long(4097))}, "PayloadTooLarge"},
		{channels.Content{Payload: []byte(strings.Replace(long(4096), "x", "<", 1))}, "PayloadTooLarge"}, // < goes as \u003c
		{channels.Content{Payload: []byte{}}, "BadPayload"},
		{channels.Content{Payload: []byte("hello")}, "BadPayload"},
		{channels.Content{Payload: []byte("null")}, "BadPayload"},
		{channels.Content{Payload: []byte("[{}]")}, "BadPayload"},
		{channels.Content{Payload: []byte(`{"aps":{}`)}, "BadPayload"},
		{channels.Content{Payload: []byte(`{"aps":"hi"}`)}, "BadPayload"},
		{channels.Content{Payload: []byte(`{} {}`)}, "BadPayload"},
	} {
		d := channeltest.Delivery(device(i+1), i+1)
		d.Content = c.content
		_, err := ch.Deliver(t.Context(), d)
		e := failure(t, err)
		require.Equal(t, channels.Rejected, e.Kind, "%d", i)
		require.Equal(t, c.code, e.Code, "%d", i)
		require.False(t, e.Unknown)
		require.Empty(t, sb.Requests("apns", d.Endpoint))
	}
	d := channeltest.Delivery(device(100), 100)
	d.Content = channels.Content{Payload: []byte(long(4096))}
	require.True(t, json.Valid([]byte(sent(t, sb, ch, d).Fields["payload"])))
}
