package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

// publishing are the flags of publish.
type publishing struct {
	remote
	topic, to, account     string
	subject, message, html string
	template, data         string
	attributes             []string
	lane, group, key       string
	expiresAt, sendAt      time.Time
	expiresIn              time.Duration
	wait                   bool
}

func publishCommand() *cobra.Command {
	p := &publishing{}
	cmd := &cobra.Command{
		Use: "publish", Short: "Publish to a topic or one endpoint, through a running gateway", Args: cobra.NoArgs,
		Long: "Publishes to a topic or one endpoint and prints the publish's id once it is durable.\n" +
			"With --wait the ledger is printed whenever it changes, until every delivery is final;\n" +
			"exit status 1 if any failed.",
		Example: "  fanfare publish --topic alerts --subject \"Disk failing\" --message \"12 pending sectors on db-1\"\n" +
			"  fanfare publish --to sms:+15005550101 --message \"Your code is 123456\" --lane critical --expires-in 5m --wait\n" +
			"  fanfare publish --to https://hooks.example/alerts --message - < alert.json\n" +
			"  fanfare publish --topic alerts --template welcome --template-data '{\"name\": \"Ada\"}' --idempotency-key signup-7",
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd) },
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&p.topic, "topic", "", "the topic")
	f.StringVar(&p.to, "to", "", "one endpoint instead: PROTOCOL:ENDPOINT, or a webhook's URL")
	f.StringVar(&p.account, "account", "", "with --to: PROVIDER/NAME (default the first account of the protocol)")
	f.StringVar(&p.subject, "subject", "", "subject of a mail, title of a push")
	f.StringVar(&p.message, "message", "", "the message; - reads standard input")
	f.StringVar(&p.html, "html", "", "the message of a mail as HTML")
	f.StringVar(&p.template, "template", "", "name of a template, instead of a message")
	f.StringVar(&p.data, "template-data", "", "what the template needs, a JSON object")
	f.StringArrayVar(&p.attributes, "attribute", nil, "NAME=VALUE; may be repeated")
	f.StringVar(&p.lane, "lane", "", "critical, transactional or bulk (default by what is published)")
	f.StringVar(&p.group, "group", "", "for queues: FIFO group, or tenant")
	f.TimeVar(&p.expiresAt, "expires-at", time.Time{}, []string{time.RFC3339}, "not delivered later than this, such as 2030-01-31T12:00:00Z")
	f.DurationVar(&p.expiresIn, "expires-in", 0, "not delivered later than this from now on, such as 5m")
	f.TimeVar(&p.sendAt, "send-at", time.Time{}, []string{time.RFC3339}, "not delivered earlier than this")
	f.StringVar(&p.key, "idempotency-key", "", "a repeat with the same key and payload returns the first publish")
	f.BoolVar(&p.wait, "wait", false, "follow the ledger until every delivery is final")
	cmd.MarkFlagsOneRequired("topic", "to")
	cmd.MarkFlagsMutuallyExclusive("topic", "to")
	cmd.MarkFlagsMutuallyExclusive("topic", "account")
	cmd.MarkFlagsOneRequired("message", "template")
	cmd.MarkFlagsMutuallyExclusive("message", "template")
	cmd.MarkFlagsMutuallyExclusive("expires-at", "expires-in")
	_ = cmd.RegisterFlagCompletionFunc("lane", cobra.FixedCompletions([]string{"critical", "transactional", "bulk"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return cmd
}

func (o *publishing) run(cmd *cobra.Command) error {
	in, err := o.body(cmd)
	if err != nil {
		return err
	}
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	r, err := c.request(cmd.Context(), http.MethodPost, pathOf("publish"), in)
	if err != nil {
		return err
	}
	if o.key != "" {
		r.Header.Set("Idempotency-Key", o.key)
	}
	res, err := c.send(r)
	if err != nil {
		return err
	}
	if res.Header.Get("Idempotency-Replayed") == "true" {
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "this was published before under the same idempotency key")
	}
	var answer json.RawMessage
	if err := decode(res, &answer); err != nil {
		return err
	}
	var made rest.Publish
	if err := json.Unmarshal(answer, &made); err != nil {
		return err
	}
	if err := p.change(made.ID, answer); err != nil || !o.wait {
		return err
	}
	return c.follow(cmd.Context(), p, made.ID)
}

// body is the request the flags ask for.
func (o *publishing) body(cmd *cobra.Command) (object, error) {
	message, err := textOrStdin(cmd, o.message)
	if err != nil {
		return nil, err
	}
	in := object{}
	for field, value := range map[string]string{
		"topic": o.topic, "subject": o.subject, "message": message, "html": o.html, "template": o.template, "lane": o.lane, "group": o.group,
	} {
		setText(in, field, value)
	}
	if o.to != "" {
		if in["to"], err = target(o.to, o.account); err != nil {
			return nil, err
		}
	}
	if o.data != "" {
		var data object
		if err := json.Unmarshal([]byte(o.data), &data); err != nil {
			return nil, usageError("--template-data must be a JSON object: %w", err)
		}
		in["data"] = data
	}
	if len(o.attributes) > 0 {
		if in["attributes"], err = attributes(o.attributes); err != nil {
			return nil, err
		}
	}
	if o.expiresIn < 0 {
		return nil, usageError("--expires-in must not be negative, not %v", o.expiresIn)
	}
	if o.expiresIn > 0 {
		o.expiresAt = time.Now().Add(o.expiresIn)
	}
	for field, at := range map[string]time.Time{"expires_at": o.expiresAt, "send_at": o.sendAt} {
		if !at.IsZero() {
			in[field] = at
		}
	}
	return in, nil
}

// attributes are message attributes of the type String.
func attributes(list []string) (object, error) {
	values, err := pairs("--attribute", list)
	out := object{}
	for name, value := range values {
		out[name] = object{"type": "String", "value": value}
	}
	return out, err
}
