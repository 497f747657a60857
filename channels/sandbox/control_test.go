package sandbox_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// control calls the control API.
func control(t *testing.T, sb *sandbox.Server, method, path, body string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, sb.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Close = true // as postHook
	for _, c := range change {
		c(r)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(text)
}

func with(header, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(header, value) }
}

// inbox asks for items.
func inbox(t *testing.T, sb *sandbox.Server, query string) (items []sandbox.Item) {
	t.Helper()
	status, text := control(t, sb, "GET", "/inbox?"+query, "")
	require.Equal(t, http.StatusOK, status, text)
	require.NoError(t, json.Unmarshal([]byte(text), &items), text)
	return items
}

func seqs(items []sandbox.Item) (all []int) {
	for _, it := range items {
		all = append(all, it.Seq)
	}
	return all
}

func TestControlInbox(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	require.Equal(t, "[]\n", func() string { _, text := control(t, sb, "GET", "/inbox", ""); return text }())
	for _, to := range []string{"+14155550100", "+15005550001", "+14155550101"} { // the second is refused
		twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "To", to, "StatusCallback", "http://127.0.0.1:1/?d=0190AB"), nil)
	}
	for range 600 {
		require.Equal(t, http.StatusOK, postHook(t, sb.Webhook.URL+"/h", "x"))
	}
	require.Len(t, inbox(t, sb, ""), 602)
	require.Len(t, inbox(t, sb, "accepted=true"), 602)
	require.Len(t, inbox(t, sb, "accepted=any"), 603)
	require.Equal(t, []int{1, 3}, seqs(inbox(t, sb, "provider=twilio")))
	require.Equal(t, []int{2}, seqs(inbox(t, sb, "accepted=false")))
	require.Equal(t, []int{3}, seqs(inbox(t, sb, "recipient=%2B14155550101")))
	require.Equal(t, []int{1, 2, 3}, seqs(inbox(t, sb, "accepted=any&delivery=dlv_0190ab")))
	require.Equal(t, []int{3, 4}, seqs(inbox(t, sb, "since=2&limit=2")))
	require.Empty(t, inbox(t, sb, "since=603"))

	_, text := control(t, sb, "GET", "/inbox?accepted=any&since=1&limit=500", "", with("Accept", "application/x-ndjson"))
	lines := strings.Split(strings.TrimSpace(text), "\n")
	require.Len(t, lines, 500)
	for i, line := range lines {
		var it sandbox.Item
		require.NoError(t, json.Unmarshal([]byte(line), &it))
		require.Equal(t, i+2, it.Seq)
	}
}

func TestControlForgets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	postHook(t, sb.Webhook.URL+"/h", "one")
	status, _ := control(t, sb, "DELETE", "/inbox", "")
	require.Equal(t, http.StatusNoContent, status)
	require.Empty(t, sb.Requests("", ""))
	require.NoError(t, sb.Close())
	sb = startIn(t, dir)
	require.Empty(t, sb.Requests("", ""))
	postHook(t, sb.Webhook.URL+"/h", "two")
	require.Equal(t, []int{2}, seqs(inbox(t, sb, "since=1")), "who has read up to 1 misses nothing")
}

// TestControlScripts: every class of answer of every provider can be produced
// over the control API, in the same words as in Go.
func TestControlScripts(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	hook := sb.Webhook.URL + "/h"
	for _, c := range []struct {
		script string
		want   int
	}{
		{`{"provider":"webhook","recipient":"` + hook + `","answers":[{"status":503,"retry_after":7}]}`, 503},
		{`{"provider":"webhook","recipient":"*","answers":[{"status":410,"times":1},{"status":429}]}`, 410},
		{`[{"provider":"webhook","recipient":"*","answers":[]},{"provider":"webhook","recipient":"` + hook + `",` +
			`"answers":[{"code":"oops","message":"try later","delay_ms":1}]}]`, 500},
	} {
		control(t, sb, "DELETE", "/scripts", "")
		status, text := control(t, sb, "POST", "/script", c.script)
		require.Equal(t, http.StatusNoContent, status, text)
		require.Equal(t, c.want, postHook(t, hook, "x"))
	}
	_, text := control(t, sb, "GET", "/scripts", "")
	require.JSONEq(t, `[{"provider":"webhook","recipient":"*","answers":[]},
		{"provider":"webhook","recipient":"`+hook+`","answers":[{"code":"oops","message":"try later","delay_ms":1}]}]`, text)
	control(t, sb, "DELETE", "/scripts", "")
	require.Equal(t, http.StatusOK, postHook(t, hook, "x"))

	for _, script := range []string{
		`{"provider":"twilio","recipient":"+1","answers":[{"code":"21610"},{"callbacks":["sent","undelivered:30003"]},{"callbacks":[]}]}`,
		`{"provider":"apns","recipient":"ab","answers":[{"status":410,"code":"Unregistered","since":"2026-01-02T03:04:05Z"},{"hang":true}]}`,
		`{"provider":"fcm","recipient":"t","answers":[{"code":"QUOTA_EXCEEDED:device"},{"code":"INVALID_ARGUMENT:message.token"},{"drop":"before"}]}`,
		`{"provider":"fcm_token","recipient":"a","answers":[{"status":400,"code":"invalid_grant"}]}`,
		`{"provider":"smtp","recipient":"MAIL","answers":[{"status":421,"code":"4.3.2"},{"status":552,"message":"data:too big"},{"callbacks":["bounced:5.1.1","complained"]}]}`,
		`{"provider":"sqs","recipient":"q","answers":[{"code":"RequestThrottled"},{"code":"KmsThrottled","message":"entry"}]}`,
		`{"provider":"lambda","recipient":"f","answers":[{"status":200,"code":"Unhandled"},{"drop":"after","times":2},{"status":429,"retry_after":1}]}`,
	} {
		status, text := control(t, sb, "POST", "/script", script)
		require.Equal(t, http.StatusNoContent, status, text)
		var one struct{ Provider string }
		require.NoError(t, json.Unmarshal([]byte(script), &one))
		_, all := control(t, sb, "GET", "/scripts", "")
		require.Contains(t, all, strings.TrimSuffix(script, "}"), "the same as was set")
	}
}

func TestControlErrorsNameTheField(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	answer := func(provider, answer string) string {
		return `{"provider":"` + provider + `","recipient":"*","answers":[{},` + answer + `]}`
	}
	for _, c := range []struct{ method, path, body, want string }{
		{"GET", "/inbox?provder=smtp", "", "provder: unknown, want provider, recipient"},
		{"GET", "/inbox?provider=mail", "", "provider: want twilio, apns"},
		{"GET", "/inbox?accepted=yes", "", "accepted: want true, false or any"},
		{"GET", "/inbox?since=-1", "", "since: want a number from 0"},
		{"GET", "/inbox?limit=0", "", "limit: want a number from 1"},
		{"POST", "/script", `{`, "unexpected EOF"},
		{"POST", "/script", `{} {}`, "one JSON value"},
		{"POST", "/script", `{"recipient":"*"}`, "provider: want twilio"},
		{"POST", "/script", `{"provider":"smtp"}`, "recipient: want"},
		{"POST", "/script", `{"provider":"smtp","recipient":"*","answer":[]}`, `unknown field "answer"`},
		{"POST", "/script", answer("smtp", `{"statsu":1}`), `unknown field "statsu"`},
		{"POST", "/script", answer("smtp", `{"status":"550"}`), "answers.status: want int, not string"},
		{"POST", "/script", answer("smtp", `{"status":700}`), "answers[1].status: want 200 to 599"},
		{"POST", "/script", answer("smtp", `{"code":"gone"}`), "answers[1].code: want an enhanced status"},
		{"POST", "/script", answer("twilio", `{"code":"2\r\n1"}`), "answers[1].code: want one line"},
		{"POST", "/script", answer("twilio", `{"message":"a\nb"}`), "answers[1].message: want one line"},
		{"POST", "/script", answer("apns", `{"retry_after":-1}`), "answers[1].retry_after: want seconds"},
		{"POST", "/script", answer("apns", `{"delay_ms":-1}`), "answers[1].delay_ms: want milliseconds"},
		{"POST", "/script", answer("apns", `{"times":-1}`), "answers[1].times: want"},
		{"POST", "/script", answer("apns", `{"drop":"maybe"}`), `answers[1].drop: want "before" or "after"`},
		{"POST", "/script", answer("apns", `{"hang":true,"status":500}`), "answers[1].hang: there is no answer"},
		{"POST", "/script", answer("apns", `{"callbacks":["sent"]}`), "answers[1].callbacks: apns reports nothing later"},
		{"POST", "/script", answer("twilio", `{"callbacks":["sent","lost"]}`), "answers[1].callbacks[1]: want queued"},
		{"POST", "/script", "[" + answer("smtp", `{}`) + "," + answer("smtp", `{"times":-1}`) + "]", "[1].answers[1].times"},
		{"POST", "/expect", `{"path":"orders"}`, "path: want"},
		{"POST", "/expect", `{"path":"/orders","secret":"whsec_hush!"}`, "secret: want"},
		{"POST", "/reply", `{"from":"bob","body":"STOP"}`, "from: want a number"},
		{"POST", "/reply", `{"from":"+14155550100"}`, "body: want the message"},
		{"POST", "/reply", `{"from":"+14155550100","to":"+1","body":"STOP"}`, "to: the account's only number is +15005550006"},
	} {
		status, text := control(t, sb, c.method, c.path, c.body)
		require.Equal(t, http.StatusBadRequest, status, c.body)
		var got struct{ Error string }
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Contains(t, got.Error, c.want)
		require.NotContains(t, text, "hush", "no secret in an error")
	}
	_, text := control(t, sb, "GET", "/scripts", "")
	require.JSONEq(t, "[]", text, "nothing of a bad request is set")
}

func TestControlReply(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	got := make(chan url.Values, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		got <- r.PostForm
		if r.Header.Get("X-Twilio-Signature") == "" || r.PostForm.Get("Body") == "fail" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(hook.Close)
	status, _ := control(t, sb, "POST", "/reply", `{"from":"+14155550100","body":"STOP"}`)
	require.Equal(t, http.StatusNoContent, status, "without a webhook the number still keeps who opted out")
	sb.Twilio.Inbound(hook.URL)
	status, _ = control(t, sb, "POST", "/reply", `{"from":"+14155550100","to":"`+sb.Twilio.From+`","body":"Hello"}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, "Hello", (<-got).Get("Body"))
	status, text := control(t, sb, "POST", "/reply", `{"from":"+14155550101","body":"fail"}`)
	require.Equal(t, http.StatusBadGateway, status)
	require.Contains(t, text, "answered 403")
	refused, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio), nil)
	require.Equal(t, http.StatusBadRequest, refused)
}

func TestControlExpect(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	status, _ := control(t, sb, "POST", "/expect", `{"path":"/h","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, http.StatusUnauthorized, postHook(t, sb.Webhook.URL+"/h", "unsigned"))
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("msg_1." + stamp + ".signed"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sb.Webhook.URL+"/h", strings.NewReader("signed"))
	require.NoError(t, err)
	r.Header.Set("webhook-id", "msg_1")
	r.Header.Set("webhook-timestamp", stamp)
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	items := inbox(t, sb, "provider=webhook&accepted=any")
	require.Len(t, items, 2)
	require.False(t, items[0].Verified)
	require.True(t, items[1].Verified)
	status, _ = control(t, sb, "POST", "/expect", `{"path":"/h","secret":""}`)
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, http.StatusOK, postHook(t, sb.Webhook.URL+"/h", "unsigned"))
}

// Only this machine's own programs may use the control API: no web page, under
// whatever name.
func TestControlIsForThisMachine(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	for host, want := range map[string]int{"localhost": 200, "LOCALHOST:80": 200, "127.0.0.2:1": 200, "[::1]": 200, "evil.example": 403, "192.168.0.1": 403, "": 200} {
		status, _ := control(t, sb, "GET", "/inbox", "", func(r *http.Request) { r.Host = host })
		require.Equal(t, want, status, host)
	}
	status, _ := control(t, sb, "DELETE", "/inbox", "", with("Origin", "https://evil.example"))
	require.Equal(t, http.StatusForbidden, status)
	status, _ = control(t, sb, "POST", "/script", "{}", with("Sec-Fetch-Site", "cross-site"))
	require.Equal(t, http.StatusForbidden, status)
}

func TestControlDescribesItself(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	status, text := control(t, sb, "GET", "/", "")
	require.Equal(t, http.StatusOK, status)
	var scripts int
	for line := range strings.Lines(text) { // its examples work
		script, ok := strings.CutPrefix(strings.TrimSpace(line), "curl "+sb.URL+"/script -d '")
		if !ok {
			continue
		}
		scripts++
		status, text := control(t, sb, "POST", "/script", strings.TrimSuffix(script, "'"))
		require.Equal(t, http.StatusNoContent, status, text)
	}
	require.Equal(t, 5, scripts)
	require.Contains(t, text, sb.Webhook.TLSURL)
	require.Contains(t, text, sb.SQS.URL)
	status, _ = control(t, sb, "GET", "/nothing", "")
	require.Equal(t, http.StatusNotFound, status)
}

// Old bodies make room for new ones in memory; on disk they stay until a start.
func TestInboxMemoryIsBounded(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	body := strings.Repeat("x", 8<<20-1)
	for range 6 {
		require.Equal(t, http.StatusOK, postHook(t, sb.Webhook.URL+"/h", body))
	}
	items := sb.Inbox(sandbox.ProviderWebhook, "")
	require.Len(t, items, 6)
	held := 0
	for i, it := range items {
		held += len(it.Body)
		require.Equal(t, it.Trimmed, it.Body == "")
		require.Equal(t, i < 3, it.Trimmed, "item %d", i)
	}
	require.LessOrEqual(t, held, 32<<20)
}

func TestFCMHangTakesNothing(t *testing.T) {
	t.Parallel()
	sb := startFCM(t)
	token, err := fcmConfig(t, sb.FCM).TokenSource(t.Context()).Token()
	require.NoError(t, err)
	sb.Script(sandbox.ProviderFCM, fcmDevice, sandbox.Answer{Hang: true})
	ctx, giveUp := context.WithCancel(t.Context())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { giveUp() }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sb.FCM.URL+"/v1/projects/"+sb.FCM.ProjectID+"/messages:send",
		strings.NewReader(fmt.Sprintf(`{"message":{"token":%q}}`, fcmDevice)))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	_, err = http.DefaultClient.Do(r)
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return len(sb.Requests(sandbox.ProviderFCM, "")) == 1 }, 10*time.Second, time.Millisecond)
	require.Empty(t, sb.Inbox(sandbox.ProviderFCM, ""))
}
