package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func accountsCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "accounts", Short: "List, pause and resume providers' accounts of a running gateway",
		Example: "  fanfare accounts list\n  fanfare accounts pause twilio/main",
	}
	o.flags(cmd)
	l := listing{
		path: pathOf("accounts"), key: "accounts", whole: true,
		columns: []string{"name", "protocol", "state", "since", "in_flight", "waiting", "code", "reason"},
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List accounts and how they stand", Args: cobra.NoArgs,
			Example: "  fanfare accounts list",
			RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
		},
		accountControl(&o, "pause", "Pause an account: its deliveries wait", "paused "),
		accountControl(&o, "resume", "Resume an account", "resumed "),
	)
	return cmd
}

func accountControl(o *remote, verb, short, done string) *cobra.Command {
	return &cobra.Command{
		Use: verb + " PROVIDER/NAME", Short: short, Args: cobra.ExactArgs(1),
		Example: "  fanfare accounts " + verb + " twilio/main",
		RunE: func(cmd *cobra.Command, args []string) error {
			provider, name, ok := strings.Cut(args[0], "/")
			if !ok || provider == "" || name == "" {
				return usageError("the account must be PROVIDER/NAME, such as twilio/main, not %q", args[0])
			}
			return o.do(cmd, http.MethodPost, pathOf("accounts", provider, name, verb), done+args[0])
		},
	}
}
