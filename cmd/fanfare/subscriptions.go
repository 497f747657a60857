package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func subscriptionsCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "subscriptions", Short: "List, create, import and delete subscriptions of a running gateway",
		Example: "  fanfare subscriptions list alerts\n  fanfare subscriptions create alerts sms:+15005550101",
	}
	o.flags(cmd)
	cmd.AddCommand(subscriptionsListCommand(&o), subscriptionsCreateCommand(&o), subscriptionsImportCommand(&o),
		&cobra.Command{
			Use: "show SUBSCRIPTION", Short: "Show a subscription", Args: cobra.ExactArgs(1),
			Example: "  fanfare subscriptions show sub_01890a5d…",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.show(cmd, http.MethodGet, pathOf("subscriptions", args[0]), nil)
			},
		},
		&cobra.Command{
			Use: "delete SUBSCRIPTION", Short: "Unsubscribe", Args: cobra.ExactArgs(1),
			Example: "  fanfare subscriptions delete sub_01890a5d…",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.do(cmd, http.MethodDelete, pathOf("subscriptions", args[0]), "deleted "+args[0])
			},
		},
	)
	return cmd
}

func subscriptionsListCommand(o *remote) *cobra.Command {
	l := listing{key: "subscriptions", columns: []string{"id", "protocol", "endpoint", "account", "recipient", "created", "disabled"}}
	cmd := &cobra.Command{
		Use: "list TOPIC", Short: "List a topic's subscriptions", Args: cobra.ExactArgs(1),
		Example: "  fanfare subscriptions list alerts\n  fanfare subscriptions list alerts --output json > alerts.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			l.path = pathOf("topics", args[0], "subscriptions")
			return o.list(cmd, l)
		},
	}
	limitFlag(cmd, &l.limit)
	return cmd
}

func subscriptionsCreateCommand(o *remote) *cobra.Command {
	var account, recipient string
	var raw bool
	cmd := &cobra.Command{
		Use: "create TOPIC PROTOCOL:ENDPOINT", Short: "Subscribe an endpoint", Args: cobra.ExactArgs(2),
		Long: "Subscribes an endpoint. The protocol is sms, application, email, http, https, sqs or lambda.\n" +
			"The answer for a webhook holds its signing key, this once.",
		Example: "  fanfare subscriptions create alerts sms:+15005550101\n" +
			"  fanfare subscriptions create alerts email:ada@mail.example --recipient ada\n" +
			"  fanfare subscriptions create alerts https://hooks.example/alerts\n" +
			"  fanfare subscriptions create alerts sqs:work --raw",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := target(args[1], account)
			if err != nil {
				return err
			}
			setText(in, "recipient", recipient)
			in["raw"] = raw
			return o.show(cmd, http.MethodPost, pathOf("topics", args[0], "subscriptions"), in)
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "PROVIDER/NAME (default the first account of the protocol)")
	cmd.Flags().StringVar(&recipient, "recipient", "", "the person")
	cmd.Flags().BoolVar(&raw, "raw", false, "a machine gets the message itself, without the envelope")
	return cmd
}

// target reads PROTOCOL:ENDPOINT, or the URL of a webhook, whose scheme is its
// protocol.
func target(text, account string) (object, error) {
	protocol, endpoint, ok := strings.Cut(text, ":")
	if !ok || protocol == "" || endpoint == "" {
		return nil, usageError("the endpoint must be PROTOCOL:ENDPOINT, such as sms:+15005550101, or a webhook's URL")
	}
	if strings.HasPrefix(endpoint, "//") && (protocol == "http" || protocol == "https") {
		endpoint = text
	}
	to := object{"protocol": protocol, "endpoint": endpoint}
	setText(to, "account", account)
	return to, nil
}
