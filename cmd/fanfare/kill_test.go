package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// kills is how often TestKill kills the gateway; more by -kills.
var kills = flag.Int("kills", 3, "how often TestKill kills the gateway")

// childVariable makes the test binary behave as the command itself.
const childVariable = "FANFARE_TEST_COMMAND"

func TestMain(m *testing.M) {
	playCommand()
	if os.Getenv(childVariable) != "" {
		main()
	}
	os.Exit(m.Run())
}

// child is a gateway in a process of its own.
type child struct {
	cmd     *exec.Cmd
	api     string
	sandbox string // control address
	webhook string // the receiver's address
	log     chan map[string]any
}

// startChild runs `fanfare serve` with further arguments.
func startChild(t *testing.T, dir, listen string, more ...string) *child {
	t.Helper()
	c := &child{api: "http://" + listen, log: make(chan map[string]any, 10_000)}
	args := append([]string{"serve", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--data", dir}, more...)
	c.cmd = exec.Command(os.Args[0], args...) //nolint:gosec // this very binary
	c.cmd.Env = append(os.Environ(), childVariable+"=1")
	stderr, err := c.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // it has ended when the test passed
	go func() {
		defer close(c.log)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				line = map[string]any{"msg": lines.Text()}
			}
			c.log <- line
		}
	}()
	return c
}

// await reads the log up to a message and returns that line and the sum of the
// numbers under key of the lines before it.
func (c *child) await(t *testing.T, message, key string) (line map[string]any, most float64) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case l, ok := <-c.log:
			require.True(t, ok, "the child ended before it said %q", message)
			if n, ok := l[key].(float64); ok {
				most = max(most, n)
			}
			if l["msg"] == message {
				return l, most
			}
		case <-deadline:
			t.Fatalf("the child did not say %q", message)
		}
	}
}

// serving waits until it serves. What an earlier process left uncertain is no
// more than it had under way.
func (c *child) serving(t *testing.T) {
	t.Helper()
	line, _ := c.await(t, "sandbox", "")
	c.sandbox, _ = line["control"].(string)
	c.webhook, _ = line["webhook"].(string)
	_, uncertain := c.await(t, "serving", "uncertain")
	require.LessOrEqual(t, uncertain, 16.0, "more than the concurrency of an account")
}

// send is one publish and what is known of it.
type send struct {
	body map[string]any
	key  string
	id   string // "" until it was answered 2xx
}

func (s *send) post(api string) error {
	text, err := json.Marshal(s.body)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(http.MethodPost, api+"/v1/publish", bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", s.key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // read to its end or of no use
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted && res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	var out struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return err
	}
	s.id = out.ID
	return nil
}

func fetch(t *testing.T, url string, out any) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(get(t, url)), out))
}

// TestKill kills the gateway (kill -9) again and again in the middle of
// publishing and delivering, as its users would meet it: over HTTP, with a
// process of its own. Every publish answered with 2xx is accounted for, no more
// deliveries than attempts under way became uncertain, what was truly sent is
// settled by callbacks, and nobody has it twice: what was sent to a phone or a
// machine again is known there as the same.
func TestKill(t *testing.T) {
	t.Parallel()
	dir, listen := t.TempDir(), freeAddress(t)
	var all []*send
	for round := range *kills {
		c := startChild(t, dir, listen, "--sandbox")
		c.serving(t)
		if round == 0 {
			slow(t, c) // the sandbox remembers
		}
		all = append(all, publishAndKill(t, c, round)...)
	}

	c := startChild(t, dir, listen, "--sandbox")
	c.serving(t)
	answered := 0
	for _, s := range all {
		first := s.id
		if first != "" {
			answered++
		}
		require.NoError(t, s.post(c.api), "a publish that was not answered is sent again under its key")
		if first != "" {
			require.Equal(t, first, s.id, "the same key is the same publish")
		}
	}
	require.Positive(t, answered)
	require.Less(t, answered, len(all), "nothing was killed in the middle")
	checkLedgers(t, c, all)

	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.cmd.Wait(), "SIGTERM drains and exits 0")
	audit(t, dir)
}

// freeAddress is a loopback address that is free and stays so while nobody uses
// it: its port is below those that the system gives to whoever names none.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(10_000)) //nolint:gosec // any number will do
		if l, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, l.Close())
			return address
		}
	}
}

// slow has the providers take their time, so that a kill meets attempts under way.
func slow(t *testing.T, c *child) {
	t.Helper()
	for _, provider := range []string{sandbox.ProviderTwilio, sandbox.ProviderSMTP, sandbox.ProviderAPNs, sandbox.ProviderWebhook} {
		c.script(t, fmt.Sprintf(`{"provider": %q, "recipient": "*", "answers": [{"delay_ms": 20}]}`, provider))
	}
}

func (c *child) script(t *testing.T, body string) {
	t.Helper()
	res, err := http.Post(c.sandbox+"/script", "application/json", strings.NewReader(body)) //nolint:gosec // the test's own server
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, errors.Join(err, res.Body.Close()))
	require.Less(t, res.StatusCode, 300, "%s", text)
}

func phone(i int) string   { return fmt.Sprintf("+1500555%04d", 200+i) }
func mailbox(i int) string { return fmt.Sprintf("r%d@mail.example", i) }

// publishAndKill publishes from several callers and kills the gateway when a
// random number of publishes was answered.
func publishAndKill(t *testing.T, c *child, round int) []*send {
	t.Helper()
	limit := int64(30 + rand.IntN(270/queuetest.Slowdown)) //nolint:gosec // any number will do
	var answered atomic.Int64
	var mu sync.Mutex
	var all []*send
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				s := &send{key: fmt.Sprintf("%d-%d-%d", round, caller, n), body: message(n*8+caller, c.webhook)}
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				if s.post(c.api) != nil {
					return // it is gone
				}
				if answered.Add(1) == limit {
					_ = c.cmd.Process.Kill()
				}
			}
		})
	}
	wg.Wait()
	_ = c.cmd.Wait() // killed
	require.GreaterOrEqual(t, answered.Load(), limit)
	return all
}

func message(n int, webhook string) map[string]any {
	to := map[string]any{"protocol": "sms", "endpoint": phone(n % 40)}
	switch n % 4 {
	case 1:
		to = map[string]any{"protocol": "email", "endpoint": mailbox(n % 40)}
	case 2:
		to = map[string]any{"protocol": "application", "account": "apns/sandbox", "endpoint": strings.Repeat(fmt.Sprintf("%02x", 1+n%40), 32)}
	case 3:
		to = map[string]any{"protocol": "http", "endpoint": webhook + "/hook"}
	}
	return map[string]any{"to": to, "subject": "kill test", "message": fmt.Sprintf("number %d", n)}
}

// delivery is what the test reads of the API.
type delivery struct {
	ID       string `json:"id"`
	State    string `json:"state"`
	Protocol string `json:"protocol"`
	Kind     string `json:"kind"`
	Code     string `json:"code"`
}

// checkLedgers waits until what was sent is settled, and compares each
// delivery's state with the inbox.
func checkLedgers(t *testing.T, c *child, all []*send) {
	t.Helper()
	var found []delivery
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		var open map[string]int
		if found, open = settled(t, c, all); len(open) == 0 {
			break
		}
		require.True(t, time.Now().Before(deadline), "what was sent is settled within a minute, but: %v", open)
	}
	inbox := inboxOf(t, c)
	uncertain := 0
	repeated := 0
	for _, d := range found {
		n := inbox[wireID(t, d.ID)]
		if d.State == "uncertain" {
			uncertain++
			continue
		}
		require.Equal(t, 1, n.seen, "delivery %s (%s) is %s and in the inbox %d times", d.ID, d.Protocol, d.State, n.seen)
		if n.again > 0 { // the delivery says why
			repeated++
			require.Contains(t, []string{"application", "http"}, d.Protocol)
			kinds := kindsOf(t, c, d.ID)
			require.GreaterOrEqual(t, len(kinds), n.again)
			require.NotContains(t, kinds, "temporary")
		}
	}
	require.LessOrEqual(t, uncertain, *kills*2*16, "at most the concurrency of SMS and mail a kill")
	t.Logf("%d publishes, %d kills: %d deliveries stay uncertain, none of them in an inbox; %d came again where that is known", len(all), *kills, uncertain, repeated)
}

// settled reads every publish's delivery, and counts those that are neither
// settled nor, uncertain because they were never sent, waiting for evidence.
func settled(t *testing.T, c *child, all []*send) (found []delivery, open map[string]int) {
	t.Helper()
	open = map[string]int{}
	for _, s := range all {
		var page struct {
			Deliveries []delivery `json:"deliveries"`
		}
		fetch(t, c.api+"/v1/publishes/"+s.id+"/deliveries", &page)
		require.Len(t, page.Deliveries, 1, "every publish has its one delivery")
		found = append(found, page.Deliveries[0])
	}
	inbox := inboxOf(t, c)
	for _, d := range found {
		n := inbox[wireID(t, d.ID)].seen
		switch {
		case d.State == "uncertain" && n == 0:
		case d.State == "delivered", d.State == "sent" && d.Protocol == "application":
		default:
			open[fmt.Sprintf("%s %s (%s %s), %d in the inbox", d.Protocol, d.State, d.Kind, d.Code, n)]++
		}
	}
	return found, open
}

// kindsOf lists what a delivery's attempts that did not succeed ended with.
func kindsOf(t *testing.T, c *child, id string) []string {
	t.Helper()
	var out struct {
		Attempts []struct {
			Kind string `json:"kind"`
		} `json:"failed_attempts"`
	}
	fetch(t, c.api+"/v1/deliveries/"+id, &out)
	var kinds []string
	for _, a := range out.Attempts {
		kinds = append(kinds, a.Kind)
	}
	return kinds
}

// wireID is a delivery's id as it travels to providers.
func wireID(t *testing.T, name string) string {
	t.Helper()
	id, err := queue.ParseID(strings.TrimPrefix(name, "dlv_"))
	require.NoError(t, err)
	return id.Hex()
}

// times is how often a delivery was accepted: as a message of its own, and as one
// that its receiver knows already.
type times struct{ seen, again int }

// inboxOf counts the accepted messages by delivery.
func inboxOf(t *testing.T, c *child) map[string]times {
	t.Helper()
	var items []sandbox.Item
	fetch(t, c.sandbox+"/inbox?limit=1000000", &items)
	counts := map[string]times{}
	for _, it := range items {
		id, err := queue.ParseID(strings.TrimPrefix(it.Delivery, "dlv_"))
		require.NoError(t, err, "%+v", it)
		n := counts[id.Hex()]
		if it.RepeatOf == 0 {
			n.seen++
		} else {
			n.again++
		}
		counts[id.Hex()] = n
	}
	return counts
}

// audit opens the store that was left behind and has the auditor look at it.
func audit(t *testing.T, dir string) {
	t.Helper()
	store, err := queue.Open(dir, queue.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	room, err := topics.New(t.Context(), topics.Options{Store: store})
	require.NoError(t, err)
	n, err := room.Audit()
	require.NoError(t, err)
	require.Zero(t, n)
	require.FileExists(t, filepath.Join(dir, "sandbox", "inbox.ndjson"))
}
