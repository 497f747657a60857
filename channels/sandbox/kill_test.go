package sandbox_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// killable names the folder of the sandbox that this binary runs instead of its
// tests, until it is killed.
const killable = "FANFARE_TEST_SANDBOX"

func TestMain(m *testing.M) {
	dir := os.Getenv(killable)
	if dir == "" {
		os.Exit(m.Run())
	}
	sb, err := sandbox.Start(sandbox.Options{Dir: dir, CallbackDelay: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(sb.Twilio.URL, sb.Webhook.URL)
	<-make(chan struct{})
}

// startProcess runs a sandbox in a process of its own.
func startProcess(t *testing.T, dir string) (cmd *exec.Cmd, addresses string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), killable+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	addresses, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, strings.TrimSpace(addresses)
}

// Killed at full speed, again and again, a sandbox comes back at its addresses
// with all it ever answered for in the inbox, and reports all of it.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var reported sync.Map // message id: its last status
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		reported.Store(r.PostForm.Get("MessageSid"), r.PostForm.Get("MessageStatus"))
	}))
	t.Cleanup(hook.Close)

	cmd, addresses := startProcess(t, dir)
	twilio, webhook, _ := strings.Cut(addresses, " ")
	fake := startTwilio(t, sandbox.Options{}).Twilio // for its credentials, the same everywhere
	var posted atomic.Int64
	var taken sync.Map // what was answered with success
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				to := fmt.Sprintf("+1415%07d", 2_000_000+posted.Add(1))
				form := twilioForm(fake, "To", to, "StatusCallback", hook.URL)
				r, _ := http.NewRequest(http.MethodPost, twilio+"/2010-04-01/Accounts/"+fake.AccountSID+"/Messages.json", strings.NewReader(form.Encode()))
				r.SetBasicAuth(fake.AccountSID, fake.AuthToken)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if res, err := http.DefaultClient.Do(r); err == nil {
					res.Body.Close()
					taken.Store(to, res.StatusCode)
				}
				if res, err := http.Post(webhook+"/h", "text/plain", strings.NewReader(to)); err == nil {
					res.Body.Close()
					taken.Store("hook "+to, res.StatusCode)
				}
			}
		})
	}
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	for round := range 3 {
		before := count(&taken)
		require.Eventually(t, func() bool { return count(&taken) > before+100 }, time.Minute, time.Millisecond, "round %d", round)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		var again string
		cmd, again = startProcess(t, dir)
		require.Equal(t, addresses, again)
	}
	close(stop)
	senders.Wait()
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()

	sb := startIn(t, dir)
	have := map[string]bool{}
	for _, it := range sb.Inbox("", "") {
		if it.Provider == sandbox.ProviderWebhook {
			have["hook "+it.Body] = true
			continue
		}
		have[it.Recipient] = true
	}
	taken.Range(func(what, status any) bool {
		require.Less(t, status, 300)
		require.Contains(t, have, what, "answered, but not in the inbox")
		return true
	})
	messages := sb.Inbox(sandbox.ProviderTwilio, "")
	require.Eventually(t, func() bool {
		for _, it := range messages {
			if state, _ := reported.Load(it.ID); state != "delivered" {
				return false
			}
		}
		return true
	}, time.Minute, 10*time.Millisecond, "every message is reported to its end")
}
