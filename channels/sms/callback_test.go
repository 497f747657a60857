package sms_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/channels/sms"
)

// gateway receives callbacks as the gateway would.
type gateway struct {
	*httptest.Server
	callbacks *sms.Callbacks
	statuses  chan sms.Status
	replies   chan sms.Reply
	refused   chan error
}

func receive(t *testing.T, sb *sandbox.Server) *gateway {
	t.Helper()
	g := &gateway{statuses: make(chan sms.Status, 16), replies: make(chan sms.Reply, 16), refused: make(chan error, 16)}
	mux := http.NewServeMux()
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) {
		s, err := g.callbacks.Status(r)
		g.note(w, err, func() { g.statuses <- s })
	})
	mux.HandleFunc("/reply", func(w http.ResponseWriter, r *http.Request) {
		m, err := g.callbacks.Reply(r)
		g.note(w, err, func() { g.replies <- m })
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	g.callbacks = callbacks(t, sms.CallbackOptions{
		AccountSID: sb.Twilio.AccountSID, AuthToken: sb.Twilio.AuthToken, PublicURL: g.URL,
	})
	return g
}

func (g *gateway) note(w http.ResponseWriter, err error, good func()) {
	if err != nil {
		g.refused <- err
		w.WriteHeader(http.StatusForbidden)
		return
	}
	good()
	w.WriteHeader(http.StatusNoContent)
}

func callbacks(t *testing.T, o sms.CallbackOptions) *sms.Callbacks {
	t.Helper()
	c, err := sms.NewCallbacks(o)
	require.NoError(t, err)
	return c
}

// take is the next value, or a failure after a while.
func take[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing came")
		panic("not reached")
	}
}

func TestStatusCallbacks(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{CallbackDelay: time.Millisecond})
	g, ch := receive(t, sb), open(t, sb)
	sb.Script(sandbox.ProviderTwilio, number(2), sandbox.Answer{Callbacks: []string{"sent", "undelivered:30005"}})
	sb.Script(sandbox.ProviderTwilio, number(3), sandbox.Answer{Callbacks: []string{}})
	for n, want := range map[int][]sms.Status{
		1: {{State: "sent"}, {State: "delivered"}},
		2: {{State: "sent"}, {State: "undelivered", Code: "30005"}},
		3: {},
	} {
		d := channeltest.Delivery(number(n), n)
		d.CallbackURL = g.URL + "/status?d=" + d.ID.Hex() + "&name=a+b%2Fc"
		receipt, err := ch.Deliver(t.Context(), d)
		require.NoError(t, err)
		for _, s := range want {
			s.Delivery, s.SID = d.ID.Hex(), receipt.ProviderID
			require.Equal(t, s, take(t, g.statuses))
		}
	}
	require.Empty(t, g.refused)
	require.Empty(t, g.statuses)
}

// What the provider took is reported, though its answer was lost.
func TestCallbackSettlesUncertainty(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{CallbackDelay: time.Millisecond})
	g := receive(t, sb)
	sb.Script(sandbox.ProviderTwilio, number(1), sandbox.Answer{Drop: sandbox.DropAfter})
	d := channeltest.Delivery(number(1), 1)
	d.CallbackURL = g.URL + "/status?d=" + d.ID.Hex()
	failed(t, open(t, sb), d)
	s := take(t, g.statuses)
	require.Equal(t, d.ID.Hex(), s.Delivery)
	require.Equal(t, "sent", s.Evidence(newBook(t)).State)
}

func TestReplies(t *testing.T) {
	t.Parallel()
	sb := start(t, sandbox.Options{})
	g := receive(t, sb)
	for body, want := range map[string]sms.Consent{
		"STOP": sms.Stop, " stop ": sms.Stop, "Stop.": sms.Stop, "unsubscribe": sms.Stop, "OPT-OUT": sms.Stop, "optout": sms.Stop,
		"Arret": sms.Stop, "cancel": sms.Stop, "END": sms.Stop, "QUIT": sms.Stop, "remove": sms.Stop, "TD": sms.Stop,
		"STOPALL": sms.Stop, "REVOKE": sms.Stop,
		"start": sms.Start, "UNSTOP": sms.Start, "Yes!": sms.Start,
		"HELP": sms.None, "info": sms.None, "stop it please": sms.None, "": sms.None, "thanks": sms.None, "S": sms.None, "STOP ALL NOW": sms.None, ".": sms.None,
	} {
		require.NoError(t, sb.Twilio.Reply(t.Context(), g.URL+"/reply", number(1), body))
		require.Equal(t, sms.Reply{From: number(1), Consent: want}, take(t, g.replies), body)
	}
	require.ErrorContains(t, sb.Twilio.Reply(t.Context(), g.URL+"/status", number(1), "STOP"), "403")
	require.ErrorIs(t, take(t, g.refused), sms.ErrCallback, "a reply is no status")
}

// signed makes a request as Twilio would.
func signed(token, address string, form url.Values) *http.Request {
	text := address
	for _, name := range slices.Sorted(maps.Keys(form)) {
		text += name + form.Get(name)
	}
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(text))
	u, _, _ := strings.Cut(address, "#")
	r := httptest.NewRequest(http.MethodPost, u, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return r
}

func TestSignature(t *testing.T) {
	t.Parallel()
	const address = "https://push.example.com/status?d=1"
	account := "AC" + strings.Repeat("1", 32)
	c := callbacks(t, sms.CallbackOptions{AccountSID: account, AuthToken: "token", PublicURL: "https://push.example.com/"})
	form := func() url.Values {
		return url.Values{"AccountSid": {account}, "MessageSid": {"SM1"}, "MessageStatus": {"failed"}, "ErrorCode": {"0"}, "From": {"+1"}}
	}
	with := func(name, value string) url.Values {
		f := form()
		f.Set(name, value)
		return f
	}
	for name, c2 := range map[string]struct {
		request *http.Request
		err     error
	}{
		"good":                 {signed("token", address, form()), nil},
		"with a port":          {signed("token", "https://push.example.com:443/status?d=1", form()), nil},
		"with the overrides":   {signed("token", address+"#rc=5&rp=all&ct=3000", form()), nil},
		"more parameters":      {signed("token", address, with("RawDlrDoneDate", "2411231200")), nil},
		"other token":          {signed("guess", address, form()), sms.ErrSignature},
		"empty token":          {signed("", address, form()), sms.ErrSignature},
		"other host":           {signed("token", "https://evil.example.com/status?d=1", form()), sms.ErrSignature},
		"other account":        {signed("token", address, with("AccountSid", "AC2")), sms.ErrCallback},
		"no status":            {signed("token", address, with("MessageStatus", "")), sms.ErrCallback},
		"no id":                {signed("token", address, with("MessageSid", "")), sms.ErrCallback},
		"changed delivery":     {altered(signed("token", address, form()), func(r *http.Request) { r.URL.RawQuery = "d=2" }), sms.ErrSignature},
		"no signature":         {altered(signed("token", address, form()), func(r *http.Request) { r.Header.Del("X-Twilio-Signature") }), sms.ErrSignature},
		"GET":                  {altered(signed("token", address, form()), func(r *http.Request) { r.Method = http.MethodGet }), sms.ErrSignature},
		"changed status":       {altered(signed("token", address, form()), body("AccountSid="+account+"&MessageSid=SM1&MessageStatus=delivered")), sms.ErrSignature},
		"too long":             {altered(signed("token", address, form()), body("a="+strings.Repeat("x", 70_000))), sms.ErrCallback},
		"not a form":           {altered(signed("token", address, form()), body("%zz")), sms.ErrCallback},
		"nothing":              {altered(signed("token", address, form()), body("")), sms.ErrSignature},
		"second value ignored": {altered(signed("token", address, form()), body(form().Encode()+"&MessageStatus=delivered")), nil},
	} {
		got, err := c.Status(c2.request)
		if c2.err != nil {
			require.ErrorIs(t, err, c2.err, name)
			require.Zero(t, got, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, sms.Status{Delivery: "1", SID: "SM1", State: "failed"}, got, name)
	}
	_, err := c.Reply(signed("token", address, form()))
	require.ErrorIs(t, err, sms.ErrCallback, "a status is no reply")
	require.NotErrorIs(t, err, sms.ErrSignature)
}

func altered(r *http.Request, change func(*http.Request)) *http.Request {
	change(r)
	return r
}

func body(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body = http.NoBody
		if text != "" {
			r.Body = httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text)).Body
		}
	}
}

func TestAdvancedOptOut(t *testing.T) {
	t.Parallel()
	account := "AC" + strings.Repeat("1", 32)
	c := callbacks(t, sms.CallbackOptions{AccountSID: account, AuthToken: "token", PublicURL: "https://push.example.com/fanfare"})
	for kind, want := range map[string]sms.Consent{"STOP": sms.Stop, "START": sms.Start, "HELP": sms.None} {
		r := signed("token", "https://push.example.com/fanfare/reply", url.Values{
			"AccountSid": {account}, "MessageSid": {"SM1"}, "From": {"+34600000000"}, "Body": {"alto"}, "OptOutType": {kind},
		})
		r.URL.Path = "/reply" // the proxy takes its prefix away
		got, err := c.Reply(r)
		require.NoError(t, err)
		require.Equal(t, want, got.Consent)
	}
}

func TestCallbackOptions(t *testing.T) {
	t.Parallel()
	good := sms.CallbackOptions{AccountSID: "AC" + strings.Repeat("1", 32), AuthToken: "token", PublicURL: "https://x.example.com"}
	for name, change := range map[string]func(*sms.CallbackOptions){
		"AccountSID": func(o *sms.CallbackOptions) { o.AccountSID = "" },
		"AuthToken":  func(o *sms.CallbackOptions) { o.AuthToken = "" },
		"PublicURL":  func(o *sms.CallbackOptions) { o.PublicURL = "x.example.com" },
	} {
		o := good
		change(&o)
		_, err := sms.NewCallbacks(o)
		require.ErrorContains(t, err, name)
	}
}
