package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func subscriptionsImportCommand(o *remote) *cobra.Command {
	return &cobra.Command{
		Use: "import TOPIC FILE", Short: "Subscribe many endpoints from NDJSON", Args: cobra.ExactArgs(2),
		Long: "Subscribes each line of a file, a JSON object as of POST /v1/topics/TOPIC/subscriptions; - reads standard input.\n" +
			"Good lines stay subscribed whatever the others are; exit status 1 if any was refused.\n" +
			"Signing keys made for webhooks are printed, this once: line, subscription, key.",
		Example: "  fanfare subscriptions import alerts people.ndjson\n" +
			"  echo '{\"protocol\": \"sms\", \"endpoint\": \"+15005550101\"}' | fanfare subscriptions import alerts -",
		RunE: func(cmd *cobra.Command, args []string) error { return o.importFile(cmd, args[0], args[1]) },
	}
}

func (o *remote) importFile(cmd *cobra.Command, topic, name string) error {
	c, p, err := o.connect(cmd)
	if err != nil {
		return err
	}
	in, size := cmd.InOrStdin(), int64(0)
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the user names the file
		if err != nil {
			return usageError("%w", err)
		}
		defer func() { _ = f.Close() }() // it was only read
		if st, err := f.Stat(); err == nil {
			size = st.Size()
		}
		in = f
	}
	i := &importing{printer: p, stderr: cmd.ErrOrStderr()}
	if !p.json && isTerminal(cmd.ErrOrStderr()) {
		i.watch(size)
		in = i.bar.ProxyReader(in)
	}
	res, err := c.importLines(cmd.Context(), topic, in)
	if err != nil {
		i.unwatch()
		return err
	}
	defer func() { _ = res.Body.Close() }()
	err = i.read(res.Body)
	i.unwatch()
	if err != nil {
		return err
	}
	return i.sum()
}

// importLines sends lines. The answer comes while they are read.
func (c *client) importLines(ctx context.Context, topic string, lines io.Reader) (*http.Response, error) {
	url := c.base + pathOf("topics", topic, "subscriptions", "import")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, lines)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	return c.send(r)
}

// importing is an import as it is followed.
type importing struct {
	*printer
	stderr io.Writer
	last   rest.ImportLine // the latest that told how far it is

	progress *mpb.Progress // nil: not shown
	bar      *mpb.Bar
	taken    atomic.Int64 // lines the gateway has taken; it is behind what was sent
}

// watch shows a bar of the bytes that were sent, and the lines that were taken.
func (i *importing) watch(size int64) {
	i.progress = mpb.New(mpb.WithOutput(i.stderr), mpb.WithAutoRefresh())
	i.stderr = i.progress // it writes above the bar
	i.bar = i.progress.AddBar(size,
		mpb.PrependDecorators(decor.CountersKibiByte("% .1f / % .1f")),
		mpb.AppendDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string {
			return fmt.Sprintf("  %d lines taken", i.taken.Load())
		})))
}

// unwatch leaves the bar where it is.
func (i *importing) unwatch() {
	if i.progress != nil {
		i.bar.Abort(false)
		i.progress.Wait()
	}
}

// read prints the answer's lines as they come.
func (i *importing) read(answer io.Reader) error {
	lines := bufio.NewReader(answer)
	for {
		text, err := lines.ReadBytes('\n')
		if len(text) > 0 {
			if err := i.line(text); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the import was broken off: %w", err)
		}
	}
}

func (i *importing) line(text []byte) error {
	var l rest.ImportLine
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("the import was broken off: %w", err)
	}
	if l.Line == 0 {
		i.last = l
		i.taken.Store(int64(l.Lines))
	}
	switch {
	case i.json:
		return i.raw(text)
	case l.Secret != "":
		i.say("%d\t%s\t%s", l.Line, l.ID, l.Secret)
	case l.Line > 0 && l.Field != "":
		_, _ = fmt.Fprintf(i.stderr, "line %d: %s: %s\n", l.Line, l.Field, l.Error)
	case l.Line > 0:
		_, _ = fmt.Fprintf(i.stderr, "line %d: %s\n", l.Line, l.Error)
	}
	return nil
}

// sum says what became of all lines.
func (i *importing) sum() error {
	i.say("lines %d, refused %d", i.last.Lines, i.last.Refused)
	switch {
	case i.last.Error != "":
		return fmt.Errorf("after line %d: %s", i.last.Lines, i.last.Error)
	case !i.last.Done:
		return fmt.Errorf("the import was broken off after line %d", i.last.Lines)
	case i.last.Refused > 0:
		return fmt.Errorf("%d of %d lines were refused", i.last.Refused, i.last.Lines)
	}
	return nil
}
