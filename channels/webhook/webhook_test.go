package webhook_test

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var loopback = channels.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// open makes a channel that may call loopback and trusts the CA, if any.
func open(t *testing.T, caPEM []byte, change ...func(*webhook.Options)) *webhook.Channel {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	o := webhook.Options{Book: book, Guard: loopback, RootCAs: x509.NewCertPool()}
	if caPEM != nil {
		require.True(t, o.RootCAs.AppendCertsFromPEM(caPEM))
	}
	for _, c := range change {
		c(&o)
	}
	ch, err := webhook.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close()) })
	return ch
}

func start(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

func TestChannel(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, channeltest.Suite{
				Provider: sandbox.ProviderWebhook,
				New: func(t *testing.T, sb *sandbox.Server) channels.Channel {
					return open(t, sb.Webhook.CAPEM)
				},
				Endpoint: func(sb *sandbox.Server, n int) string {
					base := sb.Webhook.URL
					if scheme == "https" {
						base = sb.Webhook.TLSURL
					}
					return fmt.Sprintf("%s/hook/%d?token=sesame", base, n)
				},
				Bad:       badEndpoints,
				Answers:   answers(),
				Delivered: true,
				Secrets:   []string{"sesame", echo},
			})
		})
	}
}

// echo is in the body of every refusal and must be in no error.
const echo = "what-the-receiver-wrote"

func answers() []channeltest.Case {
	var out []channeltest.Case
	add := func(kind channels.Kind, statuses ...int) {
		for _, s := range statuses {
			out = append(out, channeltest.Case{
				Name: fmt.Sprint(s), Kind: kind,
				Answer: sandbox.Answer{Status: s, Message: echo},
			})
		}
	}
	add(channels.EndpointGone, 410)
	add(channels.Throttled, 429, 502, 504)
	add(channels.Temporary, 500, 501, 503, 505, 507, 511, 599)
	add(channels.Temporary, 408, 425)
	add(channels.Temporary, 400, 401, 403, 404, 405, 406, 409, 411, 413, 414, 415, 418, 422, 451)
	add(channels.Temporary, 300, 301, 302, 303, 304, 307, 308)
	for _, s := range []int{408, 429, 500, 502, 503} {
		kind := channels.Temporary
		if s == 429 || s == 502 {
			kind = channels.Throttled
		}
		out = append(out, channeltest.Case{
			Name: fmt.Sprintf("%d with Retry-After", s), Kind: kind, RetryAfter: 90 * time.Second,
			Answer: sandbox.Answer{Status: s, RetryAfter: 90, Message: echo},
		})
	}
	return append(out, channeltest.Case{
		Name: "code alone", Kind: channels.Temporary, Answer: sandbox.Answer{Code: echo},
	}, channeltest.Case{
		Name: "absurd Retry-After", Kind: channels.Throttled, RetryAfter: 24 * time.Hour,
		Answer: sandbox.Answer{Status: 429, RetryAfter: 1 << 60},
	})
}

var badEndpoints = []string{
	"hooks.example.org/x", "/relative", "//example.com/hook", "ftp://example.com/", "mailto:ops@example.com", "https:example.com",
	"https://?hook", "https:///path", "https://:443/", "https://user@example.com/", "https://user:pass@example.com/",
	"https://example.com/#part", "https://example.com/#", "https://example.com:0/", "https://example.com:65536/",
	"https://example.com:http/", "https://exa mple.com/", "https://example.com/a b", "https://example.com/?q=a b",
	"https://example.com/ümlaut", "https://bücher.example/", "https://example..com/", "https://.example.com/",
	"https://example.com\\@10.0.0.1/", "https://ex%61mple.com/", "https://example.com/\r\nX-Injected: 1",
	"https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://017700000001/",
	"https://256.1.1.1/", "https://1.2.3.4.5/", "https://10.0.0.1/", "https://10.0.0.1./", "https://169.254.169.254/latest/meta-data/",
	"http://192.168.1.1:8080/", "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://[fe80::1%25eth0]/", "http://[fd00::1]:9000/",
	"http://[64:ff9b::a00:1]/", "http://[2002:a00:1::1]/", "http://0.0.0.0/", "http://[::]/", "http://255.255.255.255/",
	"https://example.com/" + strings.Repeat("x", 2048),
	"https://" + strings.Repeat("a", 64) + ".com/",
}

func TestMaxTries(t *testing.T) {
	t.Parallel()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	for status, want := range map[int]int{404: 4, 401: 4, 422: 4, 408: 0, 425: 0, 429: 0, 500: 0, 503: 0, 301: 3, 308: 3, 101: 3} {
		got := book.Judge(channels.Answer{Provider: webhook.Provider, Status: status})
		require.Equal(t, want, got.MaxTries, "status %d", status)
		require.False(t, got.Unknown)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	for field, o := range map[string]webhook.Options{
		"Book":    {},
		"Timeout": {Book: book, Timeout: -1},
	} {
		_, err := webhook.New(o)
		require.ErrorContains(t, err, field)
	}
}
