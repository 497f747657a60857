package channels_test

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
)

func TestErrorBook(t *testing.T) {
	t.Parallel()
	book, err := channels.NewErrorBook([]byte(`
- {provider: mine, status: "410", kind: endpoint_gone, source: "https://mine.example/errors"}
- {provider: mine, code: "21*", reason: "Opted Out", kind: recipient_blocked}
- {provider: mine, status: 5xx, kind: temporary, max_tries: 3, wait: 15m}
- {provider: mine, status: "400", kind: rejected, escalate: {share: 0.05, window: 10m, least: 50, kind: account_fault}}
- {provider: apns, status: "410", kind: rejected}
`))
	require.NoError(t, err)
	for _, c := range []struct {
		name   string
		answer channels.Answer
		want   channels.Error
	}{
		{"status", channels.Answer{Status: 410}, channels.Error{Kind: channels.EndpointGone}},
		{"class", channels.Answer{Status: 503}, channels.Error{MaxTries: 3, Wait: 15 * time.Minute}},
		{"code and reason", channels.Answer{Code: "21610", Reason: "has OPTED out."}, channels.Error{Kind: channels.RecipientBlocked}},
		{"other reason", channels.Answer{Code: "21610"}, channels.Error{Unknown: true}},
		{"escalation", channels.Answer{Status: 400}, channels.Error{Kind: channels.Rejected, Escalate: &channels.Escalation{
			Share: 0.05, Window: 10 * time.Minute, Least: 50, Kind: channels.AccountFault}}},
		{"unknown", channels.Answer{Status: 418, RetryAfter: time.Minute}, channels.Error{Unknown: true, RetryAfter: time.Minute}},
		{"the operator's row is first", channels.Answer{Provider: "apns", Status: 410}, channels.Error{Kind: channels.Rejected}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.answer.Provider == "" {
				c.answer.Provider = "mine"
			}
			c.want.Provider, c.want.Status, c.want.Code = c.answer.Provider, c.answer.Status, c.answer.Code
			require.Equal(t, c.want, *book.Judge(c.answer))
		})
	}
	base, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	gone := channels.Answer{Provider: "fcm", Status: 404, Code: "UNREGISTERED"}
	require.Equal(t, channels.EndpointGone, base.Judge(gone).Kind)
	require.Equal(t, base.Judge(gone), book.Judge(gone), "the own rows are there as well")
	require.Equal(t, channels.EndpointGone, base.Judge(channels.Answer{Provider: "apns", Status: 410}).Kind)
}

func TestErrorBookRefusesBadRows(t *testing.T) {
	t.Parallel()
	for name, rows := range map[string]string{
		"kind":     `- {provider: mine, kind: sometimes}`,
		"field":    `- {provider: mine, stauts: "400", kind: rejected}`,
		"duration": `- {provider: mine, kind: temporary, wait: soon}`,
		"form":     `provider: mine`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := channels.NewErrorBook([]byte("# own rows\n" + rows))
			require.ErrorContains(t, err, "error book")
			if name == "field" {
				require.ErrorContains(t, err, "2", "the line")
			}
		})
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	dial := func(e syscall.Errno) error {
		return &url.Error{Op: "Post", URL: "https://secret.example/token", Err: &net.OpError{Op: "dial", Net: "tcp", Err: e}}
	}
	dialTo := func(ip string, e syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(ip)}, Err: e}
	}
	for _, c := range []struct {
		name        string
		err         error
		written     bool
		code        string
		kind        channels.Kind
		unreachable bool
	}{
		{"refused", dial(syscall.ECONNREFUSED), false, "connect", channels.Temporary, false},
		{"no route", dial(syscall.ENETUNREACH), false, "connect", channels.Temporary, true},
		{"no host", dialTo("203.0.113.1", syscall.EHOSTUNREACH), false, "connect", channels.Temporary, true},
		{"no such neighbour", dialTo("192.168.7.7", syscall.EHOSTUNREACH), false, "connect", channels.Temporary, false},
		{"no name server", &net.DNSError{Err: "timeout", Name: "secret.example", IsTimeout: true}, false, "connect", channels.Temporary, true},
		{"no such name", &net.DNSError{Err: "no such host", Name: "secret.example", IsNotFound: true}, false, "connect", channels.Temporary, false},
		{"lost", dial(syscall.ECONNRESET), true, "no_answer", channels.Uncertain, false},
		{"guarded", fmt.Errorf("dial: %w", channels.ErrBlockedAddress), false, "blocked_address", channels.Rejected, false},
		{"other", errors.New("odd"), false, "connect", channels.Temporary, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := book.Transport("webhook", c.err, c.written)
			require.Equal(t, c.code, e.Code)
			require.Equal(t, c.kind.String(), e.Kind.String())
			require.Equal(t, c.unreachable, e.Unreachable)
			require.NotContains(t, e.Error(), "secret")
			require.False(t, e.Unknown)
		})
	}
}
