package main

import (
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"
)

func dlqCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "dlq", Short: "Show failed deliveries by cause, and queue them again",
		Example: "  fanfare dlq list\n  fanfare dlq redrive --protocol https --account webhook/main --kind temporary --code 503 --dry-run",
	}
	o.flags(cmd)
	l := listing{
		path: pathOf("dead-letters"), key: "dead_letters", whole: true,
		columns: []string{"count", "protocol", "account", "kind", "code", "first", "last", "action"},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "Show failed deliveries by cause, and what to do", Args: cobra.NoArgs,
			Example: "  fanfare dlq list\n  fanfare dlq list --output json",
			RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
		},
		redriveCommand(&o),
	)
	return cmd
}

// cause is what a redrive is asked for.
type cause struct {
	Protocol string `json:"protocol"`
	Account  string `json:"account"`
	Kind     string `json:"kind"`
	Code     string `json:"code"`
}

func redriveCommand(o *remote) *cobra.Command {
	var of cause
	var rate int
	var dry bool
	cmd := &cobra.Command{
		Use: "redrive", Short: "Queue the failed deliveries of a cause again", Args: cobra.NoArgs,
		Long: "Queues the failed deliveries of a cause again, in the background and at a rate. The cause is a line of \"dlq list\".\n" +
			"Those that expired or were suppressed meanwhile are skipped.",
		Example: "  fanfare dlq redrive --protocol https --account webhook/main --kind temporary --code 503 --dry-run\n" +
			"  fanfare dlq redrive --protocol https --account webhook/main --kind temporary --code 503 --rate 100",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.redrive(cmd, object{"cause": of, "rate": rate, "dry_run": dry})
		},
	}
	f := cmd.Flags()
	f.StringVar(&of.Protocol, "protocol", "", "of the cause")
	f.StringVar(&of.Account, "account", "", "of the cause")
	f.StringVar(&of.Kind, "kind", "", "of the cause")
	f.StringVar(&of.Code, "code", "", "of the cause; leave it out where the list shows -")
	f.IntVar(&rate, "rate", 50, "deliveries a second, 1 to 10000")
	f.BoolVar(&dry, "dry-run", false, "only count")
	for _, name := range []string{"protocol", "kind"} {
		_ = cmd.MarkFlagRequired(name) // the flag is there
	}
	return cmd
}

func (o *remote) redrive(cmd *cobra.Command, in object) error {
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	var answer json.RawMessage
	if err := c.call(cmd.Context(), http.MethodPost, pathOf("dead-letters", "redrive"), in, &answer); err != nil {
		return err
	}
	if p.json {
		return p.raw(answer)
	}
	var out struct {
		Count  int64 `json:"count"`
		DryRun bool  `json:"dry_run"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return err
	}
	if out.DryRun {
		p.say("%d would be queued again", out.Count)
		return nil
	}
	p.say("%d are being queued again, %v a second", out.Count, in["rate"])
	return nil
}
