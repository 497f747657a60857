package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func startTwilio(t *testing.T, o sandbox.Options) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sb.Close() }) // some tests close it themselves
	return sb
}

// twilioPost creates a message by plain HTTP; change makes it a bad one.
func twilioPost(t *testing.T, f *sandbox.Twilio, form url.Values, change func(*http.Request)) (int, map[string]any, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.URL+"/2010-04-01/Accounts/"+f.AccountSID+"/Messages.json", strings.NewReader(form.Encode()))
	require.NoError(t, err)
	req.Close = true
	req.SetBasicAuth(f.AccountSID, f.AuthToken)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	return resp.StatusCode, answer, resp.Header
}

func twilioForm(f *sandbox.Twilio, fields ...string) url.Values {
	form := url.Values{"To": {"+14155550100"}, "From": {f.From}, "Body": {"Hello"}}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
		if fields[i+1] == "" {
			form.Del(fields[i])
		}
	}
	return form
}

func TestTwilioRefusals(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	f := sb.Twilio
	for name, c := range map[string]struct {
		fields []string
		change func(*http.Request)
		status int
		code   int
	}{
		"wrong token":          {nil, func(r *http.Request) { r.SetBasicAuth(f.AccountSID, "wrong") }, 401, 20003},
		"wrong user":           {nil, func(r *http.Request) { r.SetBasicAuth("AC0", f.AuthToken) }, 401, 20003},
		"no credentials":       {nil, func(r *http.Request) { r.Header.Del("Authorization") }, 401, 20003},
		"other account":        {nil, func(r *http.Request) { r.URL.Path = strings.Replace(r.URL.Path, f.AccountSID, "AC0", 1) }, 401, 20003},
		"other resource":       {nil, func(r *http.Request) { r.URL.Path = "/2010-04-01/Messages.json" }, 404, 20404},
		"JSON":                 {nil, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, 21604},
		"no recipient":         {[]string{"To", ""}, nil, 400, 21604},
		"no number":            {[]string{"To", "4155550100"}, nil, 400, 21211},
		"to itself":            {[]string{"To", f.From}, nil, 400, 21211},
		"no sender":            {[]string{"From", ""}, nil, 400, 21603},
		"other service":        {[]string{"From", "", "MessagingServiceSid", "MG0"}, nil, 400, 21603},
		"bad sender":           {[]string{"From", "Acme!"}, nil, 400, 21212},
		"magic: bad sender":    {[]string{"From", "+15005550001"}, nil, 400, 21212},
		"magic: not ours":      {[]string{"From", "+15005550007"}, nil, 400, 21606},
		"magic: queue is full": {[]string{"From", "+15005550008"}, nil, 400, 21611},
		"magic: invalid":       {[]string{"To", "+15005550001"}, nil, 400, 21211},
		"magic: no route":      {[]string{"To", "+15005550002"}, nil, 400, 21612},
		"magic: region":        {[]string{"To", "+15005550003"}, nil, 400, 21408},
		"magic: opted out":     {[]string{"To", "+15005550004"}, nil, 400, 21610},
		"magic: no mobile":     {[]string{"To", "+15005550009"}, nil, 400, 21614},
		"no body":              {[]string{"Body", ""}, nil, 400, 21602},
		"no body for a pool":   {[]string{"Body", "", "MessagingServiceSid", f.MessagingServiceSID}, nil, 400, 21619},
		"long body":            {[]string{"Body", strings.Repeat("x", 1601)}, nil, 400, 21617},
		"callback":             {[]string{"StatusCallback", "/status"}, nil, 400, 21609},
		"callback's host":      {[]string{"StatusCallback", "https://my_host/status"}, nil, 400, 21609},
		"validity":             {[]string{"ValidityPeriod", "36001"}, nil, 400, 90007},
		"no validity":          {[]string{"ValidityPeriod", "soon"}, nil, 400, 90007},
	} {
		status, answer, header := twilioPost(t, f, twilioForm(f, c.fields...), c.change)
		require.Equal(t, c.status, status, name)
		require.InDelta(t, c.code, answer["code"], 0, name)
		require.InDelta(t, c.status, answer["status"], 0, name)
		require.NotEmpty(t, answer["message"], name)
		require.Contains(t, answer["more_info"], "https://www.twilio.com/docs/errors/", name)
		require.Equal(t, c.status == 401, header.Get("WWW-Authenticate") != "", name)
	}
	require.Empty(t, sb.Inbox(sandbox.ProviderTwilio, ""))
	require.Len(t, sb.Requests(sandbox.ProviderTwilio, ""), 26, "all but the other resource are on record")
}

func TestTwilioMessage(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	f := sb.Twilio
	status, m, _ := twilioPost(t, f, twilioForm(f, "Body", strings.Repeat("x", 1600), "ValidityPeriod", "1"), nil)
	require.Equal(t, http.StatusCreated, status)
	it := sb.Inbox(sandbox.ProviderTwilio, "+14155550100")[0]
	require.Equal(t, it.ID, m["sid"])
	require.Equal(t, "queued", m["status"])
	require.Equal(t, f.From, m["from"])
	require.Nil(t, m["error_code"])
	require.Equal(t, "/2010-04-01/Accounts/"+f.AccountSID+"/Messages/"+it.ID+".json", m["uri"])

	_, m, _ = twilioPost(t, f, twilioForm(f, "From", "", "MessagingServiceSid", f.MessagingServiceSID), nil)
	require.Equal(t, "accepted", m["status"])
	require.Equal(t, "0", m["num_segments"])
	require.Nil(t, m["from"])
}

func TestTwilioOptOut(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(hook.Close)
	for _, c := range []struct {
		word   string
		status int
	}{{"Thanks", 201}, {"stop", 400}, {"hello?", 400}, {"START", 201}} {
		require.NoError(t, sb.Twilio.Reply(t.Context(), hook.URL, "+14155550100", c.word))
		status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio), nil)
		require.Equal(t, c.status, status, c.word)
	}
}

// twilioStates is a receiver of status callbacks that answers with the statuses
// given, then 204.
func twilioStates(t *testing.T, answers ...int) (string, <-chan url.Values) {
	t.Helper()
	seen := make(chan url.Values, 16)
	var calls atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		seen <- r.PostForm
		if n := int(calls.Add(1)); n <= len(answers) {
			w.WriteHeader(answers[n-1])
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(hook.Close)
	return hook.URL + "/status?d=42#rc=5", seen
}

func requireStates(t *testing.T, seen <-chan url.Values, want ...string) {
	t.Helper()
	for _, state := range want {
		select {
		case form := <-seen:
			require.Equal(t, state, strings.TrimSuffix(form.Get("MessageStatus")+":"+form.Get("ErrorCode"), ":"))
		case <-time.After(10 * time.Second):
			require.FailNow(t, "no callback", state)
		}
	}
}

func TestTwilioReports(t *testing.T) {
	t.Parallel()
	sb := startTwilio(t, sandbox.Options{CallbackDelay: time.Millisecond})
	for to, c := range map[string]struct {
		name      string
		callbacks []string
		answers   []int
		want      []string
	}{
		"+14155550100": {"normal course", nil, nil, []string{"sent", "delivered"}},
		"+14155550101": {"scripted", []string{"sent", "undelivered:30003"}, nil, []string{"sent", "undelivered:30003"}},
		"+14155550102": {"again after a 5xx", []string{"failed:30008"}, []int{503}, []string{"failed:30008", "failed:30008"}},
		"+14155550103": {"not again after a 4xx", nil, []int{403, 302}, []string{"sent", "delivered"}},
		"+14155550104": {"none where none wanted", []string{}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			callback, seen := twilioStates(t, c.answers...)
			sb.Script(sandbox.ProviderTwilio, to, sandbox.Answer{Callbacks: c.callbacks})
			status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "To", to, "StatusCallback", callback), nil)
			require.Equal(t, http.StatusCreated, status)
			require.Equal(t, "42", sb.Inbox(sandbox.ProviderTwilio, to)[0].Delivery)
			requireStates(t, seen, c.want...)
		})
	}
}

// What a killed sandbox had not reported, the next one reports.
func TestTwilioReportsAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	callback, seen := twilioStates(t)
	sb := startTwilio(t, sandbox.Options{Dir: dir, CallbackDelay: time.Hour})
	sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Callbacks: []string{"sent", "undelivered:30005"}})
	_, m, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "StatusCallback", callback), nil)
	token := sb.Twilio.AuthToken
	require.NoError(t, sb.Close())
	require.Empty(t, seen)

	sb = startTwilio(t, sandbox.Options{Dir: dir, CallbackDelay: time.Millisecond})
	require.Equal(t, token, sb.Twilio.AuthToken, "a gateway need not be configured anew")
	requireStates(t, seen, "sent", "undelivered:30005")
	require.Equal(t, m["sid"], sb.Inbox(sandbox.ProviderTwilio, "")[0].ID)
}
