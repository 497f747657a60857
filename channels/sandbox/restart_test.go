package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// startIn starts a sandbox that reports at once and is closed by the test's end
// at the latest.
func startIn(t *testing.T, dir string) *sandbox.Server {
	t.Helper()
	return startTwilio(t, sandbox.Options{Dir: dir, CallbackDelay: time.Millisecond})
}

// identity is all that subscriptions and accounts know of a sandbox.
func identity(sb *sandbox.Server) []string {
	return []string{
		sb.URL, sb.Twilio.URL, sb.Twilio.AuthToken, sb.APNs.URL, string(sb.APNs.CAPEM), string(sb.APNs.KeyPEM),
		string(sb.APNs.ClientCertPEM), string(sb.APNs.ClientKeyPEM), sb.FCM.URL, string(sb.FCM.CredentialsJSON()),
		sb.SMTP.Addr, sb.SMTP.TLSAddr, string(sb.SMTP.CAPEM), sb.SMTP.Password, sb.Webhook.URL, sb.Webhook.TLSURL,
		string(sb.Webhook.CAPEM), sb.SQS.URL, sb.Lambda.URL,
	}
}

func TestRestartIsTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	sb.FCM.Rotate()
	before := identity(sb)
	require.NoError(t, sb.Close())
	sb = startIn(t, dir)
	require.Equal(t, before, identity(sb))
	other := identity(startIn(t, t.TempDir()))
	for i := range before {
		if before[i] != sb.Twilio.AuthToken { // Twilio's are the same everywhere
			require.NotEqual(t, before[i], other[i])
		}
	}
	for _, name := range []string{"state.json", "inbox.ndjson"} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

// startAgain starts the sandbox of a folder: at other addresses if another test's
// has chosen one of its own meanwhile, as may happen where restarts are many.
func startAgain(t *testing.T, dir string) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{Dir: dir})
	if errors.Is(err, syscall.EADDRINUSE) {
		path := filepath.Join(dir, "state.json")
		text, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte(`"address.`), []byte(`"before.`)), 0o600))
		sb, err = sandbox.Start(sandbox.Options{Dir: dir})
	}
	require.NoError(t, err)
	return sb
}

// What was done to the fakes is done after a restart too.
func TestRestartKeepsWhatWasDone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	const opted, busy = "+14155550100", "+14155550101"
	require.NoError(t, sb.Twilio.Reply(t.Context(), "", opted, "STOP"))
	sb.Script(sandbox.ProviderTwilio, busy, sandbox.Answer{Code: "20429", Times: 2}, sandbox.Answer{Code: "20503", Times: 1}, sandbox.Answer{Callbacks: []string{}})
	send := func(to string) int {
		status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "To", to, "StatusCallback", "http://127.0.0.1:1/"), nil)
		return status
	}
	require.Equal(t, http.StatusTooManyRequests, send(busy))
	queue := sb.SQS.AddQueue("orders.fifo")
	enqueue := func() *sqs.SendMessageOutput {
		out, err := sqsClient(sb).SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &queue, MessageBody: aws.String("hi"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
		})
		require.NoError(t, err)
		return out
	}
	taken := enqueue()
	sb.Webhook.Expect("/signed", "whsec_c2VjcmV0")
	token, err := fcmConfig(t, sb.FCM).TokenSource(t.Context()).Token()
	require.NoError(t, err)
	sb.APNs.Revoke()

	require.NoError(t, sb.Close())
	sb = startIn(t, dir)
	require.Equal(t, http.StatusBadRequest, send(opted))
	require.Equal(t, http.StatusTooManyRequests, send(busy), "the second of two")
	require.Equal(t, http.StatusServiceUnavailable, send(busy))
	require.Equal(t, http.StatusCreated, send(busy))
	require.Empty(t, sb.Inbox(sandbox.ProviderTwilio, busy)[0].Callbacks, "an empty list is not the normal course")
	again := enqueue()
	require.Equal(t, *taken.MessageId, *again.MessageId)
	require.Equal(t, *taken.SequenceNumber, *again.SequenceNumber)
	require.Len(t, sb.Inbox(sandbox.ProviderSQS, queue), 1)
	require.Equal(t, http.StatusUnauthorized, postHook(t, sb.Webhook.URL+"/signed", "x"))
	message := `{"message":{"token":"` + fcmDevice + `"}}`
	status, text := fcmPost(t, sb.FCM.URL+"/v1/projects/"+sb.FCM.ProjectID+"/messages:send", token.AccessToken, "application/json", message)
	require.Equal(t, http.StatusOK, status, text)
	apns := newAPNsClient(t, sb.APNs, "h2")
	_, reason := apns.do(t, apns.request(t))
	require.Equal(t, "InvalidProviderToken", reason)
	sb.APNs.Restore()
	_, reason = apns.do(t, apns.request(t))
	require.Empty(t, reason)
}

// postHook posts a body to a webhook receiver.
func postHook(t *testing.T, address, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	r.Close = true // the next request may be for a sandbox started anew
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// An address that is taken is an error, as subscriptions name it: it says which,
// who keeps it, and what can be done.
func TestRestartWithoutItsAddress(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	_, err := sandbox.Start(sandbox.Options{Dir: dir})
	require.ErrorContains(t, err, "control: the address "+strings.TrimPrefix(sb.URL, "http://"), "one folder, two sandboxes")
	require.NoError(t, sb.Close())

	address := strings.TrimPrefix(sb.Webhook.URL, "http://")
	thief, err := net.Listen("tcp", address)
	require.NoError(t, err)
	_, err = sandbox.Start(sandbox.Options{Dir: dir})
	require.ErrorContains(t, err, "webhook: the address "+address)
	require.ErrorContains(t, err, filepath.Join(dir, "state.json"))
	require.ErrorContains(t, err, "remove the file")
	require.NoError(t, thief.Close())
	require.Equal(t, sb.Webhook.URL, startIn(t, dir).Webhook.URL)
}

func TestUnreadableFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"state.json": `{"address.sqs": "127.0`, "inbox.ndjson": `{"seq":1,"provider":"smtp","accepted":true}` + "\n" + `{"seq":` + "\n{}\n",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		_, err := sandbox.Start(sandbox.Options{Dir: dir})
		require.ErrorContains(t, err, filepath.Join(dir, name))
		require.ErrorContains(t, err, "remove")
	}
}

// Wherever a kill cuts the journal, what stands in whole lines is the inbox, and
// what comes next is not lost behind the torn line.
func TestTornJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	post := func(sb *sandbox.Server, body string) {
		status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "Body", body), nil)
		require.Equal(t, http.StatusCreated, status)
	}
	post(sb, "first")
	post(sb, "second")
	require.NoError(t, sb.Close())
	path := filepath.Join(dir, "inbox.ndjson")
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	bodies := func(sb *sandbox.Server) (all []string) {
		for i, it := range sb.Inbox(sandbox.ProviderTwilio, "") {
			require.Equal(t, i+1, it.Seq)
			all = append(all, it.Body)
		}
		return all
	}
	for n := bytes.IndexByte(whole, '\n'); n <= len(whole); n++ { // in the last line
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		sb := startAgain(t, dir)
		want := []string{"first", "second"}[:bytes.Count(whole[:n], []byte("\n"))]
		require.Equal(t, want, append([]string{}, bodies(sb)...), "cut at %d", n)
		if n%16 == 0 { // each would take long, and they differ little
			post(sb, "next")
			require.NoError(t, sb.Close())
			sb = startAgain(t, dir)
			require.Equal(t, append(want, "next"), bodies(sb), "cut at %d", n)
		}
		require.NoError(t, sb.Close())
	}
}

// A restart goes on with the first report that was not answered: those before
// are not made again.
func TestReportsGoOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sb := startIn(t, dir)
	sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Callbacks: []string{"queued", "sending", "sent", "delivered"}})
	var mu sync.Mutex
	var seen []string
	refused, over := make(chan struct{}), make(chan struct{})
	refuse := sync.OnceFunc(func() { close(refused) })
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		state := r.PostForm.Get("MessageStatus")
		mu.Lock()
		defer mu.Unlock()
		switch restarted := slices.Contains(seen, "restarted"); {
		case state == "sent" && !restarted:
			w.WriteHeader(http.StatusServiceUnavailable)
			refuse()
			return
		case state == "sent" && slices.Contains(seen, state):
			return // the first was the closed sandbox's last, whose answer it did not wait for
		}
		if seen = append(seen, state); state == "delivered" {
			close(over)
		}
	}))
	t.Cleanup(hook.Close)
	status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "StatusCallback", hook.URL), nil)
	require.Equal(t, http.StatusCreated, status)
	<-refused
	require.NoError(t, sb.Close())
	mu.Lock()
	seen = append(seen, "restarted")
	mu.Unlock()
	startIn(t, dir)
	<-over
	require.Equal(t, []string{"queued", "sending", "restarted", "sent", "delivered"}, seen)
}

// A gateway that is away for a while misses nothing.
func TestReportsWaitForTheGateway(t *testing.T) {
	t.Parallel()
	sb := startIn(t, t.TempDir())
	address, free := channeltest.Closed(t)
	for n := range 20 {
		status, _, _ := twilioPost(t, sb.Twilio, twilioForm(sb.Twilio, "To", fmt.Sprint("+1415555010", n), "StatusCallback", "http://"+address+"/"), nil)
		require.Equal(t, http.StatusCreated, status)
	}
	seen := make(chan url.Values, 40)
	free()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		seen <- r.PostForm
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	last := map[string]string{}
	for range 40 {
		select {
		case form := <-seen:
			last[form.Get("MessageSid")] = form.Get("MessageStatus")
		case <-time.After(10 * time.Second):
			require.FailNow(t, "reports are missing")
		}
	}
	require.Len(t, last, 20)
	for _, state := range last {
		require.Equal(t, "delivered", state)
	}
}

// A journal longer than the memory is shortened at a start; what is kept is the
// newest, and counting goes on.
func TestLongJournal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "inbox.ndjson")
	const lines = 100_001
	var text bytes.Buffer
	for n := range lines {
		fmt.Fprintf(&text, `{"seq":%d,"provider":"smtp","accepted":true}`+"\n", n+1)
	}
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	for range 2 {
		sb := startAgain(t, dir)
		items := sb.Requests(sandbox.ProviderSMTP, "")
		require.Len(t, items, 90_001, "a tenth is forgotten at a time")
		require.Equal(t, lines, items[len(items)-1].Seq)
		require.NoError(t, sb.Close())
		rest, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 90_001, bytes.Count(rest, []byte("\n")))
		require.Equal(t, text.Bytes()[text.Len()-len(rest):], rest)
	}
}

// TestASecondSandboxTouchesNothing: it finds the first one's control address in use.
func TestASecondSandboxTouchesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startIn(t, dir)
	journal := filepath.Join(dir, "inbox.ndjson")
	half := []byte(`{"half a line`) // a start cuts it off
	require.NoError(t, os.WriteFile(journal, half, 0o600))
	_, err := sandbox.Start(sandbox.Options{Dir: dir})
	require.ErrorContains(t, err, "another fanfare in the same folder?")
	left, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, half, left)
}
