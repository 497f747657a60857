package email_test

import (
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/email"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestChannel(t *testing.T) {
	t.Parallel()
	refused := func(status int, code string) sandbox.Answer { return sandbox.Answer{Status: status, Code: code} }
	atData := func(status int, code string) sandbox.Answer {
		return sandbox.Answer{Status: status, Code: code, Message: "data:no, says the content filter"}
	}
	channeltest.Run(t, channeltest.Suite{
		Provider: sandbox.ProviderSMTP,
		New: func(t *testing.T, sb *sandbox.Server) channels.Channel {
			return open(t, options(t, sb))
		},
		Endpoint: func(_ *sandbox.Server, n int) string { return fmt.Sprintf("user%d@mail%d.example.com", n, n%3) },
		Bad: []string{
			"bob", "@example.net", "bob@", "Bob <bob@example.net>", "<bob@example.net>", "a@example.net,b@example.net",
			"bob@example.net\r\nBcc: x@example.net", "bob @example.net", `"a b"@example.net`, "bob@[127.0.0.1]", "bob@localhost",
			"bob@exa_mple.com", "bob@example.net.", "(hi)bob@example.net", longLocal + "x@example.net", longLocal + "@" + longDomain,
		},
		SafeDrop: true,
		Secrets:  []string{"relay-user", "relay-"},
		Answers: []channeltest.Case{
			{Name: "530", Answer: refused(530, "5.7.0"), Kind: channels.AccountFault, Code: "5.7.0"},
			{Name: "534", Answer: refused(534, "5.7.9"), Kind: channels.AccountFault},
			{Name: "535 comes as 5.7.8", Answer: refused(535, "5.7.8"), Kind: channels.AccountFault, Code: "5.7.8"},
			{Name: "538", Answer: refused(538, "5.7.11"), Kind: channels.AccountFault},
			{Name: "454", Answer: refused(454, "4.7.0"), Kind: channels.Temporary},
			{Name: "421 closes", Answer: refused(421, "4.3.2"), Kind: channels.Temporary, Code: "4.3.2"},
			{Name: "421 at the final dot", Answer: atData(421, "4.3.2"), Kind: channels.Temporary, Code: "4.3.2"},
			{Name: "450 greylisted", Answer: refused(450, "4.2.0"), Kind: channels.Temporary},
			{Name: "451", Answer: refused(451, "4.3.0"), Kind: channels.Temporary},
			{Name: "452", Answer: refused(452, "4.3.1"), Kind: channels.Temporary},
			{Name: "452 mailbox full", Answer: refused(452, "4.2.2"), Kind: channels.Temporary},
			{Name: "4xx of its own", Answer: refused(471, ""), Kind: channels.Temporary},
			{Name: "4xx with a gone mailbox's code", Answer: refused(450, "5.1.1"), Kind: channels.Temporary},
			{Name: "5.1.1", Answer: refused(550, "5.1.1"), Kind: channels.EndpointGone, Code: "5.1.1"},
			{Name: "5.1.1 at the final dot", Answer: atData(550, "5.1.1"), Kind: channels.EndpointGone},
			{Name: "code alone", Answer: refused(0, "5.1.1"), Kind: channels.EndpointGone, Code: "5.1.1"},
			{Name: "code alone 4", Answer: refused(0, "4.7.1"), Kind: channels.Temporary, Code: "4.7.1"},
			{Name: "5.1.2", Answer: refused(550, "5.1.2"), Kind: channels.EndpointGone},
			{Name: "5.1.3", Answer: refused(553, "5.1.3"), Kind: channels.EndpointGone},
			{Name: "5.1.6", Answer: refused(551, "5.1.6"), Kind: channels.EndpointGone},
			{Name: "5.1.10", Answer: refused(556, "5.1.10"), Kind: channels.EndpointGone},
			{Name: "5.2.1", Answer: refused(550, "5.2.1"), Kind: channels.EndpointGone},
			{Name: "5.2.2", Answer: refused(552, "5.2.2"), Kind: channels.Temporary},
			{Name: "5.3.4", Answer: atData(552, "5.3.4"), Kind: channels.Rejected},
			{Name: "5.4.5", Answer: refused(550, "5.4.5"), Kind: channels.Throttled},
			{Name: "5.6.0", Answer: atData(554, "5.6.0"), Kind: channels.Rejected},
			{Name: "5.7.1", Answer: refused(550, "5.7.1"), Kind: channels.Rejected},
			{Name: "5.7.26 at the final dot", Answer: atData(550, "5.7.26"), Kind: channels.Rejected},
			{Name: "5.1.8 is the sender", Answer: refused(550, "5.1.8"), Kind: channels.Rejected},
			{Name: "550 without a code", Answer: refused(550, ""), Kind: channels.Rejected},
			{Name: "554", Answer: refused(554, "5.0.0"), Kind: channels.Rejected},
			{Name: "503", Answer: refused(503, "5.5.1"), Kind: channels.Rejected},
		},
	})
}

func TestPolicyRefusalsEscalate(t *testing.T) {
	t.Parallel()
	sb := start(t)
	ch := open(t, options(t, sb))
	for _, code := range []string{"5.7.1", "5.1.7", "5.1.8"} {
		sb.Script(sandbox.ProviderSMTP, "ann@example.com", sandbox.Answer{Status: 550, Code: code})
		_, err := ch.Deliver(t.Context(), channeltest.Delivery("ann@example.com", 1))
		got := fault(t, err)
		require.Equal(t, channels.Rejected, got.Kind)
		require.NotNil(t, got.Escalate, code)
		require.Equal(t, channels.AccountFault, got.Escalate.Kind)
	}
}

func TestCheckEndpointNormalForm(t *testing.T) {
	t.Parallel()
	ch := open(t, bare(t))
	for given, want := range map[string]channels.Endpoint{
		"Ann.O@Example.COM":        {Address: "Ann.O@example.com", Group: "example.com"},
		"ann+tag@bücher.example":   {Address: "ann+tag@xn--bcher-kva.example", Group: "xn--bcher-kva.example"},
		"用户@example.com":           {Address: "用户@example.com", Group: "example.com"},
		longLocal + "@example.com": {Address: longLocal + "@example.com", Group: "example.com"},
	} {
		got, err := ch.CheckEndpoint(given)
		require.NoError(t, err, given)
		require.Equal(t, want, got)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	good := bare(t)
	good.Username, good.Password = "user", "hush"
	for name, broken := range map[string]func(*email.Options){
		"Host":      func(o *email.Options) { o.Host = "" },
		"Port":      func(o *email.Options) { o.Port = 70000 },
		"TLS":       func(o *email.Options) { o.TLS = "maybe" },
		"From":      func(o *email.Options) { o.From = "alerts" },
		"Book":      func(o *email.Options) { o.Book = nil },
		"Username":  func(o *email.Options) { o.Username = "" },
		"MaxConns":  func(o *email.Options) { o.MaxConns = -1 },
		"DKIM.Key":  func(o *email.Options) { o.DKIM = email.DKIM{Domain: "example.com", Selector: "s", Key: "hush"} },
		"DKIM.Sele": func(o *email.Options) { o.DKIM = email.DKIM{Domain: "example.com", Key: "hush"} },
		"DKIM.Doma": func(o *email.Options) { o.DKIM = email.DKIM{Domain: "other.example", Selector: "s", Key: "hush"} },
	} {
		o := good
		broken(&o)
		_, err := email.New(o)
		require.ErrorContains(t, err, "email: "+name)
		require.NotContains(t, err.Error(), "hush")
	}
	clear := good
	clear.Host, clear.TLS = "relay.example.org", email.NoTLS
	_, err := email.New(clear)
	require.ErrorContains(t, err, "TLS: a password is sent only with TLS")
}

func TestOptionsHideSecrets(t *testing.T) {
	t.Parallel()
	o := bare(t)
	o.Username, o.Password = "user", "open sesame"
	ch := open(t, o)
	o.DKIM.Key = "hush"
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s", o, o, o, o), fmt.Sprintf("%+v %#v", o.DKIM, o.DKIM),
		fmt.Sprint(o.LogValue()), fmt.Sprintf("%+v %#v", ch, ch),
	} {
		require.NotContains(t, text, o.Password)
		require.NotContains(t, text, "hush")
	}
}

const longLocal = "sixty-four.characters.before.the.at.sign.is.what.a.mailbox.may.x"

// longDomain is valid by itself, but makes an address with longLocal longer than 254.
const longDomain = "a23456789012345678901234567890123456789012345678901234567890123.a23456789012345678901234567890123456789012345678901234567890123." +
	"a23456789012345678901234567890123456789012345678901234567890123.a234567890123456789012345678901234567890123456789012.example"

func start(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

// options are an account on the sandbox's relay.
func options(t *testing.T, sb *sandbox.Server) email.Options {
	t.Helper()
	o := bare(t)
	o.RootCAs, o.Username, o.Password, o.TLS = sb.SMTP.Roots(), sb.SMTP.Username, sb.SMTP.Password, email.StartTLS
	o.Host, o.Port = split(t, sb.SMTP.Addr)
	return o
}

// bare are options for a relay without TLS and login.
func bare(t *testing.T) email.Options {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return email.Options{
		Host: "127.0.0.1", TLS: email.NoTLS, From: "Fanfare Alerts <alerts@example.com>", Book: book,
	}
}

func split(t *testing.T, addr string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	port, err = strconv.Atoi(text)
	require.NoError(t, err)
	return host, port
}

func open(t *testing.T, o email.Options) *email.Channel {
	t.Helper()
	ch, err := email.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ch.Close()) })
	return ch
}

func fault(t *testing.T, err error) *channels.Error {
	t.Helper()
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	return got
}
