// Package templates turns a stored template and the data of a publish into the
// subject and bodies of a message for each channel. Subject and text are Go
// text/template, HTML is html/template with its contextual escaping.
//
// A template comes from outside, so it is bounded: no template calls another,
// only the functions of Functions exist, and a part makes at most MaxSteps
// steps and MaxOutput bytes. A variable that is not in the data, or is null, is
// an error; an optional one is read through default: {{.name | default "you"}}.
package templates

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Bounds of one part of a template.
const (
	MaxSource = 256 << 10 // bytes of source
	MaxOutput = 1 << 20   // bytes rendered
	MaxSteps  = 20_000    // texts, actions and rounds of loops a render may run
)

// Template is a stored template. A stored version never changes.
type Template struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Subject string `json:"subject,omitempty"` // title of a push, subject of a mail
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
	// Channels replace parts for one channel: sms, push, email, webhook, queue
	// or function. What a channel leaves empty is taken from the fields above.
	Channels map[string]Part `json:"channels,omitempty"`
}

// Part is what one channel has of its own.
type Part struct {
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
}

// Content is a rendered message.
type Content struct {
	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	HTML    string `json:"html,omitempty"`
}

// Channels are the names a template may have parts of its own for.
func Channels() []string {
	return []string{"sms", "push", "email", "webhook", "queue", "function"}
}

// Compiled is a parsed template, safe for concurrent use.
type Compiled struct {
	base     parts
	channels map[string]parts
}

type parts struct{ subject, text, html *part }

var validName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// Parse compiles a template. The error joins an *Error for each part that is
// wrong, with line and column.
func Parse(t Template) (*Compiled, error) {
	var errs []error
	if !validName.MatchString(t.Name) {
		errs = append(errs, &Error{Part: "name", Err: errors.New("must be 1 to 64 letters, digits, _, . or -")})
	}
	compile := func(prefix string, p Part) parts {
		var out parts
		for _, f := range []struct {
			kind, source string
			to           **part
		}{{subject, p.Subject, &out.subject}, {text, p.Text, &out.text}, {html, p.HTML, &out.html}} {
			compiled, err := newPart(f.kind, prefix+f.kind, f.source)
			*f.to = compiled
			if err != nil {
				errs = append(errs, err)
			}
		}
		return out
	}
	c := &Compiled{base: compile("", Part{t.Subject, t.Text, t.HTML}), channels: map[string]parts{}}
	for _, channel := range slices.Sorted(maps.Keys(t.Channels)) {
		if !slices.Contains(Channels(), channel) {
			errs = append(errs, &Error{Part: "channels." + channel, Err: fmt.Errorf("unknown channel: want %s", strings.Join(Channels(), ", "))})
			continue
		}
		own := compile("channels."+channel+".", t.Channels[channel])
		c.channels[channel] = parts{or(own.subject, c.base.subject), or(own.text, c.base.text), or(own.html, c.base.html)}
	}
	if len(errs) == 0 && len(c.channels) == 0 && c.base == (parts{}) {
		errs = append(errs, &Error{Part: text, Err: errors.New("the template is empty")})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func or(own, base *part) *part {
	if own != nil {
		return own
	}
	return base
}

// Render makes the content for a channel from data as encoding/json decodes it.
// The error joins an *Error for each part that failed.
func (c *Compiled) Render(channel string, data map[string]any) (Content, error) {
	p, ok := c.channels[channel]
	if !ok {
		p = c.base
	}
	clean, err := normal(data)
	if err != nil {
		return Content{}, err
	}
	var out Content
	var errs [3]error
	out.Subject, errs[0] = p.subject.render(clean)
	out.Text, errs[1] = p.text.render(clean)
	out.HTML, errs[2] = p.html.render(clean)
	if err := errors.Join(errs[:]...); err != nil {
		return Content{}, err
	}
	return out, nil
}

// Check compiles a template and renders it with sample data for every channel
// that has parts of its own and for the rest, as is done before it is stored.
func Check(t Template, sample map[string]any) error {
	c, err := Parse(t)
	if err != nil {
		return err
	}
	_, err = c.Render("", sample)
	errs := []error{err}
	for _, channel := range slices.Sorted(maps.Keys(c.channels)) {
		_, err := c.Render(channel, sample)
		errs = append(errs, err)
	}
	return distinct(errs)
}
