package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
)

// scrape reads /metrics: each series as it is written there, and its value.
func scrape(t *testing.T, g *gateway.Gateway) map[string]float64 {
	t.Helper()
	status, m := call(t, "GET", g.AdminURL()+"/metrics", "")
	require.Equal(t, http.StatusOK, status, m)
	out := map[string]float64{}
	for line := range strings.Lines(m["text"].(string)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		require.NoError(t, err, line)
		out[line[:at]] = v
	}
	return out
}

// happened are the series that are not 0, save for those of time, the store
// and the process.
func happened(t *testing.T, g *gateway.Gateway) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for name, v := range scrape(t, g) {
		counted := strings.Contains(name, "_total") || strings.Contains(name, "_count") ||
			strings.HasPrefix(name, "fanfare_dead_letters") || strings.HasPrefix(name, "fanfare_queue_depth") || strings.HasPrefix(name, "fanfare_ledger_imbalance")
		if v != 0 && counted && strings.HasPrefix(name, "fanfare_") && !strings.HasPrefix(name, "fanfare_store") {
			out[name] = v
		}
	}
	return out
}

// scene is a gateway on a sandbox whose providers report nothing by themselves.
type scene struct {
	*testing.T
	sb *sandbox.Server
	g  *gateway.Gateway
}

func play(t *testing.T) *scene {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Callbacks: []string{}})
	sb.Script(sandbox.ProviderSMTP, "*", sandbox.Answer{Callbacks: []string{}})
	g, _ := serve(t, t.TempDir(), sb)
	return &scene{T: t, sb: sb, g: g}
}

// do makes a call of the API that must succeed.
func (s *scene) do(path, body string) map[string]any {
	s.Helper()
	status, out := call(s.T, "POST", s.g.URL()+path, body)
	require.Less(s, status, 300, out)
	return out
}

// send publishes to one endpoint and waits until its delivery is in the state.
func (s *scene) send(protocol, endpoint, more, state string) (delivery string) {
	s.Helper()
	p := s.do("/v1/publish", fmt.Sprintf(`{"to": {"protocol": %q, "endpoint": %q}, "message": "hello" %s}`, protocol, endpoint, more))
	s.await(p["id"].(string), state)
	return strings.Replace(p["id"].(string), "pub_", "", 1)[:24] + "00000001"
}

func (s *scene) await(publish, state string) {
	s.Helper()
	var last map[string]any
	require.Eventually(s, func() bool {
		_, last = call(s.T, "GET", s.g.URL()+"/v1/publishes/"+publish, "")
		ledger, ok := last["ledger"].(map[string]any)
		return ok && ledger[state] == 1.0
	}, 10*time.Second, 5*time.Millisecond, "want one %s, have %v", state, &last)
}

// report posts what a mail relay reports, signed with the secret.
func (s *scene) report(secret, body string) int {
	s.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.g.URL()+"/callbacks/smtp/sandbox", strings.NewReader(body))
	require.NoError(s, err)
	r.Header.Set("X-Relay-Signature", hex.EncodeToString(mac.Sum(nil)))
	res, _ := wiretest.Send(s, r)
	return res.StatusCode
}

// agree waits until exactly this happened.
func (s *scene) agree(want map[string]float64) {
	s.Helper()
	got := happened(s.T, s.g)
	for end := time.Now().Add(20 * time.Second); !maps.Equal(want, got) && time.Now().Before(end); {
		got = happened(s.T, s.g)
	}
	require.Equal(s, want, got)
}

// TestMetricsAreWhatHappened plays every way a delivery can go and finds each
// counted once, and nothing else.
func TestMetricsAreWhatHappened(t *testing.T) {
	t.Parallel()
	s := play(t)
	hook := s.sb.Webhook.URL

	// A retry, put off by Retry-After: one delivery, two attempts.
	s.sb.Script(sandbox.ProviderWebhook, hook+"/busy", sandbox.Answer{Status: 503, RetryAfter: 1, Times: 1})
	s.do("/v1/topics", `{"name": "alerts"}`)
	s.do("/v1/topics/alerts/subscriptions", fmt.Sprintf(`{"protocol": "http", "endpoint": %q, "retry": {"phases": [{"tries": 3, "from": "1ms"}]}}`, hook+"/busy"))
	s.await(s.do("/v1/publish", `{"topic": "alerts", "message": "hello", "lane": "critical"}`)["id"].(string), "delivered")

	// Dead letters: refused for good.
	s.send("sms", "+15005550003", "", "failed")
	s.send("sms", "+15005550001", "", "failed")

	// A suppression.
	s.do("/v1/suppressions", `{"protocol": "sms", "endpoint": "+15005550111"}`)
	s.send("sms", "+15005550111", "", "suppressed")

	// An expiry: the next attempt would come too late. Nobody knows the code.
	s.sb.Script(sandbox.ProviderTwilio, "+15005550112", sandbox.Answer{Status: 418, Code: "29999", RetryAfter: 3600})
	s.send("sms", "+15005550112", fmt.Sprintf(`, "expires_at": %q`, time.Now().Add(time.Minute).Format(time.RFC3339Nano)), "expired")

	// An answer that is lost.
	s.sb.Script(sandbox.ProviderTwilio, "+15005550113", sandbox.Answer{Drop: sandbox.DropAfter, Callbacks: []string{}})
	s.send("sms", "+15005550113", "", "uncertain")

	// What is refused at the door is no publish; a repeat is none either.
	status, _ := call(t, "POST", s.g.URL()+"/v1/publish", `{"to": {"protocol": "sms", "endpoint": "15"}, "message": "hello"}`)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	status, _ = call(t, "POST", s.g.URL()+"/v1/publish", `{`)
	require.Equal(t, http.StatusBadRequest, status)

	// By SNS: a good one, a batch, which is one request, and a bad one.
	c := snsClient(s.g)
	topic, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("nobody")})
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("hello")})
	require.NoError(t, err)
	_, err = c.PublishBatch(t.Context(), &sns.PublishBatchInput{TopicArn: topic.TopicArn, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{
		{Id: aws.String("1"), Message: aws.String("hello")}, {Id: aws.String("2"), Message: aws.String("hello")},
	}})
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(*topic.TopicArn + "x"), Message: aws.String("hello")})
	require.Error(t, err)

	// Two segments to France, and one to the United States.
	s.send("sms", "+33612345678", `, "subject": "x", "overrides": {"sms": {"message": "`+strings.Repeat("a", 161)+`"}}`, "sent")
	s.send("sms", "+15005550114", "", "sent")

	// Callbacks: good, repeated, of nobody, forged, of nothing, and a complaint.
	mail := s.send("email", "ada@mail.example", "", "sent")
	delivered := fmt.Sprintf(`{"event": "delivered", "message_id": "%s@fanfare.example"}`, mail)
	require.Equal(t, 204, s.report("sandbox-events", delivered))
	require.Equal(t, 204, s.report("sandbox-events", delivered))
	require.Equal(t, 204, s.report("sandbox-events", strings.Replace(delivered, mail, mail[:31]+"7", 1)))
	require.Equal(t, 403, s.report("guessed", delivered))
	require.Equal(t, 400, s.report("sandbox-events", "{"))
	require.Equal(t, 204, s.report("sandbox-events",
		fmt.Sprintf(`{"event": "complained", "message_id": "%s@fanfare.example", "recipient": "ada@mail.example"}`, mail)))

	want := map[string]float64{
		`fanfare_publish_requests_total{api="native",code="202"}`: 9,
		`fanfare_publish_requests_total{api="native",code="400"}`: 1,
		`fanfare_publish_requests_total{api="native",code="422"}`: 1,
		`fanfare_publish_requests_total{api="sns",code="200"}`:    2,
		`fanfare_publish_requests_total{api="sns",code="404"}`:    1,
		`fanfare_publishes_total`:                                 12,
		`fanfare_publish_bytes_count`:                             12,

		`fanfare_attempts_total{account="webhook/sandbox",channel="webhook",kind="temporary"}`: 1,
		`fanfare_attempts_total{account="webhook/sandbox",channel="webhook",kind="ok"}`:        1,
		`fanfare_attempts_total{account="twilio/sandbox",channel="sms",kind="rejected"}`:       1,
		`fanfare_attempts_total{account="twilio/sandbox",channel="sms",kind="endpoint_gone"}`:  1,
		`fanfare_attempts_total{account="twilio/sandbox",channel="sms",kind="temporary"}`:      1,
		`fanfare_attempts_total{account="twilio/sandbox",channel="sms",kind="uncertain"}`:      1,
		`fanfare_attempts_total{account="twilio/sandbox",channel="sms",kind="ok"}`:             2,
		`fanfare_attempts_total{account="smtp/sandbox",channel="email",kind="ok"}`:             1,
		`fanfare_attempt_duration_seconds_count{account="webhook/sandbox",channel="webhook"}`:  2,
		`fanfare_attempt_duration_seconds_count{account="twilio/sandbox",channel="sms"}`:       6,
		`fanfare_attempt_duration_seconds_count{account="smtp/sandbox",channel="email"}`:       1,
		`fanfare_retries_total{account="webhook/sandbox",channel="webhook",kind="temporary"}`:  1,
		`fanfare_retry_after_honoured_total{account="webhook/sandbox",channel="webhook"}`:      1,
		`fanfare_unknown_error_codes_total{provider="twilio"}`:                                 1,
		`fanfare_sms_segments_total{country="FR"}`:                                             2,
		`fanfare_sms_segments_total{country="US"}`:                                             1,
		`fanfare_deliveries_total{channel="webhook",outcome="delivered"}`:                      1,
		`fanfare_deliveries_total{channel="sms",outcome="failed"}`:                             2,
		`fanfare_deliveries_total{channel="sms",outcome="suppressed"}`:                         1,
		`fanfare_deliveries_total{channel="sms",outcome="expired"}`:                            1,
		`fanfare_deliveries_total{channel="sms",outcome="sent"}`:                               2,
		`fanfare_deliveries_total{channel="email",outcome="sent"}`:                             1,
		`fanfare_deliveries_total{channel="email",outcome="delivered"}`:                        1,
		`fanfare_delivery_latency_seconds_count{channel="webhook",lane="critical"}`:            1,
		`fanfare_delivery_latency_seconds_count{channel="sms",lane="transactional"}`:           6,
		`fanfare_delivery_latency_seconds_count{channel="email",lane="transactional"}`:         1,
		`fanfare_dead_letters{channel="sms"}`:                                                  2,
		`fanfare_dead_lettered_total{channel="sms",kind="rejected"}`:                           1,
		`fanfare_dead_lettered_total{channel="sms",kind="endpoint_gone"}`:                      1,
		`fanfare_suppressed_total{channel="sms",reason="consent"}`:                             1,
		`fanfare_expired_total{channel="sms"}`:                                                 1,
		`fanfare_uncertain_total{channel="sms"}`:                                               1,
		`fanfare_callbacks_total{provider="smtp",result="ok"}`:                                 2,
		`fanfare_callbacks_total{provider="smtp",result="regression_ignored"}`:                 1,
		`fanfare_callbacks_total{provider="smtp",result="unknown_id"}`:                         1,
		`fanfare_callbacks_total{provider="smtp",result="bad_signature"}`:                      1,
		`fanfare_callbacks_total{provider="smtp",result="unreadable"}`:                         1,
		`fanfare_opt_outs_total{provider="smtp"}`:                                              1,
	}
	// A client may see an answer before its server has counted it.
	s.agree(want)
}

func TestSeriesComeAndGoWithAccounts(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	var cfg config.Config
	r := start(t, gateway.Options{Version: "1.2.3"}, func(c *config.Config) {
		c.PublicURL, c.Accounts = "http://localhost", gateway.SandboxAccounts(sb)
		cfg = *c
	})
	all := scrape(t, r.Gateway)
	for _, series := range []string{
		`fanfare_publish_requests_total{api="native",code="503"}`,
		`fanfare_publish_requests_total{api="sns",code="200"}`,
		`fanfare_publish_requests_total{api="sns",code="429"}`,
		`fanfare_deliveries_total{channel="webhook",outcome="cancelled"}`,
		`fanfare_dead_lettered_total{channel="application",kind="endpoint_gone"}`,
		`fanfare_suppressed_total{channel="sms",reason="recipient_guard"}`,
		`fanfare_retries_total{account="fcm/sandbox",channel="application",kind="throttled"}`,
		`fanfare_callbacks_total{provider="twilio",result="bad_signature"}`,
		`fanfare_delivery_latency_seconds_count{channel="lambda",lane="bulk"}`,
		`fanfare_queue_oldest_age_seconds{account="sqs/sandbox",channel="sqs",lane="critical"}`,
		`fanfare_unknown_error_codes_total{provider="apns"}`,
	} {
		require.Contains(t, all, series, "there before anything happened")
		require.Zero(t, all[series], series)
	}
	require.EqualValues(t, 1, all[`fanfare_account_state{account="apns/sandbox",channel="application",state="active"}`])
	require.EqualValues(t, 1, all[fmt.Sprintf(`fanfare_build_info{goversion=%q,revision="unknown",version="1.2.3"}`, runtime.Version())])

	cfg.Accounts = cfg.Accounts[:1]
	require.NoError(t, r.Reload(t.Context(), loading(cfg)))
	for series := range scrape(t, r.Gateway) {
		require.NotContains(t, series, `account="apns/sandbox"`)
	}
	cfg.Accounts[0].Twilio.AccountSID = "wrong"
	require.Error(t, r.Reload(t.Context(), loading(cfg)))
	all = scrape(t, r.Gateway)
	require.Zero(t, all["fanfare_config_last_reload_successful"])
	require.Contains(t, all, `fanfare_account_state{account="twilio/sandbox",channel="sms",state="active"}`, "the old configuration holds")
}
