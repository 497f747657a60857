package templates

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"strings"
	texttemplate "text/template"
	"text/template/parse"
	"unicode"
)

// The kinds of parts.
const (
	subject = "subject"
	text    = "text"
	html    = "html"
)

// part is one compiled source. A nil part renders as "".
type part struct {
	kind, name, source string
	execute            func(w io.Writer, data any) error
}

// newPart compiles a source; none gives no part.
func newPart(kind, name, source string) (*part, error) {
	if source == "" {
		return nil, nil
	}
	if len(source) > MaxSource {
		return nil, &Error{Part: name, Err: fmt.Errorf("longer than %d bytes", MaxSource)}
	}
	p := &part{kind: kind, name: name, source: source}
	var tree *parse.Tree
	if kind == html {
		t, err := htmltemplate.New(name).Option("missingkey=error").Funcs(functions()).Parse(source)
		if err != nil {
			return nil, explain(name, source, err)
		}
		tree, p.execute = t.Tree, t.Execute
	} else {
		t, err := texttemplate.New(name).Option("missingkey=error").Funcs(functions()).Parse(source)
		if err != nil {
			return nil, explain(name, source, err)
		}
		tree, p.execute = t.Tree, t.Execute
	}
	if err := p.guard(tree); err != nil {
		return nil, err
	}
	return p, p.escape()
}

// escape makes html/template do at once what it does at the first execution,
// where it may find that a value stands at a place it cannot make safe.
func (p *part) escape() error {
	var bad *htmltemplate.Error
	if err := p.execute(&bounded{steps: MaxSteps}, map[string]any{}); errors.As(err, &bad) {
		return explain(p.name, p.source, bad)
	}
	return nil
}

func (p *part) render(data any) (string, error) {
	if p == nil {
		return "", nil
	}
	var w bounded
	if err := p.execute(&w, data); err != nil {
		return "", explain(p.name, p.source, err)
	}
	out := w.String()
	if p.kind == subject && strings.ContainsFunc(out, unicode.IsControl) {
		return "", &Error{Part: p.name, Err: errControl}
	}
	return out, nil
}

// errControl keeps a value from adding headers to a mail.
var errControl = errors.New("must be one line: it has a line break or another control character")

// bounded counts steps as well as bytes: guard puts an empty text before each
// node, and every text is a Write.
type bounded struct {
	strings.Builder
	steps int
}

// Write fails when a bound is reached, which ends the execution.
func (b *bounded) Write(p []byte) (int, error) {
	b.steps++
	if b.steps > MaxSteps {
		return 0, fmt.Errorf("more than %d steps: a loop is too long", MaxSteps)
	}
	if b.Len()+len(p) > MaxOutput {
		return 0, fmt.Errorf("longer than %d bytes", MaxOutput)
	}
	return b.Builder.Write(p)
}
