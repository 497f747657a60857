package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// format is how a command prints what it found: "text" or "json".
type format string

func (f *format) flag(cmd *cobra.Command) {
	*f = "text"
	cmd.PersistentFlags().Var(f, "output", "how the answer is printed")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (f format) json() bool { return f == "json" }

// String is pflag.Value.
func (f *format) String() string { return string(*f) }

// Type is pflag.Value.
func (f *format) Type() string { return "text|json" }

// Set is pflag.Value.
func (f *format) Set(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("must be text or json, not %q", text)
	}
	*f = format(text)
	return nil
}

// printer prints the API's answers: as they are (JSON), in aligned columns (text
// on a terminal), or with tabs between the columns (text elsewhere).
type printer struct {
	out      io.Writer
	json     bool
	terminal bool
}

func newPrinter(out io.Writer, as format) *printer {
	return &printer{out: out, json: as.json(), terminal: isTerminal(out)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// say prints a line for people; there is none in JSON.
func (p *printer) say(format string, args ...any) {
	if !p.json {
		_, _ = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// raw prints a JSON document on one line.
func (p *printer) raw(text json.RawMessage) error {
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err := p.out.Write(line.Bytes())
	return err
}

// document prints one object: each field on a line, in the API's order.
func (p *printer) document(text json.RawMessage) error {
	if p.json {
		return p.raw(text)
	}
	var lines [][]string
	err := eachField(text, func(name string, value json.RawMessage) { lines = append(lines, []string{name, cell(value)}) })
	if err != nil {
		return err
	}
	return p.lines(lines)
}

// rows prints objects, one a line; header says whether the columns are named first.
func (p *printer) rows(objects []json.RawMessage, columns []string, header bool) error {
	var lines [][]string
	if header {
		lines = append(lines, strings.Split(strings.ToUpper(strings.Join(columns, "\t")), "\t"))
	}
	for _, text := range objects {
		if p.json {
			if err := p.raw(text); err != nil {
				return err
			}
			continue
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(text, &fields); err != nil {
			return err
		}
		line := make([]string, len(columns))
		for i, column := range columns {
			line[i] = cell(fields[column])
		}
		lines = append(lines, line)
	}
	if p.json {
		return nil
	}
	return p.lines(lines)
}

func (p *printer) lines(lines [][]string) error {
	w := p.out
	if p.terminal {
		aligned := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		defer func() { _ = aligned.Flush() }() // as with other writes to a terminal
		w = aligned
	}
	for _, cells := range lines {
		if _, err := fmt.Fprintln(w, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// eachField walks an object's fields in their order, those of objects in it as
// "outer.inner".
func eachField(text json.RawMessage, show func(name string, value json.RawMessage)) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if value[0] != '{' {
			show(name.(string), value)
			continue
		}
		err = eachField(value, func(inner string, v json.RawMessage) { show(name.(string)+"."+inner, v) })
		if err != nil {
			return err
		}
	}
	return nil
}

// cell is a JSON value as text: what could move the cursor is quoted, and what
// is missing is "-".
func cell(value json.RawMessage) string {
	text := string(value)
	if len(value) > 0 && value[0] == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return string(value)
		}
	}
	switch {
	case text == "", text == "null":
		return "-"
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(text)
	}
	return text
}
