package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func publishesCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "publishes", Short: "List, show, pause, resume and cancel publishes of a running gateway",
		Example: "  fanfare publishes list --limit 10\n  fanfare publishes show pub_01890a5d…\n  fanfare publishes cancel pub_01890a5d…",
	}
	o.flags(cmd)
	l := listing{path: pathOf("publishes"), key: "publishes", columns: []string{"id", "topic", "lane", "phase", "control", "created"}}
	list := &cobra.Command{
		Use: "list", Short: "List publishes, newest first", Args: cobra.NoArgs,
		Example: "  fanfare publishes list --limit 10",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
	}
	limitFlag(list, &l.limit)
	cmd.AddCommand(
		list,
		&cobra.Command{
			Use: "show PUBLISH", Short: "Show a publish and its ledger", Args: cobra.ExactArgs(1),
			Example: "  fanfare publishes show pub_01890a5d…",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.show(cmd, http.MethodGet, pathOf("publishes", args[0]), nil)
			},
		},
		publishControl(&o, "pause", "Pause a publish from the next attempt on"),
		publishControl(&o, "resume", "Resume a paused publish"),
		publishControl(&o, "cancel", "Cancel what is not sent of a publish"),
	)
	return cmd
}

func publishControl(o *remote, verb, short string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " PUBLISH", Short: short, Args: cobra.ExactArgs(1),
		Example: "  fanfare publishes " + verb + " pub_01890a5d…",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.show(cmd, http.MethodPost, pathOf("publishes", args[0], verb), nil)
		},
	}
}

const (
	followEvery = 200 * time.Millisecond
	failedShown = "20" // most failed deliveries that are listed at the end
)

// follow prints the ledger of a publish whenever it changes, until it is
// closed. Failed deliveries are an error.
func (c *client) follow(ctx context.Context, p *printer, id string) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for last := ""; ; {
		var answer json.RawMessage
		if err := c.call(ctx, http.MethodGet, pathOf("publishes", id), nil, &answer); err != nil {
			return err
		}
		var now rest.Publish
		if err := json.Unmarshal(answer, &now); err != nil {
			return err
		}
		if line := ledgerLine(now); line != last {
			last = line
			if err := p.change(line, answer); err != nil {
				return err
			}
		}
		if !now.CompletedAt.IsZero() {
			return c.failures(ctx, p, now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not completed yet: %w", ctx.Err())
		}
	}
}

// change prints what a publish has come to.
func (p *printer) change(line string, answer json.RawMessage) error {
	if p.json {
		return p.raw(answer)
	}
	p.say("%s", line)
	return nil
}

// ledgerLine is where a publish stands, as "expanded: delivered 9, queued 2".
func ledgerLine(now rest.Publish) string {
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(now.Ledger)) {
		if n := now.Ledger[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", state, n))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no deliveries"}
	}
	phase := now.Phase
	if now.Control != "" && now.Control != phase {
		phase += ", " + now.Control
	}
	return phase + ": " + strings.Join(parts, ", ")
}

// failures lists the first failed deliveries of a completed publish.
func (c *client) failures(ctx context.Context, p *printer, now rest.Publish) error {
	failed := now.Ledger["failed"]
	if failed == 0 {
		return nil
	}
	if !p.json {
		var page struct {
			Deliveries []json.RawMessage `json:"deliveries"`
		}
		if err := c.call(ctx, http.MethodGet, pathOf("publishes", now.ID, "deliveries")+"?state=failed&limit="+failedShown, nil, &page); err != nil {
			return err
		}
		if err := p.rows(page.Deliveries, []string{"id", "protocol", "account", "kind", "code", "reason"}, true); err != nil {
			return err
		}
	}
	if now.Total == nil {
		return errors.New("deliveries failed")
	}
	return fmt.Errorf("%d of %d deliveries failed", failed, *now.Total)
}
