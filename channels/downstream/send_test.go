package downstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/downstream"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, queue := open(t, options(t, sb)), sb.SQS.AddQueue("orders")
	d := channeltest.Delivery(queue, 1)
	d.Content.Payload = []byte(`{"text":"für 5 € <ok> 🎉"}`)
	d.Group = "tenant"
	d.Attributes = map[string]channels.Attribute{
		"kind": {Type: "String", Value: "new"}, "price": {Type: "Number.float", Value: "-12.5e3"},
		"raw": {Type: "Binary", Value: "AAH/"}, "tags": {Type: "String.Array", Value: `["a","b"]`},
	}
	receipt, err := c.Deliver(t.Context(), d)
	require.NoError(t, err)

	got := sb.Inbox(sandbox.ProviderSQS, queue)[0]
	require.Equal(t, channels.Receipt{ProviderID: got.ID, Delivered: true}, receipt)
	require.Equal(t, string(d.Content.Payload), got.Body)
	require.Equal(t, d.ID.Hex(), got.Delivery)
	require.Equal(t, d.ID.Hex(), got.Fields["attribute."+downstream.DeliveryAttribute])
	for name, want := range map[string]string{"kind": "new", "price": "-12.5e3", "raw": "\x00\x01\xff", "tags": `["a","b"]`} {
		require.Equal(t, want, got.Fields["attribute."+name])
	}
	require.NotContains(t, got.Fields, "group", "only a FIFO queue gets a group")
}

func TestDeliveryAttributeTakesNoRoom(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c := open(t, options(t, sb))
	full := channeltest.Delivery(sb.SQS.AddQueue("full"), 1)
	full.Attributes = map[string]channels.Attribute{}
	for i := range 10 {
		full.Attributes[fmt.Sprint("a", i)] = channels.Attribute{Type: "String", Value: "v"}
	}
	large := channeltest.Delivery(sb.SQS.AddQueue("large"), 2)
	large.Content.Text = strings.Repeat("x", 1<<20)
	for _, d := range []channels.Delivery{full, large} {
		_, err := c.Deliver(t.Context(), d)
		require.NoError(t, err)
		require.NotContains(t, sb.Inbox(sandbox.ProviderSQS, d.Endpoint)[0].Fields, "attribute."+downstream.DeliveryAttribute)
	}
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, queue := open(t, options(t, sb)), sb.SQS.AddQueue("orders.fifo")
	grouped, alone := channeltest.Delivery(queue, 1), channeltest.Delivery(queue, 2)
	grouped.Group = "customer/7"
	first, err := c.Deliver(t.Context(), grouped)
	require.NoError(t, err)
	again, err := c.Deliver(t.Context(), grouped)
	require.NoError(t, err)
	require.Equal(t, first, again, "a repeat is the same message")
	_, err = c.Deliver(t.Context(), alone)
	require.NoError(t, err)

	got := sb.Inbox(sandbox.ProviderSQS, queue)
	require.Len(t, got, 2)
	require.Equal(t, grouped.ID.Hex(), got[0].Delivery)
	require.Equal(t, "customer/7", got[0].Fields["group"])
	require.Equal(t, alone.Publish.Hex(), got[1].Fields["group"])
	require.Len(t, sb.Requests(sandbox.ProviderSQS, queue), 3)
}

func TestRefusedWithoutCall(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c := open(t, options(t, sb))
	attribute := func(name, kind, value string) func(*channels.Delivery) {
		return func(d *channels.Delivery) {
			d.Attributes = map[string]channels.Attribute{name: {Type: kind, Value: value}}
		}
	}
	for name, change := range map[string]func(*channels.Delivery){
		"bad_endpoint":           func(d *channels.Delivery) { d.Endpoint = "https://evil.example/1/orders" },
		"bad_text: empty":        func(d *channels.Delivery) { d.Content.Text = "" },
		"bad_text: control":      func(d *channels.Delivery) { d.Content.Text = "a\x00b" },
		"bad_text: not UTF-8":    func(d *channels.Delivery) { d.Content.Payload = []byte{0xff, 0xfe} },
		"bad_text: noncharacter": func(d *channels.Delivery) { d.Content.Text = "\uffff" },
		"too_large":              func(d *channels.Delivery) { d.Content.Text = strings.Repeat("x", 1<<20+1) },
		"too_large: with attributes": func(d *channels.Delivery) {
			attribute("a", "String", "v")(d)
			d.Content.Text = strings.Repeat("x", 1<<20-7)
		},
		"bad_attribute: name":     attribute("a b", "String", "v"),
		"bad_attribute: dots":     attribute("a..b", "String", "v"),
		"bad_attribute: reserved": attribute("Aws.x", "String", "v"),
		"bad_attribute: long":     attribute(strings.Repeat("n", 257), "String", "v"),
		"bad_attribute: type":     attribute("a", "Text", "v"),
		"bad_attribute: empty":    attribute("a", "String", ""),
		"bad_attribute: control":  attribute("a", "String", "\x01"),
		"bad_attribute: number":   attribute("a", "Number", "12a"),
		"bad_attribute: infinite": attribute("a", "Number", "Inf"),
		"bad_attribute: range":    attribute("a", "Number", "1e127"),
		"bad_attribute: small":    attribute("a", "Number", "1e-129"),
		"bad_attribute: digits":   attribute("a", "Number", strings.Repeat("1", 39)),
		"bad_attribute: base64":   attribute("a", "Binary", "%"),
		"bad_attribute: too many": func(d *channels.Delivery) {
			d.Attributes = map[string]channels.Attribute{}
			for i := range 11 {
				d.Attributes[fmt.Sprint("a", i)] = channels.Attribute{Type: "String", Value: "v"}
			}
		},
		"bad_group": func(d *channels.Delivery) { d.Endpoint = sb.SQS.AddQueue("q.fifo"); d.Group = "with space" },
	} {
		t.Run(name, func(t *testing.T) {
			d := channeltest.Delivery(sb.SQS.AddQueue("refused"), 1)
			change(&d)
			_, err := c.Deliver(t.Context(), d)
			code, _, _ := strings.Cut(name, ":")
			require.Equal(t, code, requireKind(t, channels.Rejected, err).Code)
			results := c.DeliverBatch(t.Context(), []channels.Delivery{d})
			requireKind(t, channels.Rejected, results[0].Err)
		})
	}
	require.Empty(t, sb.Requests(sandbox.ProviderSQS, ""))
}

// requests lists the deliveries of each request a queue got.
func requests(sb *sandbox.Server, queue string) [][]string {
	var all [][]string
	last := ""
	for _, it := range sb.Requests(sandbox.ProviderSQS, queue) {
		if it.Fields["request"] != last {
			last = it.Fields["request"]
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], it.Delivery)
	}
	return all
}

func TestDeliverBatch(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c := open(t, options(t, sb))
	queues := []string{sb.SQS.AddQueue("a"), sb.SQS.AddQueue("b.fifo")}
	for _, queue := range queues {
		var ds []channels.Delivery
		for i := range 25 {
			ds = append(ds, channeltest.Delivery(queue, i+1))
		}
		ds[4].Content.Text = "" // in the middle, and never sent
		var want, got []string
		for i, r := range c.DeliverBatch(t.Context(), ds) {
			if i == 4 {
				require.Equal(t, "bad_text", requireKind(t, channels.Rejected, r.Err).Code)
				continue
			}
			require.NoError(t, r.Err)
			require.True(t, r.Receipt.Delivered)
			require.NotEmpty(t, r.Receipt.ProviderID)
			want = append(want, ds[i].ID.Hex())
		}
		var sizes []int
		for _, r := range requests(sb, queue) {
			sizes, got = append(sizes, len(r)), append(got, r...)
		}
		require.Equal(t, want, got, "%s has all, in order", queue)
		require.Equal(t, []int{10, 10, 4}, sizes)
	}
}

func TestBatchSize(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, queue := open(t, options(t, sb)), sb.SQS.AddQueue("large")
	var ds []channels.Delivery
	for i := range 5 {
		d := channeltest.Delivery(queue, i+1)
		d.Content.Text = strings.Repeat("x", 400<<10)
		ds = append(ds, d)
	}
	for _, r := range c.DeliverBatch(t.Context(), ds) {
		require.NoError(t, r.Err)
	}
	require.Len(t, requests(sb, queue), 3, "two of 400 KiB are in 1 MiB")
}

func TestBatchEntriesFail(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c, queue := open(t, options(t, sb)), sb.SQS.AddQueue("mixed")
	each := func(code string) sandbox.Answer {
		return sandbox.Answer{Code: code, Message: sandbox.EachEntry, Times: 1}
	}
	cases := []struct {
		code string
		kind channels.Kind
		want string
	}{
		{"InvalidMessageContents", channels.Rejected, "sender_fault:InvalidMessageContents"},
		{"InternalFailure", channels.Temporary, "service_fault:InternalFailure"},
		{"RequestThrottled", channels.Throttled, "sender_fault:RequestThrottled"},
		{"KmsDisabled", channels.Temporary, "sender_fault:KMS.DisabledException"},
		{"AccessDenied", channels.Temporary, "sender_fault:AccessDenied"},
		{"QueueDoesNotExist", channels.EndpointGone, "sender_fault:AWS.SimpleQueueService.NonExistentQueue"},
	}
	var script []sandbox.Answer
	var ds []channels.Delivery
	for i, k := range cases {
		script = append(script, each(k.code))
		ds = append(ds, channeltest.Delivery(queue, i+1))
	}
	ds = append(ds, channeltest.Delivery(queue, 99))
	sb.Script(sandbox.ProviderSQS, queue, script...)
	results := c.DeliverBatch(t.Context(), ds)
	for i, k := range cases {
		require.Equal(t, k.want, requireKind(t, k.kind, results[i].Err).Code)
	}
	require.NoError(t, results[len(cases)].Err)
	require.Len(t, requests(sb, queue), 1)
	require.Len(t, sb.Inbox(sandbox.ProviderSQS, queue), 1)
}

func TestBatchFailsAsAWhole(t *testing.T) {
	t.Parallel()
	sb := start(t)
	c := open(t, options(t, sb))
	for i, k := range []struct {
		answer sandbox.Answer
		kind   channels.Kind
	}{
		{sandbox.Answer{Status: 503}, channels.Temporary},
		{sandbox.Answer{Code: "BatchRequestTooLong"}, channels.Temporary},
		{sandbox.Answer{Code: "QueueDoesNotExist"}, channels.EndpointGone},
		{sandbox.Answer{Drop: sandbox.DropBefore}, channels.Uncertain},
		{sandbox.Answer{Drop: sandbox.DropAfter}, channels.Uncertain},
	} {
		bad := sb.SQS.AddQueue(fmt.Sprint("bad", i))
		sb.Script(sandbox.ProviderSQS, bad, k.answer)
		for _, r := range c.DeliverBatch(t.Context(), []channels.Delivery{channeltest.Delivery(bad, 1), channeltest.Delivery(bad, 2)}) {
			requireKind(t, k.kind, r.Err)
		}
		require.Len(t, requests(sb, bad), 1, "sent once")
	}
}
