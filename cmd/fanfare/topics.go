package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func topicsCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "topics", Short: "List, create and delete topics of a running gateway",
		Example: "  fanfare topics list\n  fanfare topics create alerts",
	}
	o.flags(cmd)
	cmd.AddCommand(topicsListCommand(&o), topicsCreateCommand(&o),
		&cobra.Command{
			Use: "show TOPIC", Short: "Show a topic", Args: cobra.ExactArgs(1),
			Example: "  fanfare topics show alerts",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.show(cmd, http.MethodGet, pathOf("topics", args[0]), nil)
			},
		},
		&cobra.Command{
			Use: "delete TOPIC", Short: "Delete a topic and its subscriptions", Args: cobra.ExactArgs(1),
			Example: "  fanfare topics delete alerts",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.do(cmd, http.MethodDelete, pathOf("topics", args[0]), "deleted "+args[0])
			},
		},
	)
	return cmd
}

func topicsListCommand(o *remote) *cobra.Command {
	l := listing{path: pathOf("topics"), key: "topics", columns: []string{"name", "display_name", "on_uncertain", "created"}}
	cmd := &cobra.Command{
		Use: "list", Short: "List topics", Args: cobra.NoArgs,
		Example: "  fanfare topics list\n  fanfare topics list --output json --limit 10",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
	}
	limitFlag(cmd, &l.limit)
	return cmd
}

func topicsCreateCommand(o *remote) *cobra.Command {
	var display, uncertain string
	var tags []string
	cmd := &cobra.Command{
		Use: "create TOPIC", Short: "Create a topic", Args: cobra.ExactArgs(1),
		Example: "  fanfare topics create alerts\n  fanfare topics create codes --on-uncertain drop --tag team=accounts",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := object{"name": args[0]}
			setText(in, "display_name", display)
			setText(in, "on_uncertain", uncertain)
			if len(tags) > 0 {
				values, err := pairs("--tag", tags)
				if err != nil {
					return err
				}
				in["tags"] = values
			}
			return o.show(cmd, http.MethodPost, pathOf("topics"), in)
		},
	}
	cmd.Flags().StringVar(&display, "display-name", "", "name that people see")
	cmd.Flags().StringVar(&uncertain, "on-uncertain", "", "when an answer was lost: resend, hold or drop (default by protocol)")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "NAME=VALUE; may be repeated")
	return cmd
}

// setText sets a field that is given.
func setText(in object, field, value string) {
	if value != "" {
		in[field] = value
	}
}

// pairs reads the NAME=VALUE of a flag that may be repeated.
func pairs(flag string, list []string) (map[string]string, error) {
	out := make(map[string]string, len(list))
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usageError("%s must be NAME=VALUE, not %q", flag, text)
		}
		out[name] = value
	}
	return out, nil
}
