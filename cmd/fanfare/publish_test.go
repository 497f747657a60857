package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func raws(texts ...string) []json.RawMessage {
	out := make([]json.RawMessage, len(texts))
	for i, text := range texts {
		out[i] = json.RawMessage(text)
	}
	return out
}

func TestPublish(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	id := strings.TrimSpace(g.do("publish", "--to", "email:ada@mail.example", "--subject", "Disk", "--message", "failing", "--html", "<b>failing</b>",
		"--lane", "critical", "--idempotency-key", "disk-1"))
	require.Regexp(t, `^pub_[0-9a-f]{32}$`, id)
	require.Equal(t, "Disk", g.await(sandbox.ProviderSMTP, "ada@mail.example").Subject)

	code, stdout, stderr := g.ask("publish", "--to", "email:ada@mail.example", "--subject", "Disk", "--message", "failing", "--html", "<b>failing</b>",
		"--lane", "critical", "--idempotency-key", "disk-1")
	require.Zero(t, code)
	require.Equal(t, id+"\n", stdout)
	require.Contains(t, stderr, "published before under the same idempotency key")
	g.fails(exitFailed, "was used with another payload", "publish", "--to", "email:ada@mail.example", "--message", "else", "--idempotency-key", "disk-1")

	g.do("topics", "create", "alerts")
	g.do("queues", "create", "work")
	g.do("subscriptions", "create", "alerts", "sqs:work")
	code, stdout, stderr = g.withInput("from\nstdin", "publish", "--topic", "alerts", "--message", "-", "--attribute", "severity=high", "--group", "tenant-1", "--wait")
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?s)^pub_.*\ncompleted: delivered 1\n$`, stdout)
	require.Contains(t, g.do("queues", "receive", "work"), `"message":"from\nstdin"`)

	docs := g.docs("publish", "--to", "sms:+15005550101", "--account", "twilio/sandbox", "--message", "code 1", "--expires-in", "5m", "--wait")
	require.Equal(t, docs[0]["id"], docs[len(docs)-1]["id"])
	require.Equal(t, "completed", docs[len(docs)-1]["phase"])
	require.Equal(t, "transactional", docs[0]["lane"])
	expires, err := time.Parse(time.RFC3339, docs[0]["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(5*time.Minute), expires, time.Minute)
}

func TestPublishOfATemplate(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.URL()+"/v1/templates/welcome", strings.NewReader(`{"text": "Hello {{.name}}"}`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	g.do("publish", "--to", "sms:+15005550101", "--template", "welcome", "--template-data", `{"name": "Ada"}`, "--wait")
	require.Equal(t, "Hello Ada", g.await(sandbox.ProviderTwilio, "+15005550101").Body)
	g.fails(exitFailed, "not found", "publish", "--to", "sms:+15005550101", "--template", "none")
}

func TestPublishThatFails(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.sb.Script(sandbox.ProviderTwilio, "+15005550102", sandbox.Answer{Code: "21610"})
	code, stdout, stderr := g.ask("publish", "--to", "sms:+15005550102", "--message", "x", "--wait")
	require.Equal(t, exitFailed, code)
	require.Equal(t, "fanfare: 1 of 1 deliveries failed\n", stderr)
	require.Contains(t, stdout, "completed: failed 1\n")
	require.Regexp(t, `\ndlv_[0-9a-f]+\tsms\ttwilio/sandbox\trecipient_blocked\t21610\t`, stdout)
	require.Contains(t, g.do("publish", "--to", "sms:+15005550102", "--message", "x", "--wait"), "completed: suppressed 1\n")
	g.sb.Script(sandbox.ProviderTwilio, "+15005550103", sandbox.Answer{Code: "21610"})
	code, stdout, _ = g.ask("publish", "--to", "sms:+15005550103", "--message", "x", "--wait", "--output", "json")
	require.Equal(t, exitFailed, code)
	require.NotContains(t, stdout, "dlv_")

	g.fails(exitFailed, `topic "none": not found`, "publish", "--topic", "none", "--message", "x")
	g.fails(exitFailed, "fanfare: to.endpoint: want a phone number", "publish", "--to", "sms:12", "--message", "x")
	g.fails(exitFailed, "fanfare: lane: ", "publish", "--to", "sms:+15005550101", "--message", "x", "--lane", "slow")
}

func TestControlOfAPublish(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	id := g.docs("publish", "--to", "sms:+15005550101", "--message", "x", "--send-at", time.Now().Add(time.Hour).Format(time.RFC3339))[0]["id"].(string)
	require.Contains(t, g.do("publishes", "show", id), "phase\tscheduled\n")
	require.Contains(t, g.do("publishes", "pause", id), "control\tpaused\n")
	require.NotContains(t, g.docs("publishes", "resume", id)[0], "control")
	require.Contains(t, g.do("publishes", "cancel", id), "control\tcancelled\n")
	g.fails(exitFailed, "fanfare: id: must be pub_", "publishes", "show", "7")
	g.fails(exitFailed, "not found", "publishes", "cancel", "pub_00"+id[6:])
}

func TestWaitIsInterrupted(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.do("accounts", "pause", "twilio/sandbox")
	ctx, interrupt := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan int, 1)
	var stderr strings.Builder
	go func() {
		ended <- execute(ctx, []string{"publish", "--to", "sms:+15005550101", "--message", "x", "--wait", "--server", g.URL()}, strings.NewReader(""), w, &stderr)
		_ = w.Close()
	}()
	shown := make([]byte, 1024)
	var seen string
	for !strings.Contains(seen, "queued 1") {
		n, err := r.Read(shown)
		require.NoError(t, err)
		seen += string(shown[:n])
	}
	interrupt()
	require.Equal(t, exitInterrupted, <-ended)
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	require.Contains(t, g.do("accounts", "list"), "twilio/sandbox\tsms\tactive\t")
	require.Equal(t, "paused twilio/sandbox\n", g.do("accounts", "pause", "twilio/sandbox"))
	require.Contains(t, g.do("accounts", "list"), "twilio/sandbox\tsms\tpaused\t")
	require.Equal(t, "resumed twilio/sandbox\n", g.do("accounts", "resume", "twilio/sandbox"))
	for _, a := range g.docs("accounts", "list") {
		require.Equal(t, "active", a["state"])
	}
	g.fails(exitFailed, "no such account", "accounts", "pause", "twilio/none")
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	require.Empty(t, g.docs("dlq", "list"))
	g.sb.Script(sandbox.ProviderTwilio, "+15005550102", sandbox.Answer{Code: "21617", Times: 1})
	code, _, _ := g.ask("publish", "--to", "sms:+15005550102", "--message", "x", "--wait")
	require.Equal(t, exitFailed, code)
	require.Contains(t, g.do("dlq", "list"), "1\tsms\ttwilio/sandbox\trejected\t21617\t")
	require.Equal(t, "21617", g.docs("dlq", "list")[0]["code"])
	redrive := []string{"dlq", "redrive", "--protocol", "sms", "--account", "twilio/sandbox", "--kind", "rejected", "--code", "21617"}
	require.Equal(t, "of 1, 1 were examined: 1 would be queued again, 0 left as they are\n", g.do(append(redrive, "--dry-run")...))
	require.Equal(t, 1.0, g.docs(append(redrive, "--dry-run")...)[0]["count"])
	g.fails(exitFailed, "fanfare: rate: ", append(redrive, "--rate", "0")...)
	g.fails(exitFailed, "not found", append(redrive, "--code", "1")...)
	require.Regexp(t, `^red_\w+: 1 are being queued again, 100 a second\n$`, g.do(append(redrive, "--rate", "100")...))
	g.await(sandbox.ProviderTwilio, "+15005550102")
	g.fails(exitFailed, "id: must be red_", "dlq", "cancel", "red_1")
	require.Eventually(t, func() bool { return g.docs("dlq", "redrives")[0]["state"] == "done" }, 10*time.Second, 10*time.Millisecond)
	id, _ := g.docs("dlq", "redrives")[0]["id"].(string)
	g.fails(exitFailed, "the redrive has ended", "dlq", "cancel", id)
}

func TestARedriveIsCancelled(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.sb.Script(sandbox.ProviderTwilio, "*", sandbox.Answer{Code: "21617"})
	g.do("topics", "create", "alerts")
	for n := range 30 { // half a minute of work
		g.do("subscriptions", "create", "alerts", fmt.Sprint("sms:+15005550", 100+n))
	}
	g.ask("publish", "--topic", "alerts", "--message", "x", "--wait")
	g.do("dlq", "redrive", "--protocol", "sms", "--account", "twilio/sandbox", "--kind", "rejected", "--code", "21617", "--rate", "1")
	id, _ := g.docs("dlq", "redrives")[0]["id"].(string)
	require.Equal(t, "cancelled "+id+"\n", g.do("dlq", "cancel", id))
	require.Contains(t, g.do("dlq", "redrives"), id+"\tcancelled\t")
}

func TestQueues(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.do("queues", "create", "dead")
	made := g.do("queues", "create", "work", "--visibility", "1m", "--dead-letter", "dead", "--max-receives", "3", "--retention", "24h")
	for _, line := range []string{"visibility\t1m0s\n", "dead_letter\tdead\n", "max_receives\t3\n", "retention\t24h0m0s\n"} {
		require.Contains(t, made, line)
	}
	require.Contains(t, g.do("queues", "send", "work", "--body", "one"), "id\t")
	code, _, stderr := g.withInput("two\n", "queues", "send", "work", "--body", "-", "--delay", "1h")
	require.Zero(t, code, stderr)
	shown := g.docs("queues", "show", "work")[0]
	require.Equal(t, []any{1.0, 1.0}, []any{shown["ready"], shown["delayed"]})
	require.Contains(t, g.do("queues", "list"), "work\t1\t0\t1\t")
	require.Len(t, g.docs("queues", "list", "--limit", "1"), 1)

	got := g.do("queues", "receive", "work", "--max", "10", "--visibility", "30s")
	require.Regexp(t, `^ID\tRECEIVES\tSENT_AT\tGROUP\tBODY\n\S+\t1\t\S+\t-\tone\n$`, got)
	require.Empty(t, g.docs("queues", "receive", "work"), "it is hidden")
	g.do("queues", "send", "work", "--body", "three")
	require.Equal(t, "three", g.docs("queues", "receive", "work", "--wait", "5s", "--delete")[0]["body"])
	require.Equal(t, 1.0, g.docs("queues", "show", "work")[0]["in_flight"], "the other one is deleted")

	g.do("queues", "create", "orders.fifo", "--fifo", "--content-dedup", "--delay", "1s")
	first := g.docs("queues", "send", "orders.fifo", "--body", "x", "--group", "g", "--dedup-id", "d")[0]
	require.Equal(t, map[string]any{"id": first["id"], "duplicate": true}, g.docs("queues", "send", "orders.fifo", "--body", "x", "--group", "g", "--dedup-id", "d")[0])
	require.Equal(t, "deleted work\n", g.do("queues", "delete", "work"))

	g.fails(exitFailed, `queue "work": not found`, "queues", "show", "work")
	g.fails(exitFailed, `queue "work": not found`, "queues", "send", "work", "--body", "x")
	g.fails(exitFailed, "not found", "queues", "delete", "work")
	g.fails(exitFailed, "fanfare: visibility: must be a duration", "queues", "create", "q", "--visibility", "30")
	g.fails(exitFailed, "fanfare: max: ", "queues", "receive", "dead", "--max", "1001")
	g.fails(exitFailed, "fanfare: wait: ", "queues", "receive", "dead", "--wait", "1h")
}
