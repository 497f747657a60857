package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
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
	redrives := listing{
		path: pathOf("redrives"), key: "redrives", whole: true,
		columns: []string{"id", "state", "done", "skipped", "total", "rate", "created", "ended"},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "Show failed deliveries by cause, and what to do", Args: cobra.NoArgs,
			Example: "  fanfare dlq list\n  fanfare dlq list --output json",
			RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
		},
		redriveCommand(&o),
		&cobra.Command{
			Use: "redrives", Short: "Show redrives and how far they are, newest first", Args: cobra.NoArgs,
			Example: "  fanfare dlq redrives",
			RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, redrives) },
		},
		&cobra.Command{
			Use: "cancel ID", Short: "Cancel a redrive: what it has queued goes on", Args: cobra.ExactArgs(1),
			Example: "  fanfare dlq cancel red_019f3a",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.do(cmd, http.MethodDelete, pathOf("redrives", args[0]), "cancelled "+args[0])
			},
		},
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
	var out rest.RedriveAnswer
	if err := json.Unmarshal(answer, &out); err != nil {
		return err
	}
	if !out.DryRun {
		p.say("%s: %d are being queued again, %v a second", out.ID, out.Count, in["rate"])
		return nil
	}
	var again, stay int64
	for _, n := range out.Lanes {
		again += n
	}
	for _, n := range out.Skip {
		stay += n
	}
	p.say("of %d, %d were examined: %d would be queued again, %d left as they are", out.Count, out.Examined, again, stay)
	for _, why := range slices.Sorted(maps.Keys(out.Skip)) {
		p.say("%d\t%s", out.Skip[why], why)
	}
	return nil
}
