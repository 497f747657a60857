package main

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
)

func subscriptionsCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "subscriptions", Short: "List, create, import, change and delete subscriptions of a running gateway",
		Example: "  fanfare subscriptions list alerts\n  fanfare subscriptions create alerts sms:+15005550101",
	}
	o.flags(cmd)
	cmd.AddCommand(subscriptionsListCommand(&o), subscriptionsCreateCommand(&o), subscriptionsImportCommand(&o), subscriptionsUpdateCommand(&o),
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
	var account, recipient, filter, scope, dead string
	var raw bool
	cmd := &cobra.Command{
		Use: "create TOPIC PROTOCOL:ENDPOINT", Short: "Subscribe an endpoint", Args: cobra.ExactArgs(2),
		Long: "Subscribes an endpoint. The protocol is sms, application, email, http, https, sqs or lambda.\n" +
			"The answer for a webhook holds its signing key, this once.",
		Example: "  fanfare subscriptions create alerts sms:+15005550101\n" +
			"  fanfare subscriptions create alerts email:ada@mail.example --recipient ada\n" +
			"  fanfare subscriptions create alerts https://hooks.example/alerts\n" +
			"  fanfare subscriptions create alerts sqs:work --raw\n" +
			"  fanfare subscriptions create alerts sms:+15005550102 --filter '{\"severity\": [\"high\"]}'",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := target(args[1], account)
			if err != nil {
				return err
			}
			setText(in, "recipient", recipient)
			setText(in, "dead_letter_queue", dead)
			in["raw"] = raw
			if filter != "" {
				if in["filter"], err = filterOf(filter, scope); err != nil {
					return err
				}
			}
			return o.show(cmd, http.MethodPost, pathOf("topics", args[0], "subscriptions"), in)
		},
	}
	cmd.Flags().StringVar(&account, "account", "", "PROVIDER/NAME (default the first account of the protocol)")
	cmd.Flags().StringVar(&recipient, "recipient", "", "the person")
	cmd.Flags().BoolVar(&raw, "raw", false, "a machine gets the message itself, without the envelope")
	cmd.Flags().StringVar(&filter, "filter", "", "filter policy (JSON) that says what it gets (default everything)")
	cmd.Flags().StringVar(&scope, "filter-scope", "", scopeHelp)
	cmd.Flags().StringVar(&dead, "dead-letter-queue", "", "queue that gets what fails for good")
	return cmd
}

const scopeHelp = "what the filter looks at: MessageAttributes (default) or MessageBody"

// changeOf is what the flags of update change.
func changeOf(cmd *cobra.Command) (object, error) {
	in, flags := object{}, cmd.Flags()
	for flag, field := range map[string]string{"recipient": "recipient", "dead-letter-queue": "dead_letter_queue", "disable": "disabled"} {
		if text, _ := flags.GetString(flag); flags.Changed(flag) {
			in[field] = text
		}
	}
	if flags.Changed("enable") {
		in["disabled"] = nil
	}
	if raw, _ := flags.GetBool("raw"); flags.Changed("raw") {
		in["raw"] = raw
	}
	if !flags.Changed("filter") {
		return in, nil
	}
	in["filter"] = nil
	policy, _ := flags.GetString("filter") // it is one of the flags
	scope, _ := flags.GetString("filter-scope")
	if policy == "" {
		return in, nil
	}
	filter, err := filterOf(policy, scope)
	in["filter"] = filter
	return in, err
}

// filterOf is a filter policy as the API takes it.
func filterOf(policy, scope string) (object, error) {
	if !json.Valid([]byte(policy)) {
		return nil, usageError("--filter must be a JSON object, such as '{\"severity\": [\"high\"]}'")
	}
	f := object{"policy": json.RawMessage(policy)}
	setText(f, "scope", scope)
	return f, nil
}

func subscriptionsUpdateCommand(o *remote) *cobra.Command {
	cmd := &cobra.Command{
		Use: "update SUBSCRIPTION", Short: "Change a subscription", Args: cobra.ExactArgs(1),
		Long: "Changes what is named by a flag; an empty text takes it away. The secret of a webhook is changed by the API (PATCH).",
		Example: "  fanfare subscriptions update sub_01890a5d… --filter '{\"severity\": [\"high\"]}'\n" +
			"  fanfare subscriptions update sub_01890a5d… --filter ''\n" +
			"  fanfare subscriptions update sub_01890a5d… --disable 'on holiday'\n" +
			"  fanfare subscriptions update sub_01890a5d… --enable",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := changeOf(cmd)
			if err != nil {
				return err
			}
			return o.show(cmd, http.MethodPatch, pathOf("subscriptions", args[0]), in)
		},
	}
	cmd.Flags().String("recipient", "", "the person")
	cmd.Flags().Bool("raw", false, "a machine gets the message itself, without the envelope")
	cmd.Flags().String("filter", "", "filter policy (JSON) that says what it gets")
	cmd.Flags().String("filter-scope", "", scopeHelp)
	cmd.Flags().String("dead-letter-queue", "", "queue that gets what fails for good")
	cmd.Flags().String("disable", "", "why it gets nothing any more")
	cmd.Flags().Bool("enable", false, "let a disabled one get what is published")
	cmd.MarkFlagsMutuallyExclusive("enable", "disable")
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
