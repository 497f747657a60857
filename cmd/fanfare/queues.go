package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func queuesCommand() *cobra.Command {
	var o remote
	cmd := &cobra.Command{
		Use: "queues", Short: "List, create and delete queues of a running gateway, send and receive their messages",
		Example: "  fanfare queues create work\n  fanfare queues send work --body hello\n  fanfare queues receive work --delete",
	}
	o.flags(cmd)
	cmd.AddCommand(queuesListCommand(&o), queuesCreateCommand(&o), queuesSendCommand(&o), queuesReceiveCommand(&o),
		&cobra.Command{
			Use: "show QUEUE", Short: "Show a queue and its counts", Args: cobra.ExactArgs(1),
			Example: "  fanfare queues show work",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.show(cmd, http.MethodGet, pathOf("queues", args[0]), nil)
			},
		},
		&cobra.Command{
			Use: "delete QUEUE", Short: "Delete a queue and its messages", Args: cobra.ExactArgs(1),
			Example: "  fanfare queues delete work",
			RunE: func(cmd *cobra.Command, args []string) error {
				return o.do(cmd, http.MethodDelete, pathOf("queues", args[0]), "deleted "+args[0])
			},
		},
	)
	return cmd
}

func queuesListCommand(o *remote) *cobra.Command {
	l := listing{path: pathOf("queues"), key: "queues", columns: []string{"name", "ready", "in_flight", "delayed", "oldest", "dead_letter"}}
	cmd := &cobra.Command{
		Use: "list", Short: "List queues with their counts", Args: cobra.NoArgs,
		Example: "  fanfare queues list",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.list(cmd, l) },
	}
	limitFlag(cmd, &l.limit)
	return cmd
}

func queuesCreateCommand(o *remote) *cobra.Command {
	var q rest.QueueRequest
	cmd := &cobra.Command{
		Use: "create QUEUE", Short: "Create a queue", Args: cobra.ExactArgs(1),
		Example: "  fanfare queues create work\n" +
			"  fanfare queues create work --visibility 1m --dead-letter work-dead --max-receives 5\n" +
			"  fanfare queues create orders --fifo --content-dedup",
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name = args[0]
			return o.show(cmd, http.MethodPost, pathOf("queues"), q)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&q.FIFO, "fifo", false, "keep the order within a message's group")
	f.StringVar(&q.Visibility, "visibility", "", "how long a received message stays hidden, up to 12h (default 30s)")
	f.StringVar(&q.Delay, "delay", "", "of messages that name none")
	f.StringVar(&q.Retention, "retention", "", "older messages are deleted (default never)")
	f.StringVar(&q.DeadLetter, "dead-letter", "", "the queue for messages received too often")
	f.IntVar(&q.MaxReceives, "max-receives", 0, "receives before a message goes there")
	f.BoolVar(&q.ContentDedup, "content-dedup", false, "FIFO: drop a repeated body within 5m")
	cmd.MarkFlagsRequiredTogether("dead-letter", "max-receives")
	return cmd
}

func queuesSendCommand(o *remote) *cobra.Command {
	var body, group, dedup, delay string
	cmd := &cobra.Command{
		Use: "send QUEUE", Short: "Send a message", Args: cobra.ExactArgs(1),
		Example: "  fanfare queues send work --body hello\n  fanfare queues send work --body - < message.json\n" +
			"  fanfare queues send orders --body hello --group customer-7",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := textOrStdin(cmd, body)
			if err != nil {
				return err
			}
			in := object{"body": text}
			setText(in, "group", group)
			setText(in, "dedup_id", dedup)
			setText(in, "delay", delay)
			return o.show(cmd, http.MethodPost, pathOf("queues", args[0], "messages"), in)
		},
	}
	f := cmd.Flags()
	f.StringVar(&body, "body", "", "the message; - reads standard input")
	f.StringVar(&group, "group", "", "FIFO group, or tenant")
	f.StringVar(&dedup, "dedup-id", "", "FIFO: a repeat within 5m is dropped")
	f.StringVar(&delay, "delay", "", `until it can be received, such as "30s"`)
	_ = cmd.MarkFlagRequired("body") // the flag is there
	return cmd
}

// textOrStdin is what a flag says, or all of standard input for "-".
func textOrStdin(cmd *cobra.Command, text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	all, err := io.ReadAll(cmd.InOrStdin())
	return string(all), err
}

// receiving is asked to receive messages.
type receiving struct {
	max              int
	wait, visibility string
	remove           bool
}

func queuesReceiveCommand(o *remote) *cobra.Command {
	var r receiving
	cmd := &cobra.Command{
		Use: "receive QUEUE", Short: "Receive messages", Args: cobra.ExactArgs(1),
		Long: "Receives messages. They stay hidden from others for the visibility time and then come again,\n" +
			"unless --delete deletes them once they are printed.",
		Example: "  fanfare queues receive work --max 10 --wait 20s\n  fanfare queues receive work --delete --output json",
		RunE:    func(cmd *cobra.Command, args []string) error { return o.receive(cmd, args[0], r) },
	}
	f := cmd.Flags()
	f.IntVar(&r.max, "max", 1, "most messages, 1 to 1000")
	f.StringVar(&r.wait, "wait", "", "for a message to come, at most 20s")
	f.StringVar(&r.visibility, "visibility", "", "how long they stay hidden (default the queue's)")
	f.BoolVar(&r.remove, "delete", false, "delete them once they are printed")
	return cmd
}

func (o *remote) receive(cmd *cobra.Command, name string, r receiving) error {
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	in := object{"max": r.max}
	setText(in, "wait", r.wait)
	setText(in, "visibility", r.visibility)
	var out struct {
		Messages []json.RawMessage `json:"messages"`
	}
	if err := c.call(cmd.Context(), http.MethodPost, pathOf("queues", name, "receive"), in, &out); err != nil {
		return err
	}
	if err := p.rows(out.Messages, []string{"id", "receives", "sent_at", "group", "body"}, true); err != nil {
		return err
	}
	if !r.remove || len(out.Messages) == 0 {
		return nil
	}
	return c.remove(cmd, name, out.Messages)
}

// remove deletes received messages.
func (c *client) remove(cmd *cobra.Command, name string, messages []json.RawMessage) error {
	handles := make([]string, len(messages))
	for i, text := range messages {
		var m rest.Message
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		handles[i] = m.Handle
	}
	var out struct {
		Failed []struct {
			Reason string `json:"reason"`
		} `json:"failed"`
	}
	if err := c.call(cmd.Context(), http.MethodPost, pathOf("queues", name, "delete"), object{"handles": handles}, &out); err != nil {
		return err
	}
	var errs []error
	for _, f := range out.Failed {
		errs = append(errs, errors.New("a message was not deleted: "+f.Reason))
	}
	return errors.Join(errs...)
}
