package email_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/email"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestMessageOnTheWire(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery("ann@example.net", 1)
	d.Content = channels.Content{
		Subject: "Speicher fast voll: 95 % – bitte prüfen",
		Text:    "Zeile eins\n.\n..zwei\nFrom Zeile drei mit ü und = Zeichen",
		HTML:    "<p>Zeile <b>eins</b></p>",
		Headers: map[string]string{"X-Campaign": "spring", "Reply-To": "help@example.com"},
	}
	d.UnsubscribeURL = "https://notify.example.com/u/abc?x=1&y=2"
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)

	it := sb.Inbox(sandbox.ProviderSMTP, "ann@example.net")[0]
	require.Equal(t, receipt.ProviderID, it.ID, "the queue id")
	require.False(t, receipt.Delivered)
	require.Equal(t, d.ID.Hex(), it.Delivery)
	require.Equal(t, d.Content.Subject, it.Subject)
	require.Equal(t, d.Content.Text, it.Body)
	require.Equal(t, d.Content.HTML, it.Fields["html"])
	want := map[string]string{
		"message-id":            "<" + d.ID.Hex() + "@example.com>",
		"from":                  `"Fanfare Alerts" <alerts@example.com>`,
		"to":                    "<ann@example.net>",
		"envelope-from":         "alerts@example.com",
		"auto-submitted":        "auto-generated",
		"list-unsubscribe":      "<" + d.UnsubscribeURL + ">",
		"list-unsubscribe-post": "List-Unsubscribe=One-Click",
		"x-campaign":            "spring",
		"reply-to":              "help@example.com",
	}
	for name, value := range want {
		require.Equal(t, value, it.Fields[name], name)
	}
	sent, err := time.Parse(time.RFC1123Z, it.Fields["date"])
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), sent, time.Minute)
	require.NotContains(t, it.Fields, "user-agent")
	require.NotContains(t, it.Fields, "dkim")
}

func TestBulkAndPlainLink(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery("ann@example.net", 1)
	d.Lane, d.UnsubscribeURL, d.Content.Text, d.Content.HTML = channels.Bulk, "http://notify.example.com/u", "", "<p>hi</p>"
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	fields := sb.Inbox(sandbox.ProviderSMTP, "")[0].Fields
	require.NotContains(t, fields, "auto-submitted")
	require.Equal(t, "<http://notify.example.com/u>", fields["list-unsubscribe"])
	require.NotContains(t, fields, "list-unsubscribe-post", "one-click needs https")
	require.Equal(t, "<p>hi</p>", fields["html"])
}

func TestInternationalLocalPart(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	_, err := ch.Deliver(t.Context(), channeltest.Delivery("用户@example.net", 1))
	require.NoError(t, err)
	require.Len(t, sb.Inbox(sandbox.ProviderSMTP, "用户@example.net"), 1)
}

func TestInjectionIsRefusedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	for name, change := range map[string]func(*channels.Delivery){
		"subject CRLF":          func(d *channels.Delivery) { d.Content.Subject = "hi\r\nBcc: eve@example.net" },
		"subject LF":            func(d *channels.Delivery) { d.Content.Subject = "hi\nBcc: eve@example.net" },
		"subject NUL":           func(d *channels.Delivery) { d.Content.Subject = "hi\x00" },
		"subject too long":      func(d *channels.Delivery) { d.Content.Subject = strings.Repeat("x", 1000) },
		"endpoint CRLF":         func(d *channels.Delivery) { d.Endpoint = "ann@example.net>\r\nRCPT TO:<eve@example.net" },
		"two endpoints":         func(d *channels.Delivery) { d.Endpoint = "ann@example.net,eve@example.net" },
		"header value":          func(d *channels.Delivery) { d.Content.Headers = map[string]string{"X-A": "b\r\nBcc: eve@example.net"} },
		"header name":           func(d *channels.Delivery) { d.Content.Headers = map[string]string{"X-A: b\r\nBcc": "eve@example.net"} },
		"header without a name": func(d *channels.Delivery) { d.Content.Headers = map[string]string{"": "x"} },
		"second From":           func(d *channels.Delivery) { d.Content.Headers = map[string]string{"FROM": "eve@example.net"} },
		"second Content-Type":   func(d *channels.Delivery) { d.Content.Headers = map[string]string{"Content-type": "text/html"} },
		"unsubscribe link":      func(d *channels.Delivery) { d.UnsubscribeURL = "https://example.com/>,<mailto:eve@example.net" },
		"unsubscribe CRLF":      func(d *channels.Delivery) { d.UnsubscribeURL = "https://example.com/\r\nBcc: eve@example.net" },
	} {
		d := channeltest.Delivery("ann@example.net", 1)
		change(&d)
		_, err := ch.Deliver(t.Context(), d)
		got := fault(t, err)
		require.Equal(t, channels.Rejected, got.Kind, name)
		require.False(t, got.Unknown, name)
		require.NotContains(t, err.Error(), "example.net", name)
	}
	require.Empty(t, sb.Requests(sandbox.ProviderSMTP, ""))
	require.Zero(t, sb.SMTP.Connections())
}

func TestBodyCannotEndTheMessage(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery("ann@example.net", 1)
	for _, end := range []string{"\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n"} {
		d.Content.Text += "before" + end + "MAIL FROM:<eve@example.net>" + end
	}
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	items := sb.Requests(sandbox.ProviderSMTP, "")
	require.Len(t, items, 1)
	require.Equal(t, 5, strings.Count(items[0].Body, "MAIL FROM"))
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	d := channeltest.Delivery("ann@example.net", 1)
	d.Content.Text = strings.Repeat("a long line of text\n", 600_000)
	_, err := ch.Deliver(t.Context(), d)
	got := fault(t, err)
	require.Equal(t, channels.Rejected, got.Kind)
	require.Equal(t, 552, got.Status)
	require.Equal(t, "5.3.4", got.Code)
	require.Empty(t, sb.Inbox(sandbox.ProviderSMTP, ""))
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.TLS = email.ImplicitTLS
	o.Host, o.Port = split(t, sb.SMTP.TLSAddr)
	ch := open(t, o)
	require.NoError(t, ch.Probe(t.Context()))
	_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	require.NoError(t, err)
	require.Len(t, sb.Inbox(sandbox.ProviderSMTP, "ann@example.net"), 1)
}
