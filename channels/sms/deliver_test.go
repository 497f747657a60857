package sms_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func TestMessage(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	ch := open(t, sb)
	d := channeltest.Delivery(number(1), 1)
	d.Content = channels.Content{Subject: "unused", Text: "Grüße & 5 % + more\n👋 " + strings.Repeat("x", 60)}
	d.CallbackURL = "https://push.example.com/callback/twilio?d=" + d.ID.Hex() + "&m=abc"
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)

	items := sb.Requests(sandbox.ProviderTwilio, number(1))
	require.Len(t, items, 1)
	it := items[0]
	require.True(t, it.Accepted)
	require.Regexp(t, "^SM[0-9a-f]{32}$", it.ID)
	require.Equal(t, channels.Receipt{ProviderID: it.ID, Units: 2}, receipt)
	require.Equal(t, d.Content.Text, it.Body)
	require.Equal(t, d.ID.Hex(), it.Delivery)
	require.Equal(t, sb.Twilio.From, it.Fields["From"])
	require.NotContains(t, it.Fields, "MessagingServiceSid")
	require.Equal(t, d.CallbackURL+"#rc=5&rp=all&ct=3000", it.Fields["StatusCallback"])
	validity, err := strconv.Atoi(it.Fields["ValidityPeriod"])
	require.NoError(t, err)
	require.InDelta(t, 3600, validity, 10, "the time that is left of the hour")
}

func TestSubjectStandsIn(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	d := channeltest.Delivery(number(1), 1)
	d.Content, d.Expires = channels.Content{Subject: "Only a subject"}, time.Time{}
	receipt, err := open(t, sb).Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, 1, receipt.Units)
	it := sb.Inbox(sandbox.ProviderTwilio, number(1))[0]
	require.Equal(t, "Only a subject", it.Body)
	require.NotContains(t, it.Fields, "ValidityPeriod", "no deadline")
	require.NotContains(t, it.Fields, "StatusCallback")
}

func TestTheSenderThePublisherChose(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	ch := open(t, sb)
	d := channeltest.Delivery(number(1), 1)
	d.Sender = "Fanfare"
	_, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, "Fanfare", sb.Inbox(sandbox.ProviderTwilio, number(1))[0].Fields["From"])

	// One that is not to be had is the message's fault: the account goes on.
	for sender, code := range map[string]string{"+15005550001": "21212", "+15005550007": "21606"} {
		d.Sender = sender
		got := failed(t, ch, d)
		require.Equal(t, code, got.Code)
		require.Equal(t, channels.Rejected, got.Kind)
		require.Nil(t, got.Escalate)
	}
}

func TestMessagingService(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	for name, from := range map[string]string{"pool": "", "sender of the pool": sb.Twilio.From} {
		ch := open(t, sb, func(o *sms.Options) { o.MessagingServiceSID, o.From = sb.Twilio.MessagingServiceSID, from })
		receipt, err := ch.Deliver(t.Context(), channeltest.Delivery(number(len(from)), 1))
		require.NoError(t, err, name)
		require.Equal(t, 1, receipt.Units, "counted by ourselves: Twilio says 0")
		it := sb.Inbox(sandbox.ProviderTwilio, number(len(from)))[0]
		require.Equal(t, sb.Twilio.MessagingServiceSID, it.Fields["MessagingServiceSid"])
		require.Equal(t, from, it.Fields["From"])
	}
}

func TestValidityPeriod(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	ch := open(t, sb)
	for n, c := range []struct {
		left     time.Duration
		from, to int
	}{
		{900 * time.Millisecond, 1, 1},
		{90 * time.Second, 80, 90},
		{10*time.Hour + time.Minute, 36_000, 36_000},
		{30 * 24 * time.Hour, 36_000, 36_000},
	} {
		d := channeltest.Delivery(number(n), n)
		d.Expires = time.Now().Add(c.left)
		_, err := ch.Deliver(t.Context(), d)
		require.NoError(t, err)
		seconds, err := strconv.Atoi(sb.Inbox(sandbox.ProviderTwilio, number(n))[0].Fields["ValidityPeriod"])
		require.NoError(t, err)
		require.GreaterOrEqual(t, seconds, c.from)
		require.LessOrEqual(t, seconds, c.to)
	}
}

func TestRefusedWithoutACall(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	ch := open(t, sb)
	for code, change := range map[string]func(*channels.Delivery){
		"expired": func(d *channels.Delivery) { d.Expires = time.Now().Add(-time.Second) },
		"21602":   func(d *channels.Delivery) { d.Content = channels.Content{HTML: "<p>unused</p>"} },
		"21617":   func(d *channels.Delivery) { d.Content.Text = strings.Repeat("é", sms.MaxBody+1) },
	} {
		d := channeltest.Delivery(number(1), 1)
		change(&d)
		got := failed(t, ch, d)
		require.Equal(t, code, got.Code)
		require.Equal(t, channels.Rejected, got.Kind)
		require.False(t, got.Unknown)
	}
	require.Empty(t, sb.Requests(sandbox.ProviderTwilio, ""))

	d := channeltest.Delivery(number(1), 1)
	d.Content.Text = strings.Repeat("é", sms.MaxBody)
	receipt, err := ch.Deliver(t.Context(), d)
	require.NoError(t, err, "the longest that goes")
	require.Equal(t, 11, receipt.Units)
}

// Twilio may count a character as two: it then refuses what we let pass.
func TestLongBodyByTwiliosCount(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	d := channeltest.Delivery(number(1), 1)
	d.Content.Text = strings.Repeat("👋", 801)
	got := failed(t, open(t, sb), d)
	require.Equal(t, "21617", got.Code)
	require.Equal(t, 400, got.Status)
	require.Equal(t, channels.Rejected, got.Kind)
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	ch := open(t, sb)
	require.NoError(t, sb.Close())
	got := failed(t, ch, channeltest.Delivery(number(1), 1))
	require.Equal(t, channels.Temporary, got.Kind)
	require.Equal(t, "connect", got.Code)
	require.NotContains(t, got.Error(), "127.0.0.1")
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	ch := serve(t, nil) // no call is made
	for in, want := range map[string]channels.Endpoint{
		"+14155550100":        {Address: "+14155550100", Group: "US"},
		"+1 (415) 555-0100":   {Address: "+14155550100", Group: "US"},
		"+1 416.555.0100":     {Address: "+14165550100", Group: "CA"},
		"+44 7400 123456":     {Address: "+447400123456", Group: "GB"},
		"+49 (0) 1512 345678": {Address: "+491512345678", Group: "DE"},
		"+39 02 1234 5678":    {Address: "+390212345678", Group: "IT"},
		"+1 999 555 0100":     {Address: "+19995550100", Group: "US"}, // an area code of the future
		"+870 773 111 632":    {Address: "+870773111632", Group: "001"},
	} {
		got, err := ch.CheckEndpoint(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
}
