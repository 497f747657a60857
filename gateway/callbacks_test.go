package gateway_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// providers is a gateway whose providers report nothing of their own accord.
type providers struct {
	t  *testing.T
	g  *gateway.Gateway
	sb *sandbox.Server
}

func quiet(t *testing.T) *providers {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, _ := serve(t, t.TempDir(), sb)
	return &providers{t: t, g: g, sb: sb}
}

// sent publishes to one endpoint and returns the publish's id once its delivery
// is sent.
func (p *providers) sent(protocol, endpoint string) (publish string, delivery queue.ID) {
	p.t.Helper()
	provider := map[string]string{topics.SMS: sandbox.ProviderTwilio, topics.Email: sandbox.ProviderSMTP}[protocol]
	p.sb.Script(provider, endpoint, sandbox.Answer{Callbacks: []string{}})
	status, out := call(p.t, "POST", p.g.URL()+"/v1/publish", fmt.Sprintf(`{"to": {"protocol": %q, "endpoint": %q}, "message": "x"}`, protocol, endpoint))
	require.Equal(p.t, http.StatusAccepted, status, out)
	publish = out["id"].(string)
	require.Eventually(p.t, func() bool { return p.state(publish) == "sent" }, 10*time.Second, 5*time.Millisecond)
	id, err := queue.ParseID(strings.TrimPrefix(publish, "pub_"))
	require.NoError(p.t, err)
	return publish, id.WithOrdinal(1)
}

// state is that of a publish's only delivery.
func (p *providers) state(publish string) string {
	p.t.Helper()
	_, st := call(p.t, "GET", p.g.URL()+"/v1/publishes/"+publish, "")
	for state, n := range st["ledger"].(map[string]any) {
		if n == 1.0 {
			return state
		}
	}
	return ""
}

// publishTo makes a direct publish and returns how it ended.
func (p *providers) publishTo(protocol, endpoint string) string {
	p.t.Helper()
	status, out := call(p.t, "POST", p.g.URL()+"/v1/publish", fmt.Sprintf(`{"to": {"protocol": %q, "endpoint": %q}, "message": "x"}`, protocol, endpoint))
	require.Equal(p.t, http.StatusAccepted, status, out)
	state := ""
	require.Eventually(p.t, func() bool {
		state = p.state(out["id"].(string))
		return state == "suppressed" || state == "sent" || state == "delivered"
	}, 10*time.Second, 5*time.Millisecond)
	return state
}

// twilio posts a form to a path as Twilio would, signed with token.
func (p *providers) twilio(token, path string, form url.Values) int {
	p.t.Helper()
	return p.twilioAt(p.g.URL(), token, path, form)
}

// twilioAt is twilio for a gateway whose public address is another.
func (p *providers) twilioAt(public, token, path string, form url.Values) int {
	p.t.Helper()
	form.Set("AccountSid", p.sb.Twilio.AccountSID)
	mac := hmac.New(sha1.New, []byte(token))
	io.WriteString(mac, public+path)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		io.WriteString(mac, name+form.Get(name))
	}
	return p.post(path, form.Encode(), "application/x-www-form-urlencoded", "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// relay posts an event as the relay would, signed with secret.
func (p *providers) relay(secret, event string, id queue.ID, status string) int {
	p.t.Helper()
	body := fmt.Sprintf(`{"event":%q,"message_id":"%s@fanfare.example","recipient":"ada@mail.example","status":%q}`, event, id.Hex(), status)
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return p.post("/callbacks/smtp/sandbox", body, "application/json", "X-Relay-Signature", hex.EncodeToString(mac.Sum(nil)))
}

func (p *providers) post(path, body, kind, header, value string) int {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), "POST", p.g.URL()+path, strings.NewReader(body))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", kind)
	r.Header.Set(header, value)
	res, _ := wiretest.Send(p.t, r)
	return res.StatusCode
}

const twilioPath = "/callbacks/twilio/sandbox"

func status(word, code string) url.Values {
	return url.Values{"MessageSid": {"SM1"}, "MessageStatus": {word}, "ErrorCode": {code}}
}

func TestTwilioStatusCallbacks(t *testing.T) {
	t.Parallel()
	p := quiet(t)
	token := p.sb.Twilio.AuthToken
	publish, id := p.sent(topics.SMS, "+15005550101")
	path := fmt.Sprintf("%s?d=%s&t=1", twilioPath, id.Hex())
	big := status("delivered", "")
	big.Set("Body", strings.Repeat("x", 64<<10))
	for _, c := range []struct {
		why, token, path string
		form             url.Values
		code             int
		state            string
	}{
		{"wrong signature", "guess", path, status("delivered", ""), 403, "sent"},
		{"not a delivery", token, twilioPath + "?d=x&t=1", status("delivered", ""), 400, "sent"},
		{"no try", token, twilioPath + "?d=" + id.Hex(), status("delivered", ""), 400, "sent"},
		{"no status", token, path, url.Values{"MessageSid": {"SM1"}}, 400, "sent"},
		{"too large", token, path, big, 400, "sent"},
		{"unknown delivery", token, fmt.Sprintf("%s?d=%s&t=1", twilioPath, id.WithOrdinal(9).Hex()), status("delivered", ""), 204, "sent"},
		{"of another store", token, fmt.Sprintf("%s?d=%s&t=1", twilioPath, queue.MakeID(id.Time(), 200, 1, 1).Hex()), status("delivered", ""), 204, "sent"},
		{"later try", token, strings.Replace(path, "t=1", "t=2", 1), status("delivered", ""), 204, "sent"},
		{"a word that proves nothing", token, path, status("receiving", ""), 204, "sent"},
		{"no such account", token, strings.Replace(path, "sandbox", "other", 1), status("delivered", ""), 404, "sent"},
		{"delivered", token, path, status("delivered", ""), 204, "delivered"},
		{"again", token, path, status("delivered", ""), 204, "delivered"},
		{"too late", token, path, status("sent", ""), 204, "delivered"},
		{"worse too late", token, path, status("failed", "30005"), 204, "delivered"},
	} {
		require.Equal(t, c.code, p.twilio(c.token, c.path, c.form), c.why)
		require.Equal(t, c.state, p.state(publish), c.why)
	}
	res, err := http.Get(p.g.URL() + path)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)

	publish, id = p.sent(topics.SMS, "+15005550102")
	require.Equal(t, 204, p.twilio(token, fmt.Sprintf("%s?d=%s&t=1", twilioPath, id.Hex()), status("undelivered", "30005")))
	require.Equal(t, "failed", p.state(publish))
	require.Equal(t, 204, p.twilio(token, fmt.Sprintf("%s?d=%s&t=1", twilioPath, id.Hex()), status("delivered", "")))
	require.Equal(t, "delivered", p.state(publish), "the phone has the last word")
}

// The first try has nothing to say any more once there is a second one.
func TestAStaleTryIsIgnored(t *testing.T) {
	t.Parallel()
	p := quiet(t)
	const number = "+15005550101"
	p.sb.Script(sandbox.ProviderTwilio, number, sandbox.Answer{Status: 503, Times: 1}, sandbox.Answer{Callbacks: []string{}})
	code, _ := call(t, "POST", p.g.URL()+"/v1/topics", `{"name": "alerts"}`)
	require.Less(t, code, 300)
	code, _ = call(t, "POST", p.g.URL()+"/v1/topics/alerts/subscriptions", `{"protocol": "sms", "endpoint": "`+number+`", "retry": {"phases": [{"tries": 3, "from": "1ms"}]}}`)
	require.Less(t, code, 300)
	code, out := call(t, "POST", p.g.URL()+"/v1/publish", `{"topic": "alerts", "message": "x"}`)
	require.Equal(t, http.StatusAccepted, code)
	publish := out["id"].(string)
	require.Eventually(t, func() bool { return p.state(publish) == "sent" }, 10*time.Second, 5*time.Millisecond)
	path := fmt.Sprintf("%s?d=%s1&t=", twilioPath, strings.TrimSuffix(strings.TrimPrefix(publish, "pub_"), "0"))
	require.Equal(t, 204, p.twilio(p.sb.Twilio.AuthToken, path+"1", status("failed", "30005")))
	require.Equal(t, "sent", p.state(publish))
	require.Equal(t, 204, p.twilio(p.sb.Twilio.AuthToken, path+"2", status("delivered", "")))
	require.Equal(t, "delivered", p.state(publish))
}

func TestRepliesChangeConsent(t *testing.T) {
	t.Parallel()
	p := quiet(t)
	const number = "+15005550101"
	for _, c := range []struct{ body, next string }{
		{"hello", "delivered"}, {"HELP", "delivered"}, {"STOP", "suppressed"}, {"stop", "suppressed"},
		{"help", "suppressed"}, {"START", "delivered"}, {"unsubscribe", "suppressed"}, {"UNSTOP", "delivered"},
	} {
		require.NoError(t, p.sb.Twilio.Reply(t.Context(), p.g.URL()+twilioPath, number, c.body))
		state := p.publishTo(topics.SMS, number)
		if state == "sent" { // its receipt is on its way
			state = "delivered"
		}
		require.Equal(t, c.next, state, c.body)
	}
	reply := url.Values{"MessageSid": {"SM1"}, "From": {number}, "Body": {"STOP"}}
	require.Equal(t, 403, p.twilio("guess", twilioPath, reply))
	require.NotEqual(t, "suppressed", p.publishTo(topics.SMS, number))
	reply.Del("From")
	require.Equal(t, 400, p.twilio(p.sb.Twilio.AuthToken, twilioPath, reply))
}

func TestRelayReports(t *testing.T) {
	t.Parallel()
	p := quiet(t)
	const secret = "sandbox-events"
	publish, id := p.sent(topics.Email, "ada@mail.example")
	for _, c := range []struct {
		why, secret, event, status string
		id                         queue.ID
		code                       int
		state                      string
	}{
		{"wrong signature", "guess", "delivered", "", id, 403, "sent"},
		{"unknown delivery", secret, "delivered", "", id.WithOrdinal(9), 204, "sent"},
		{"unknown event", secret, "opened", "", id, 204, "sent"},
		{"bounced", secret, "bounced", "5.7.1", id, 204, "failed"},
		{"delivered", secret, "delivered", "", id, 204, "delivered"},
		{"bounced again", secret, "bounced", "5.7.1", id, 204, "delivered"},
		{"complained", secret, "complained", "", id, 204, "delivered"},
		{"complained again", secret, "complained", "", id, 204, "delivered"},
	} {
		require.Equal(t, c.code, p.relay(c.secret, c.event, c.id, c.status), c.why)
		require.Equal(t, c.state, p.state(publish), c.why)
	}
	require.Equal(t, 400, p.relay(secret, "delivered", queue.ID{}, ""))
	require.Equal(t, "suppressed", p.publishTo(topics.Email, "ada@MAIL.example"))
}

// A number is one for all who send from it, so a STOP holds for all of them,
// also for those who came by a reload.
func TestStopHoldsForEveryOwner(t *testing.T) {
	t.Parallel()
	p := quiet(t)
	sum := sha256.Sum256([]byte("secret"))
	cfg := config.Default()
	cfg.Keys = []config.Key{{Name: "shop", Hash: "sha256:" + hex.EncodeToString(sum[:]), Scopes: []string{"read"}, Account: "123456789012"}}
	require.NoError(t, p.g.Reload(t.Context(), loading(cfg)))
	require.NoError(t, p.sb.Twilio.Reply(t.Context(), p.g.URL()+twilioPath, "+15005550101", "STOP"))
	r, err := http.NewRequestWithContext(t.Context(), "GET", p.g.URL()+"/v1/suppressions", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer secret")
	_, text := wiretest.Send(t, r)
	require.Contains(t, text, `"endpoint":"+15005550101"`)
}

// The address that messages carry needs a restart to change, and Twilio signs
// the one it was given.
func TestAReloadedPublicURLWaitsForTheRestart(t *testing.T) {
	t.Parallel()
	p := &providers{t: t, sb: startSandbox(t)}
	cfg := withAccounts(t.TempDir(), of(p.sb, "twilio"))
	reply := func(public string) int {
		return p.twilioAt(public, p.sb.Twilio.AuthToken, twilioPath, url.Values{"MessageSid": {"SM1"}, "From": {"+15005550101"}, "Body": {"STOP"}})
	}
	const was, next = "https://was.example.com", "https://next.example.com"
	cfg.PublicURL = was
	var stop func()
	p.g, stop = serveOptions(t, gateway.Options{Config: cfg})
	require.Equal(t, http.StatusForbidden, reply(next))
	for _, public := range []string{next, ""} {
		cfg.PublicURL = public
		require.NoError(t, p.g.Reload(t.Context(), loading(cfg)))
		require.Equal(t, http.StatusNoContent, reply(was), "after a reload with %q", public)
		require.Equal(t, http.StatusForbidden, reply(next))
	}
	stop()
	cfg.PublicURL = next
	p.g, _ = serveOptions(t, gateway.Options{Config: cfg})
	require.Equal(t, http.StatusNoContent, reply(next))
}
