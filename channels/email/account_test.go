package email_test

import (
	"bufio"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/email"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// TestAccountFaults: what is wrong with the account is never the recipient's
// fault, and Probe sees it as Deliver does.
func TestAccountFaults(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for _, c := range []struct {
		name   string
		change func(*email.Options, *sandbox.Server)
		status int
		code   string
	}{
		{"wrong password", func(o *email.Options, _ *sandbox.Server) { o.Password = "guess" }, 535, "5.7.8"},
		{"wrong user", func(o *email.Options, _ *sandbox.Server) { o.Username = "guess" }, 535, "5.7.8"},
		{"unknown authority", func(o *email.Options, _ *sandbox.Server) { o.RootCAs = x509.NewCertPool() }, 0, "tls"},
		{"other name", func(o *email.Options, _ *sandbox.Server) { o.Host = "0.0.0.0" }, 0, "tls"}, // this machine by a name its certificate lacks
		{"no TLS on the TLS port", func(o *email.Options, _ *sandbox.Server) { o.TLS = email.ImplicitTLS }, 0, "tls"},
		{"no AUTH without TLS", func(o *email.Options, _ *sandbox.Server) { o.TLS = email.NoTLS }, 0, "no_auth"},
		{"greeting 554", func(_ *email.Options, sb *sandbox.Server) {
			sb.Script(sandbox.ProviderSMTP, "CONNECT", sandbox.Answer{Status: 554, Code: "5.7.1"})
		}, 554, "5.7.1"},
		{"534", func(_ *email.Options, sb *sandbox.Server) {
			sb.Script(sandbox.ProviderSMTP, "AUTH", sandbox.Answer{Status: 534, Code: "5.7.9"})
		}, 534, "5.7.9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, step := range []string{"CONNECT", "AUTH"} {
				sb.Script(sandbox.ProviderSMTP, step)
			}
			o := options(t, sb)
			c.change(&o, sb)
			ch := open(t, o)
			_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
			for _, err := range []error{err, ch.Probe(t.Context())} {
				got := fault(t, err)
				require.Equal(t, channels.AccountFault.String(), got.Kind.String(), "%v", err)
				require.Equal(t, c.status, got.Status)
				require.Equal(t, c.code, got.Code)
				require.False(t, got.Unknown)
				require.NotContains(t, err.Error(), "guess")
				require.NotContains(t, err.Error(), o.Username)
			}
			require.Empty(t, sb.Requests(sandbox.ProviderSMTP, ""))
		})
	}
}

func TestLoginMissing(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	o.Username, o.Password = "", ""
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	got := fault(t, err)
	require.Equal(t, channels.AccountFault, got.Kind)
	require.Equal(t, 530, got.Status)
}

func TestProbeSendsNothing(t *testing.T) {
	t.Parallel()
	sb := start(t)
	require.NoError(t, open(t, options(t, sb)).Probe(t.Context()))
	require.Empty(t, sb.Requests(sandbox.ProviderSMTP, ""))
	await(t, func() bool { return sb.SMTP.Connections() == 0 })
}

func TestTemporaryTrouble(t *testing.T) {
	t.Parallel()
	sb := start(t)
	for _, c := range []struct {
		step   string
		answer sandbox.Answer
	}{
		{"CONNECT", sandbox.Answer{Status: 421, Code: "4.7.0", Times: 1}},
		{"AUTH", sandbox.Answer{Status: 454, Code: "4.7.0", Times: 1}},
		{"MAIL", sandbox.Answer{Status: 451, Code: "4.3.0", Times: 1}},
	} {
		ch := open(t, options(t, sb)) // its first delivery connects
		sb.Script(sandbox.ProviderSMTP, c.step, c.answer)
		_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
		got := fault(t, err)
		require.Equal(t, channels.Temporary, got.Kind, c.step)
		require.Equal(t, c.answer.Status, got.Status)
		_, err = ch.Deliver(t.Context(), channeltest.Delivery("ann@example.net", 2))
		require.NoError(t, err)
	}
}

// TestSenderRefused: at MAIL the relay does not know the recipient yet.
func TestSenderRefused(t *testing.T) {
	t.Parallel()
	sb := start(t)
	sb.Script(sandbox.ProviderSMTP, "MAIL", sandbox.Answer{Status: 550, Code: "5.1.1"})
	_, err := open(t, options(t, sb)).Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	got := fault(t, err)
	require.Equal(t, channels.Rejected, got.Kind)
	require.NotNil(t, got.Escalate)
}

func TestNothingListens(t *testing.T) {
	t.Parallel()
	o := bare(t)
	closed, _ := channeltest.Closed(t)
	o.Host, o.Port = split(t, closed)
	_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("ann@example.net", 1))
	got := fault(t, err)
	require.Equal(t, channels.Temporary, got.Kind, "go-mail takes it for permanent")
	require.Equal(t, "connect", got.Code)
	require.NotContains(t, err.Error(), o.Host)
}

// TestSilentRelay: the context ends a connection that never greets.
func TestSilentRelay(t *testing.T) {
	t.Parallel()
	o := bare(t)
	o.Host, o.Port = split(t, relay(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := open(t, o).Deliver(ctx, channeltest.Delivery("ann@example.net", 1))
	got := fault(t, err)
	require.Equal(t, channels.Temporary, got.Kind)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// TestPlainRelay runs against relays with few manners, over plain SMTP.
func TestPlainRelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		ehlo    string
		replies map[string]string // by command; "." is the final dot; "" closes
		to      string
		kind    channels.Kind
		code    string
	}{
		{name: "no STARTTLS", to: "starttls", kind: channels.AccountFault, code: "no_starttls"},
		{name: "no SMTPUTF8", to: "用户@example.net", kind: channels.Rejected, code: "no_smtputf8"},
		{name: "nonsense after the final dot", replies: map[string]string{".": "gibberish"}, kind: channels.Uncertain, code: "no_answer"},
		{name: "closed at DATA", replies: map[string]string{"DATA": ""}, kind: channels.Temporary, code: "connect"},
		{name: "refused at DATA", replies: map[string]string{"DATA": "550 5.7.1 no"}, kind: channels.Rejected, code: "5.7.1"},
		{name: "several lines", replies: map[string]string{"RCPT": "550-5.1.1 no\r\n550 5.1.1 such user"}, kind: channels.EndpointGone, code: "5.1.1"},
		{name: "code inside the text only", replies: map[string]string{"RCPT": "550 see RFC 5.1.1 of our rules"}, kind: channels.Rejected},
		{name: "unknown reply", replies: map[string]string{"RCPT": "350 hm"}, kind: channels.Temporary},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := bare(t)
			if c.to == "starttls" {
				o.TLS, c.to = email.StartTLS, ""
			}
			o.Host, o.Port = split(t, relay(t, rude(c.replies)))
			if c.to == "" {
				c.to = "ann@example.net"
			}
			_, err := open(t, o).Deliver(t.Context(), channeltest.Delivery(c.to, 1))
			got := fault(t, err)
			require.Equal(t, c.kind.String(), got.Kind.String(), "%v", err)
			require.Equal(t, c.code, got.Code)
		})
	}
}

func TestReceiptNamesTheQueue(t *testing.T) {
	t.Parallel()
	d := channeltest.Delivery("ann@example.net", 1)
	for reply, want := range map[string]string{
		"250 2.0.0 Ok: queued as 4FzX2k1Qz9z":                                 "4FzX2k1Qz9z",
		"250 OK id=1uAbCd-0000000Abc-1xYz":                                    "1uAbCd-0000000Abc-1xYz",
		"250 Ok 0102018f3c2a1b4d-0a1b2c3d-0000-1111-2222-333344445555-000000": "0102018f3c2a1b4d-0a1b2c3d-0000-1111-2222-333344445555-000000",
		"250 2.0.0 accepted":                                                  d.ID.Hex() + "@example.com",
		"251 will forward":                                                    d.ID.Hex() + "@example.com",
	} {
		o := bare(t)
		o.Host, o.Port = split(t, relay(t, rude(map[string]string{".": reply})))
		got, err := open(t, o).Deliver(t.Context(), d)
		require.NoError(t, err, reply)
		require.Equal(t, want, got.ProviderID)
	}
}

// relay serves one connection after the other and returns the address.
func relay(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// rude is a relay without extensions that answers 250 but for the replies given.
func rude(replies map[string]string) func(net.Conn) {
	return func(c net.Conn) {
		fmt.Fprintf(c, "220 rude\r\n")
		lines := bufio.NewScanner(c)
		inData := false
		for lines.Scan() {
			command, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " ")
			if inData && command != "." {
				continue
			}
			reply, scripted := replies[command]
			if !scripted {
				reply = map[string]string{"DATA": "354 go ahead", "QUIT": "221 bye"}[command]
			}
			if scripted && reply == "" {
				return
			}
			if reply == "" {
				reply = "250 ok"
			}
			inData = strings.HasPrefix(reply, "354")
			fmt.Fprintf(c, "%s\r\n", reply)
		}
	}
}
