package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestSMTPLogin(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{})
	user, pass := sb.SMTP.Username, sb.SMTP.Password
	for _, c := range []struct {
		name  string
		login sasl.Client
		code  int
	}{
		{"plain", sasl.NewPlainClient("", user, pass), 0},
		{"login", sasl.NewLoginClient(user, pass), 0},
		{"plain, wrong", sasl.NewPlainClient("", user, "guess"), 535},
		{"login, wrong", sasl.NewLoginClient(user, "guess"), 535},
	} {
		cl := dialMail(t, sb)
		err := cl.Auth(c.login)
		if c.code == 0 {
			require.NoError(t, err, c.name)
			require.NoError(t, cl.Mail("a@example.com", nil), c.name)
			continue
		}
		requireReply(t, err, c.code, "5.7.8")
		requireReply(t, cl.Mail("a@example.com", nil), 530, "5.7.0")
	}
}

func TestSMTPWantsTLS(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{})
	cl, err := smtp.Dial(sb.SMTP.Addr)
	require.NoError(t, err)
	defer cl.Close()
	offered, _ := cl.Extension("AUTH")
	require.False(t, offered, "no password in the clear")
	requireReply(t, cl.Mail("a@example.com", nil), 530, "5.7.0")
}

func TestSMTPRefusesMalformedMail(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{})
	for name, text := range map[string]string{
		"no From":      "Date: Tue, 14 Oct 2025 10:00:00 +0000\r\n\r\nhi\r\n",
		"no Date":      "From: a@example.com\r\n\r\nhi\r\n",
		"two subjects": strings.Replace(mailText("x"), "Subject: s", "Subject: s\r\nSubject: again", 1),
		"no header":    "\r\nhi\r\n",
	} {
		requireReply(t, sendMail(t, sb, "ann@example.net", text), 554, "5.6.0")
		require.Empty(t, sb.Inbox(sandbox.ProviderSMTP, ""), name)
	}
}

func TestSMTPEvents(t *testing.T) {
	t.Parallel()
	sb := startMail(t, sandbox.Options{CallbackDelay: time.Millisecond})
	got, url := receive(t, 1)
	sb.SMTP.Events(url, "shared-secret")
	sb.Script(sandbox.ProviderSMTP, "gone@example.net", sandbox.Answer{Callbacks: []string{"bounced:5.1.1"}})
	sb.Script(sandbox.ProviderSMTP, "angry@example.net", sandbox.Answer{Callbacks: []string{"delivered", "complained"}})
	sb.Script(sandbox.ProviderSMTP, "mute@example.net", sandbox.Answer{Callbacks: []string{}})

	require.NoError(t, sendMail(t, sb, "mute@example.net", mailText("1")))
	require.NoError(t, sendMail(t, sb, "ann@example.net", mailText("2")))
	require.Equal(t, sandbox.RelayEvent{Event: "delivered", MessageID: "2@example.com", Recipient: "ann@example.net"}, <-got,
		"reported again after the receiver failed once")
	require.NoError(t, sendMail(t, sb, "gone@example.net", mailText("3")))
	require.Equal(t, sandbox.RelayEvent{Event: "bounced", MessageID: "3@example.com", Recipient: "gone@example.net", Status: "5.1.1"}, <-got)
	require.NoError(t, sendMail(t, sb, "angry@example.net", mailText("4")))
	require.Equal(t, "delivered", (<-got).Event)
	require.Equal(t, "complained", (<-got).Event)
}

// TestSMTPEventsGoOnAfterRestart: a relay that was ended before it could
// report does so in its next life, as was scripted then.
func TestSMTPEventsGoOnAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := sandbox.Start(sandbox.Options{Dir: dir, CallbackDelay: time.Hour})
	require.NoError(t, err)
	first.SMTP.Events("http://127.0.0.1:1/", "s")
	first.Script(sandbox.ProviderSMTP, "gone@example.net", sandbox.Answer{Callbacks: []string{"bounced:5.1.1"}})
	require.NoError(t, sendMail(t, first, "gone@example.net", mailText("1")))
	require.NoError(t, first.Close())

	sb := startMail(t, sandbox.Options{Dir: dir, CallbackDelay: time.Millisecond})
	got, url := receive(t, 0)
	sb.SMTP.Events(url, "shared-secret")
	require.Equal(t, sandbox.RelayEvent{Event: "bounced", MessageID: "1@example.com", Recipient: "gone@example.net", Status: "5.1.1"}, <-got)
}

// receive is a receiver of events that checks their signature and fails the
// first few.
func receive(t *testing.T, failures int) (<-chan sandbox.RelayEvent, string) {
	t.Helper()
	got := make(chan sandbox.RelayEvent, 16)
	left := make(chan struct{}, 16)
	for range failures {
		left <- struct{}{}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-left:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		default:
		}
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("shared-secret"))
		mac.Write(body)
		var event sandbox.RelayEvent
		if r.Header.Get("X-Relay-Signature") != hex.EncodeToString(mac.Sum(nil)) || json.Unmarshal(body, &event) != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		got <- event
	}))
	t.Cleanup(srv.Close)
	return got, srv.URL
}

func startMail(t *testing.T, o sandbox.Options) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

// dialMail is a connection with TLS, not logged in.
func dialMail(t *testing.T, sb *sandbox.Server) *smtp.Client {
	t.Helper()
	cl, err := smtp.DialStartTLS(sb.SMTP.Addr, &tls.Config{RootCAs: sb.SMTP.Roots(), ServerName: "localhost"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cl.Close() })
	return cl
}

func sendMail(t *testing.T, sb *sandbox.Server, to, text string) error {
	t.Helper()
	cl := dialMail(t, sb)
	require.NoError(t, cl.Auth(sasl.NewPlainClient("", sb.SMTP.Username, sb.SMTP.Password)))
	return cl.SendMail("alerts@example.com", []string{to}, strings.NewReader(text))
}

func mailText(id string) string {
	return fmt.Sprintf("From: alerts@example.com\r\nDate: Tue, 14 Oct 2025 10:00:00 +0000\r\nMessage-ID: <%s@example.com>\r\nSubject: s\r\n\r\nhi\r\n", id)
}

func requireReply(t *testing.T, err error, code int, enhanced string) {
	t.Helper()
	var reply *smtp.SMTPError
	require.ErrorAs(t, err, &reply)
	require.Equal(t, code, reply.Code)
	e := reply.EnhancedCode
	require.Equal(t, enhanced, fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2]))
}
