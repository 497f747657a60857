package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

// builtIn is what the demonstration publishes: an alert, and its all-clear.
const builtIn = `{"subject": "Disk failing on db-1", "message": "SMART reports 12 pending sectors on db-1:/dev/sda. Fail over now.", "html": "<p>SMART reports <b>12 pending sectors</b> on db-1.</p>", "lane": "critical", "attributes": {"severity": {"type": "String", "value": "critical"}}}
{"subject": "db-1 failed over", "message": "db-2 has taken over from db-1.", "attributes": {"severity": {"type": "String", "value": "info"}}}
`

// publishLine is a publish to make and where it was read.
type publishLine struct {
	where string // "alerts.ndjson, line 3"
	body  rest.PublishRequest
}

// readPublishes reads NDJSON, one publish a line; empty lines do not count. The
// error tells of every line that is wrong.
func readPublishes(name string, text []byte) ([]publishLine, error) {
	var all []publishLine
	var errs []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		p := publishLine{where: fmt.Sprintf("%s, line %d", name, n)}
		if err := p.read(line); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.where, err))
		}
		all = append(all, p)
	}
	if n == 0 || len(all) == 0 {
		errs = append(errs, fmt.Errorf(`%s: holds no publish; write one a line, such as {"message": "Disk failing on db-1"}`, name))
	}
	return all, errors.Join(errs...)
}

func (p *publishLine) read(line []byte) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&p.body); err != nil {
		return badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows the object; must be one JSON object a line")
	}
	switch {
	case p.body.Topic == "" && p.body.To == nil:
		p.body.Topic = demoTopic
	case p.body.Topic != "" && p.body.Topic != demoTopic:
		return fmt.Errorf("topic: must be %q, the only one here, or left out", demoTopic)
	}
	return nil
}

// badJSON says what would be right.
func badJSON(err error) error {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return fmt.Errorf("%s: must be %s, not %s", kind.Field, kind.Type, kind.Value)
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at character %d (%w); must be one JSON object as for POST /v1/publish", syntax.Offset, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the JSON object does not end; must be one JSON object a line")
	}
	return fmt.Errorf("%w; must be one JSON object as for POST /v1/publish", err)
}
