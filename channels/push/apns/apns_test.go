package apns_test

import (
	"crypto/x509"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/push/apns"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func start(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

var readBook = sync.OnceValues(func() (*channels.ErrorBook, error) { return channels.NewErrorBook(nil) })

func book(t *testing.T) *channels.ErrorBook {
	t.Helper()
	b, err := readBook()
	require.NoError(t, err)
	return b
}

// options are good ones against the sandbox, signing in by token.
func options(t *testing.T, sb *sandbox.Server) apns.Options {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(sb.APNs.CAPEM))
	return apns.Options{
		Topic: sb.APNs.Topic, Key: sb.APNs.KeyPEM, KeyID: sb.APNs.KeyID, TeamID: sb.APNs.TeamID,
		Host: sb.APNs.URL, RootCAs: roots, Book: book(t),
	}
}

func open(t *testing.T, o apns.Options) *apns.Channel {
	t.Helper()
	ch, err := apns.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close()) })
	return ch
}

func device(n int) string { return fmt.Sprintf("%064x", n) }

func failure(t *testing.T, err error) *channels.Error {
	t.Helper()
	var e *channels.Error
	require.ErrorAs(t, err, &e)
	return e
}

// answers is Apple's table,
// https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
func answers() []channeltest.Case {
	kinds := []struct {
		kind  channels.Kind
		codes string
	}{
		{channels.EndpointGone, "BadDeviceToken DeviceTokenNotForTopic Unregistered ExpiredToken"},
		{channels.Rejected, "PayloadEmpty BadCollapseId BadExpirationDate BadMessageId BadPriority InvalidPushType " +
			"DuplicateHeaders MissingDeviceToken BadPath MethodNotAllowed PayloadTooLarge"},
		{channels.AccountFault, "BadTopic MissingTopic TopicDisallowed BadCertificate BadCertificateEnvironment " +
			"InvalidProviderToken MissingProviderToken Forbidden UnrelatedKeyIdInToken BadEnvironmentKeyIdInToken " +
			"TooManyProviderTokenUpdates"},
		{channels.Temporary, "IdleTimeout ExpiredProviderToken TooManyRequests InternalServerError ServiceUnavailable Shutdown"},
	}
	var cases []channeltest.Case
	for _, k := range kinds {
		for _, code := range strings.Fields(k.codes) {
			cases = append(cases, channeltest.Case{
				Name: code, Kind: k.kind, Code: code, Answer: sandbox.Answer{Code: code, Times: 1},
			})
		}
	}
	for status, kind := range map[int]channels.Kind{
		403: channels.AccountFault, 404: channels.Rejected, 405: channels.Rejected, 410: channels.EndpointGone,
		413: channels.Rejected, 429: channels.Temporary, 500: channels.Temporary, 502: channels.Temporary, 503: channels.Temporary,
	} {
		cases = append(cases, channeltest.Case{
			Name: fmt.Sprint(status), Kind: kind, Answer: sandbox.Answer{Status: status, Times: 1},
		})
	}
	return append(cases, channeltest.Case{
		Name: "retry after", Kind: channels.Temporary, Code: "TooManyRequests", RetryAfter: 90 * time.Second,
		Answer: sandbox.Answer{Code: "TooManyRequests", RetryAfter: 90, Times: 1},
	})
}

func TestChannel(t *testing.T) {
	t.Parallel()
	bad := []string{
		device(1)[1:], device(1)[:62], device(1) + "f", strings.Repeat("ab", 101), "g" + device(1)[1:], device(1) + "/x",
		strings.Repeat(" ", 64), "<" + device(1) + ">",
	}
	t.Run("token", func(t *testing.T) {
		t.Parallel()
		channeltest.Run(t, channeltest.Suite{
			Provider: sandbox.ProviderAPNs,
			New:      func(t *testing.T, sb *sandbox.Server) channels.Channel { return open(t, options(t, sb)) },
			Endpoint: func(_ *sandbox.Server, n int) string { return device(n) },
			Bad:      bad,
			Answers:  answers(),
			Secrets:  []string{"bearer", "PRIVATE KEY", "eyJ"},
		})
	})
	t.Run("certificate", func(t *testing.T) {
		t.Parallel()
		channeltest.Run(t, channeltest.Suite{
			Provider: sandbox.ProviderAPNs,
			New:      func(t *testing.T, sb *sandbox.Server) channels.Channel { return open(t, byCertificate(t, sb)) },
			Endpoint: func(_ *sandbox.Server, n int) string { return device(n) },
			Bad:      bad,
			Answers:  answers(),
		})
	})
}

func byCertificate(t *testing.T, sb *sandbox.Server) apns.Options {
	o := options(t, sb)
	o.Key, o.KeyID, o.TeamID = nil, "", ""
	o.Certificate, o.CertificateKey = sb.APNs.ClientCertPEM, sb.APNs.ClientKeyPEM
	return o
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	sb := start(t)
	inOne := byCertificate(t, sb)
	inOne.Certificate, inOne.CertificateKey = append(inOne.CertificateKey, inOne.Certificate...), nil
	for name, c := range map[string]struct {
		o    apns.Options
		auth string
	}{
		"token": {options(t, sb), "token"}, "certificate": {byCertificate(t, sb), "certificate"}, "one PEM": {inOne, "certificate"},
	} {
		d := channeltest.Delivery(device(100+len(name)), 1)
		_, err := open(t, c.o).Deliver(t.Context(), d)
		require.NoError(t, err, name)
		require.Equal(t, c.auth, sb.Inbox("apns", d.Endpoint)[0].Fields["auth"], name)
	}
}

func TestEndpointIsTheSameInUpperCase(t *testing.T) {
	t.Parallel()
	ch := open(t, options(t, start(t)))
	low, err := ch.CheckEndpoint(strings.Repeat("ab", 80))
	require.NoError(t, err)
	up, err := ch.CheckEndpoint(strings.Repeat("AB", 80))
	require.NoError(t, err)
	require.Equal(t, low, up)
	require.Equal(t, "dev.fanfare.sandbox", low.Group)
}

func TestGoneSince(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	since := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	sb.Script("apns", device(1), sandbox.Answer{Code: "Unregistered", Since: since})
	_, err := ch.Deliver(t.Context(), channeltest.Delivery(device(1), 1))
	require.Equal(t, since, failure(t, err).Since.UTC())
	sb.Script("apns", device(2), sandbox.Answer{Code: "BadDeviceToken"})
	_, err = ch.Deliver(t.Context(), channeltest.Delivery(device(2), 2))
	require.Zero(t, failure(t, err).Since)
}

func TestManyForeignTokensEscalate(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"BadDeviceToken", "DeviceTokenNotForTopic"} {
		e := book(t).Judge(channels.Answer{Provider: apns.Provider, Status: 400, Code: code})
		require.NotNil(t, e.Escalate)
		require.Equal(t, channels.AccountFault, e.Escalate.Kind)
		require.InDelta(t, 0.05, e.Escalate.Share, 1e-9)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for field, spoil := range map[string]func(*apns.Options){
		"Book":        func(o *apns.Options) { o.Book = nil },
		"Topic":       func(o *apns.Options) { o.Topic = "" },
		"Host":        func(o *apns.Options) { o.Host = "http://api.push.apple.com" },
		"Timeout":     func(o *apns.Options) { o.Timeout = -1 },
		"Key":         func(o *apns.Options) { o.Key = []byte("no PEM") },
		"Key or Cert": func(o *apns.Options) { o.Key = nil },
		"KeyID":       func(o *apns.Options) { o.KeyID = "short" },
		"TeamID":      func(o *apns.Options) { o.TeamID = "" },
		"not both":    func(o *apns.Options) { o.Certificate = sb.APNs.ClientCertPEM },
		"Certificate": func(o *apns.Options) { o.Key, o.Certificate = nil, sb.APNs.ClientCertPEM },
	} {
		o := options(t, sb)
		spoil(&o)
		_, err := apns.New(o)
		require.ErrorContains(t, err, field)
	}
	o := options(t, sb)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "apns app dev.fanfare.sandbox", fmt.Sprintf(format, o))
	}
	o.Host = "" // production, not the SDK's default
	require.NotPanics(t, func() { open(t, o) })
	require.Equal(t, "https://api.push.apple.com", apns.Production)
}
