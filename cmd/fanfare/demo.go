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
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func demoCommand() *cobra.Command {
	var keep bool
	var file string
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch a publish reach every channel, on this machine", Args: cobra.NoArgs,
		Long: "Starts the gateway on loopback with a temporary store and every provider simulated, publishes over its own\n" +
			"HTTP API and shows each delivery: a live table on a terminal, a line for each change elsewhere. The first\n" +
			"publish meets what goes wrong in real life, the next ones what follows from it. Nothing leaves this machine.\n" +
			"Exit status 0 only if every delivery ended as expected.",
		Example: "  fanfare demo\n  fanfare demo --data alerts.ndjson   one publish a line, as for POST /v1/publish\n  fanfare demo --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, text := "the built-in publishes", []byte(builtIn)
			if file != "" {
				var err error
				if text, err = os.ReadFile(filepath.Clean(file)); err != nil {
					return &exitError{exitUsage, err}
				}
				name = file
			}
			publishes, err := readPublishes(name, text)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			return runDemo(cmd.Context(), cmd.OutOrStdout(), publishes, keep)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave it running at the end and print its addresses")
	cmd.Flags().StringVar(&file, "data", "", "publishes to send instead (NDJSON); one that names neither topic nor to goes to the topic \""+demoTopic+"\"")
	return cmd
}

// demo is a running demonstration.
type demo struct {
	screen screen
	begin  time.Time
	g      *gateway.Gateway
	sb     *sandbox.Server
	cfg    config.Config
	cast   []part
	told   bool // the first publish to the topic was made
}

// runDemo runs a demonstration; nothing of it is left when it returns.
func runDemo(ctx context.Context, out io.Writer, publishes []publishLine, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "fanfare-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := demoConfig(dir)
	if err != nil {
		return err
	}
	sb, err := sandbox.Start(sandbox.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sb.Close()) }()
	g, err := gateway.New(ctx, gateway.Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), Version: version, Sandbox: sb})
	if err != nil {
		return err
	}
	hard, release := secondSignal(ctx)
	defer release()
	serving, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	var failed error
	go func() {
		defer close(ended)
		failed = g.Run(serving, hard)
	}()
	defer func() {
		stop()
		<-ended
		err = errors.Join(err, failed)
	}()
	begin := time.Now()
	d := &demo{screen: newScreen(out, begin), begin: begin, g: g, sb: sb, cfg: cfg, cast: newCast(sb)}
	if err = d.play(ctx, publishes); err == nil && keep {
		d.invite(out)
		select {
		case <-ctx.Done():
		case <-ended: // failed says why
		}
	}
	if ctx.Err() != nil {
		err = &exitError{exitInterrupted, errors.New("interrupted")}
	}
	return err
}

// hurried shortens what the error book waits after a relay's 421, for the
// demonstration not to take that long.
const hurried = `- {provider: smtp, status: "421", kind: temporary, wait: 1s, source: "the demo is in a hurry"}` + "\n"

func demoConfig(dir string) (config.Config, error) {
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "data")
	// A temporary folder may lie on a small or full disk; the demo needs little.
	cfg.Store.MinFree, cfg.Store.MaxUsed = 0, 1
	cfg.ErrorBook = filepath.Join(dir, "errorbook.yaml")
	return cfg, os.WriteFile(cfg.ErrorBook, []byte(hurried), 0o600)
}

// invite says where the gateway is and what to try.
func (d *demo) invite(out io.Writer) {
	_, _ = fmt.Fprintf(out, `
API      %[1]s        described at %[1]s/openapi.json
metrics  %[2]s/metrics
inbox    %[3]s/inbox  what the simulated providers accepted

  curl -s %[1]s/v1/publish -H 'Content-Type: application/json' -d '{"topic": "%[4]s", "message": "Hello"}'
  curl -s %[1]s/v1/topics/%[4]s/subscriptions
  curl -s %[3]s/inbox

Ctrl-C ends it and removes its store.
`, d.g.URL(), d.g.AdminURL(), d.sb.URL, demoTopic)
}

// call makes one call of the gateway's API.
func (d *demo) call(ctx context.Context, method, path string, in, out any) error {
	body := &bytes.Buffer{}
	if in != nil {
		if err := json.NewEncoder(body).Encode(in); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
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
	if res.StatusCode >= http.StatusMultipleChoices {
		var p rest.Problem
		if json.Unmarshal(text, &p) != nil || p.Detail == "" {
			p.Detail = res.Status
		}
		return fmt.Errorf("%s %s: %w", method, path, &p)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}
