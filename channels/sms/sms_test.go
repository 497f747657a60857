package sms_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o sandbox.Options) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

func newBook(t *testing.T) *channels.ErrorBook {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return book
}

// options are those of the sandbox's account.
func options(t *testing.T, sb *sandbox.Server) sms.Options {
	return sms.Options{
		AccountSID: sb.Twilio.AccountSID, AuthToken: sb.Twilio.AuthToken,
		From: sb.Twilio.From, BaseURL: sb.Twilio.URL, Book: newBook(t),
	}
}

// open makes a channel for the sandbox's account.
func open(t *testing.T, sb *sandbox.Server, change ...func(*sms.Options)) *sms.Channel {
	t.Helper()
	o := options(t, sb)
	for _, c := range change {
		c(&o)
	}
	ch, err := sms.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close()) })
	return ch
}

func number(n int) string { return fmt.Sprintf("+1415555%04d", 100+n) }

// failed is the *Error of a delivery that must fail.
func failed(t *testing.T, ch *sms.Channel, d channels.Delivery) *channels.Error {
	t.Helper()
	receipt, err := ch.Deliver(t.Context(), d)
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	require.Zero(t, receipt)
	return got
}

func refused(code string, kind channels.Kind) channeltest.Case {
	return channeltest.Case{Name: code, Answer: sandbox.Answer{Code: code}, Kind: kind, Code: code}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, channeltest.Suite{
		Provider: sandbox.ProviderTwilio,
		New:      func(t *testing.T, sb *sandbox.Server) channels.Channel { return open(t, sb) },
		Endpoint: func(_ *sandbox.Server, n int) string { return number(n) },
		Bad: []string{
			"4155550100", "+1415555010", "+555", "+141555501000000", "tel:+14155550100", "+14155550100;ext=5",
			"+14155550100x5", "+1800FLOWERS", "+999123456789", "+5550100", "+１４１５５５５０１００", "alice@example.com", "+",
		},
		Secrets: []string{strings.Repeat("7e57", 8)},
		Answers: []channeltest.Case{
			refused("21602", channels.Rejected),
			refused("21604", channels.Rejected),
			refused("21617", channels.Rejected),
			refused("21619", channels.Rejected),
			refused("90007", channels.Rejected),
			refused("21408", channels.Rejected),
			refused("21612", channels.Rejected),
			refused("21608", channels.Rejected),
			refused("21211", channels.EndpointGone),
			refused("21614", channels.EndpointGone),
			refused("21635", channels.EndpointGone),
			refused("21217", channels.EndpointGone),
			refused("21610", channels.RecipientBlocked),
			refused("20003", channels.AccountFault),
			refused("20005", channels.AccountFault),
			refused("20403", channels.AccountFault),
			refused("20404", channels.AccountFault),
			refused("10001", channels.AccountFault),
			refused("70051", channels.AccountFault),
			refused("21212", channels.AccountFault),
			refused("21603", channels.AccountFault),
			refused("21660", channels.AccountFault),
			refused("21661", channels.AccountFault),
			refused("21609", channels.AccountFault),
			refused("63038", channels.AccountFault),
			refused("21606", channels.Temporary),
			refused("21659", channels.Temporary),
			refused("20503", channels.Temporary),
			refused("20429", channels.Throttled),
			refused("63017", channels.Throttled),
			refused("21611", channels.Throttled),
			refused("20500", channels.Uncertain),
			{
				Name: "429 with Retry-After", Answer: sandbox.Answer{Status: 429, RetryAfter: 7},
				Kind: channels.Throttled, Code: "20429", RetryAfter: 7 * time.Second,
			},
			{Name: "401", Answer: sandbox.Answer{Status: 401}, Kind: channels.AccountFault, Code: "20003"},
			{Name: "403 suspended", Answer: sandbox.Answer{Status: 403, Code: "20003"}, Kind: channels.AccountFault},
			{Name: "403 of another code", Answer: sandbox.Answer{Status: 403, Code: "20999"}, Kind: channels.AccountFault},
			{Name: "500", Answer: sandbox.Answer{Status: 500}, Kind: channels.Uncertain, Code: "20500"},
			{Name: "502 page", Answer: sandbox.Answer{Status: 502}, Kind: channels.Uncertain},
			{Name: "503", Answer: sandbox.Answer{Status: 503, RetryAfter: 2}, Kind: channels.Temporary, Code: "20503", RetryAfter: 2 * time.Second},
			{Name: "504 page", Answer: sandbox.Answer{Status: 504}, Kind: channels.Uncertain},
		},
	})
}

// An answer nobody has classified is tried again, and counted.
func TestUnknownCode(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	sb.Script(sandbox.ProviderTwilio, number(1), sandbox.Answer{Status: 400, Code: "29999"})
	got := failed(t, open(t, sb), channeltest.Delivery(number(1), 1))
	require.Equal(t, channels.Temporary, got.Kind)
	require.True(t, got.Unknown)
	require.Equal(t, "29999", got.Code)
}

// A wrong sender must not dead-letter people, a foreign one not pause the account.
func TestWrongSenderEscalates(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	got := failed(t, open(t, sb, func(o *sms.Options) { o.From = "+15005550007" }), channeltest.Delivery(number(1), 1))
	require.Equal(t, "21606", got.Code)
	require.Equal(t, channels.Temporary, got.Kind)
	require.Equal(t, &channels.Escalation{Share: 0.5, Window: 5 * time.Minute, Least: 3, Kind: channels.AccountFault}, got.Escalate)
}

// serve makes a channel whose provider is the handler.
func serve(t *testing.T, h http.HandlerFunc) *sms.Channel {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	ch, err := sms.New(sms.Options{
		AccountSID: "AC" + strings.Repeat("0", 32), AuthToken: "token", From: "Fanfare", BaseURL: srv.URL + "/proxy/", Book: newBook(t),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close()) })
	return ch
}

func TestUnreadableAcceptance(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"cut": `{"sid": "SM`, "page": "<html>hello</html>", "no sid": `{}`, "null": `null`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusCreated)
				_, _ = w.Write([]byte(body))
			})
			got := failed(t, ch, channeltest.Delivery(number(1), 1))
			require.Equal(t, channels.Uncertain, got.Kind, "the message may have been created")
			require.Equal(t, "no_answer", got.Code)
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var paths []string
	ch := serve(t, func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.Path)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	got := failed(t, ch, channeltest.Delivery(number(1), 1))
	require.Equal(t, 307, got.Status)
	require.True(t, got.Unknown)
	require.Equal(t, []string{"/proxy/2010-04-01/Accounts/AC" + strings.Repeat("0", 32) + "/Messages.json"}, paths)
}

// An endless answer is read with a bound.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	ch := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		for range 1000 {
			_, _ = w.Write([]byte(strings.Repeat(" ", 64<<10)))
		}
	})
	got := failed(t, ch, channeltest.Delivery(number(1), 1))
	require.Equal(t, 400, got.Status)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	sb.Script(sandbox.ProviderTwilio, number(1), sandbox.Answer{Hang: true})
	var got *channels.Error
	for timeout := 50 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
		ch := open(t, sb, func(o *sms.Options) { o.Timeout = timeout })
		if got = failed(t, ch, channeltest.Delivery(number(1), 1)); got.Code != "connect" {
			break
		} // it was too short for this machine to connect
	}
	require.Equal(t, channels.Uncertain, got.Kind)
}
