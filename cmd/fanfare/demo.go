package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

func demoCommand() *cobra.Command {
	var keep bool
	var file string
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch one publish reach every channel, on this machine", Args: cobra.NoArgs,
		Long: "Starts the gateway on loopback with a temporary store and every provider simulated, publishes over its own\n" +
			"HTTP API and shows each delivery. Exit status 0 only if every delivery ended as expected.",
		Example: "  fanfare demo\n  fanfare demo --data alerts.ndjson   one publish a line, as for POST /v1/publish\n  fanfare demo --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), file, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave it running at the end and print its addresses")
	cmd.Flags().StringVar(&file, "data", "", "publishes to send instead (NDJSON); the topic is \"alerts\"")
	return cmd
}

// demo is a running demonstration.
type demo struct {
	out   io.Writer
	begin time.Time
	g     *gateway.Gateway
	sb    *sandbox.Server
	cfg   config.Config
	names map[string]string // subscription id: what it shows
	seen  map[string]string // delivery id: last line shown
}

func runDemo(ctx context.Context, out io.Writer, file string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "fanfare-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sb, err := sandbox.Start(sandbox.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sb.Close()) }()
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	// A temporary folder may lie on a small or full disk; the demo needs little.
	cfg.Store.MinFree, cfg.Store.MaxUsed = 0, 1
	g, err := gateway.New(ctx, gateway.Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), Version: version, Sandbox: sb})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- g.Run(serving, context.WithoutCancel(ctx)) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	d := &demo{out: out, begin: time.Now(), g: g, sb: sb, cfg: cfg, names: map[string]string{}, seen: map[string]string{}}
	if err := d.play(ctx, file); err != nil {
		return err
	}
	d.say("Everything ended as expected.")
	if keep {
		d.say("API %s   metrics %s/metrics   sandbox inbox %s/inbox   (Ctrl-C ends it)", g.URL(), g.AdminURL(), sb.URL)
		<-ctx.Done()
	}
	return nil
}

func (d *demo) config() (config.Config, error) { return d.cfg, nil }

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "%6.2fs  %s\n", time.Since(d.begin).Seconds(), fmt.Sprintf(format, args...))
}

// Endpoints of the demo with a part to play.
const (
	optedOut  = "+15005550102"
	goneToken = "00000000000000000000000000000000000000000000000000000000deadbeef"
	slowMail  = "grace@later.example"
)

type object = map[string]any

func (d *demo) play(ctx context.Context, file string) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if file != "" {
		return d.playFile(ctx, file)
	}
	d.say("publish: an alert for topic alerts; the FCM key has just been revoked")
	id, err := d.publish(ctx, object{
		"topic": "alerts", "subject": "Disk failing on db-1", "message": "SMART reports 12 pending sectors on db-1:/dev/sda. Fail over now.",
		"html": "<p>SMART reports <b>12 pending sectors</b> on db-1.</p>", "lane": "critical",
		"attributes": object{"severity": object{"type": "String", "value": "critical"}},
	})
	if err != nil {
		return err
	}
	if err := d.await(ctx, id, d.paused); err != nil {
		return fmt.Errorf("the revoked key should pause its account: %w", err)
	}
	d.say("account fcm/sandbox is faulted: its recipients wait, none is burned. The key is rotated.")
	d.sb.FCM.Rotate()
	if err := d.g.Reload(ctx, d.config); err != nil {
		return err
	}
	if err := d.await(ctx, id, completed); err != nil {
		return err
	}
	if err := d.redrive(ctx, id); err != nil {
		return err
	}
	if err := d.await(ctx, id, d.receipts); err != nil {
		return fmt.Errorf("the receipts of SMS and mail should arrive: %w", err)
	}
	return d.finish(ctx, id, object{"sent": 2, "delivered": 9, "failed": 2})
}

// prepare creates the topic, the subscriptions and the providers' answers.
func (d *demo) prepare(ctx context.Context) error {
	d.sb.Script(sandbox.ProviderTwilio, optedOut, sandbox.Answer{Code: "21610"})
	d.sb.Script(sandbox.ProviderAPNs, goneToken, sandbox.Answer{Status: 410, Code: "Unregistered", Since: time.Now().Add(time.Hour)})
	d.sb.Script(sandbox.ProviderSMTP, slowMail, sandbox.Answer{Status: 421, Code: "4.3.2", Times: 1})
	busy, broken := d.sb.Webhook.URL+"/busy", d.sb.Webhook.URL+"/broken"
	d.sb.Script(sandbox.ProviderWebhook, busy, sandbox.Answer{Status: 503, RetryAfter: 1, Times: 2})
	d.sb.Script(sandbox.ProviderWebhook, broken, sandbox.Answer{Status: 500})
	if err := d.call(ctx, http.MethodPost, "/v1/topics", object{"name": "alerts"}, nil); err != nil {
		return err
	}
	if err := d.call(ctx, http.MethodPost, "/v1/queues", object{"name": "work"}, nil); err != nil {
		return err
	}
	for _, s := range []struct {
		what string
		body object
	}{
		{"SMS", object{"protocol": "sms", "endpoint": "+15005550101"}},
		{"SMS, opted out", object{"protocol": "sms", "endpoint": optedOut}},
		{"push, APNs", object{"protocol": "application", "account": "apns/sandbox", "endpoint": strings.Repeat("a1", 32)}},
		{"push, APNs, app removed", object{"protocol": "application", "account": "apns/sandbox", "endpoint": goneToken}},
		{"push, FCM, key revoked", object{"protocol": "application", "account": "fcm/sandbox", "endpoint": strings.Repeat("fcmtoken", 10)}},
		{"mail", object{"protocol": "email", "endpoint": "ada@mail.example"}},
		{"mail, relay busy (421)", object{"protocol": "email", "endpoint": slowMail}},
		{"webhook (https)", object{"protocol": "https", "endpoint": d.sb.Webhook.TLSURL + "/hook"}},
		{"webhook, 503 twice", object{"protocol": "http", "endpoint": busy}},
		{"webhook, broken", object{"protocol": "http", "endpoint": broken}},
		{"queue of this gateway", object{"protocol": "sqs", "endpoint": "work"}},
		{"queue elsewhere", object{"protocol": "sqs", "endpoint": d.sb.SQS.AddQueue("remote")}},
		{"function", object{"protocol": "lambda", "endpoint": "on-alert"}},
	} {
		s.body["retry"] = object{"phases": []object{{"tries": 3, "from": "300ms"}}}
		var out struct {
			ID string `json:"id"`
		}
		if err := d.call(ctx, http.MethodPost, "/v1/topics/alerts/subscriptions", s.body, &out); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		d.names[out.ID] = s.what
	}
	d.sb.FCM.Revoke()
	return nil
}

func (d *demo) publish(ctx context.Context, body any) (string, error) {
	var out struct {
		ID string `json:"id"`
	}
	err := d.call(ctx, http.MethodPost, "/v1/publish", body, &out)
	d.say("accepted, durable: %s", out.ID)
	return out.ID, err
}

// status is what the demo reads of a publish.
type status struct {
	Phase      string           `json:"phase"`
	Ledger     map[string]int64 `json:"ledger"`
	Deliveries []struct {
		ID           string `json:"id"`
		State        string `json:"state"`
		Try          int    `json:"try"`
		Protocol     string `json:"protocol"`
		Account      string `json:"account"`
		Subscription string `json:"subscription"`
		Kind         string `json:"kind"`
		Code         string `json:"code"`
		Retrying     bool   `json:"retrying"`
	} `json:"deliveries"`
}

func completed(s status) bool { return s.Phase == "completed" }

// paused: all that is left waits for the account with the revoked key.
func (d *demo) paused(s status) bool {
	for _, x := range s.Deliveries {
		if x.Account == "fcm/sandbox" && (x.State != "queued" || x.Kind != "account_fault") {
			return false
		}
	}
	return len(s.Deliveries) > 0
}

func (d *demo) receipts(s status) bool { return completed(s) && s.Ledger["sent"] == 2 }

// await shows changes until done or 15 seconds have passed.
func (d *demo) await(ctx context.Context, id string, done func(status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var s status
		if err := d.call(ctx, http.MethodGet, "/v1/publishes/"+id+"/deliveries?limit=1000", nil, &s); err != nil {
			return err
		}
		if err := d.call(ctx, http.MethodGet, "/v1/publishes/"+id, nil, &s); err != nil {
			return err
		}
		d.show(s)
		if done(s) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not in time, the ledger is %v: %w", s.Ledger, ctx.Err())
		}
	}
}

func (d *demo) show(s status) {
	for _, x := range s.Deliveries {
		line := fmt.Sprintf("%-26s %-10s try %d", d.names[x.Subscription], x.State, x.Try)
		if x.Kind != "" && x.State != "delivered" && x.State != "sent" {
			line += "  " + x.Kind + " " + x.Code
		}
		if d.seen[x.ID] != line {
			d.seen[x.ID] = line
			d.say("  %s", line)
		}
	}
}

// redrive repairs the broken webhook and queues its dead letter again.
func (d *demo) redrive(ctx context.Context, id string) error {
	d.say("the broken webhook is repaired; its dead letter is redriven")
	d.sb.Script(sandbox.ProviderWebhook, d.sb.Webhook.URL+"/broken")
	cause := object{"protocol": "http", "account": "webhook/sandbox", "kind": "temporary", "code": "500"}
	if err := d.call(ctx, http.MethodPost, "/v1/dead-letters/redrive", object{"cause": cause}, nil); err != nil {
		return err
	}
	return d.await(ctx, id, func(s status) bool { return completed(s) && s.Ledger["failed"] == 2 })
}

// finish prints the ledger and compares it.
func (d *demo) finish(ctx context.Context, id string, want object) error {
	var s status
	if err := d.call(ctx, http.MethodGet, "/v1/publishes/"+id, nil, &s); err != nil {
		return err
	}
	var parts []string
	for _, state := range []string{"sent", "delivered", "failed", "suppressed", "expired", "cancelled", "uncertain", "queued", "held", "sending"} {
		n := s.Ledger[state]
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", state, n))
		}
		if expected, _ := want[state].(int); want != nil && int64(expected) != n {
			return fmt.Errorf("the ledger of %s has %d %s, expected %d", id, n, state, expected)
		}
	}
	d.say("ledger of %s: %s", id, strings.Join(parts, ", "))
	return nil
}

// playFile publishes each line of a file; every ledger must close.
func (d *demo) playFile(ctx context.Context, file string) error {
	d.sb.FCM.Rotate()
	if err := d.g.Reload(ctx, d.config); err != nil {
		return err
	}
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	for n, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		id, err := d.publish(ctx, json.RawMessage(line))
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", file, n+1, err)
		}
		if err := d.await(ctx, id, completed); err != nil {
			return err
		}
		if err := d.finish(ctx, id, nil); err != nil {
			return err
		}
	}
	return nil
}

// call makes one call of the gateway's API.
func (d *demo) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, d.g.URL()+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}
