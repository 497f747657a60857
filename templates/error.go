package templates

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Error is what is wrong with one part of a template. Its text repeats no data.
type Error struct {
	Part         string // "subject", "channels.sms.text"
	Line, Column int    // from 1, in characters; 0 if it is about all of the part
	Err          error
}

// Error names part, line and column.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Part + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: line %d, column %d: %v", e.Part, e.Line, e.Column, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// distinct joins errors, each text once: channels share parts.
func distinct(errs []error) error {
	seen := map[string]bool{}
	var once []error
	for _, err := range errs {
		list := []error{err}
		if joined := (interface{ Unwrap() []error })(nil); errors.As(err, &joined) {
			list = joined.Unwrap()
		}
		for _, e := range list {
			if e != nil && !seen[e.Error()] {
				seen[e.Error()] = true
				once = append(once, e)
			}
		}
	}
	return errors.Join(once...)
}

// errorAt is an Error at a byte position of a source.
func errorAt(part, source string, pos int, err error) *Error {
	before := source[:min(pos, len(source))]
	line := before[strings.LastIndex(before, "\n")+1:]
	return &Error{part, 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(line), err}
}

// The forms of the template packages' own errors, which have no fields:
//
//	template: NAME:LINE: MESSAGE                                     parsing
//	template: NAME:LINE:COLUMN: executing "NAME" at <NODE>: MESSAGE  executing
//	html/template:NAME:LINE:COLUMN: MESSAGE                          escaping, the
//	                                                                 place not always
var (
	parseError  = regexp.MustCompile(`(?s)^template: [\w.]+:(\d+): (.*)$`)
	execError   = regexp.MustCompile(`(?s)^template: [\w.]+:(\d+):(\d+): executing "[^"]*" at <(.*?)>: (.*)$`)
	escapeError = regexp.MustCompile(`(?s)^html/template:[\w.]+:(?:(\d+):(?:(\d+):)?)? (.*)$`)
	missingKey  = regexp.MustCompile(`^map has no entry for key "(.*)"$`)
	calling     = regexp.MustCompile(`^error calling \w+: `)
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)+"`)
)

// explain turns an error of the template packages into an *Error.
func explain(part, source string, err error) error {
	message := err.Error()
	if m := execError.FindStringSubmatch(message); m != nil {
		return errorAt(part, source, position(source, m[1], m[2]), execMessage(m[3], m[4]))
	}
	if m := escapeError.FindStringSubmatch(message); m != nil {
		if m[1] == "" {
			return &Error{Part: part, Err: errors.New(m[3])}
		}
		return errorAt(part, source, position(source, m[1], m[2]), errors.New(m[3]))
	}
	if m := parseError.FindStringSubmatch(message); m != nil {
		return errorAt(part, source, guess(source, m[1], m[2]), errors.New(m[2]))
	}
	return &Error{Part: part, Err: err}
}

func execMessage(node, message string) error {
	if m := missingKey.FindStringSubmatch(message); m != nil {
		return &MissingError{Variable: m[1], In: node}
	}
	// These two print the value.
	if strings.HasPrefix(message, "range can't iterate over") {
		return fmt.Errorf("%s is no list and no object: range cannot go over it", node)
	}
	if strings.Contains(message, "can't evaluate field") || strings.HasPrefix(message, "nil pointer evaluating") {
		return fmt.Errorf("%s: what is before the last dot is no object", node)
	}
	if prefix := calling.FindString(message); prefix != "" {
		return fmt.Errorf("%s: %w", node, errors.New(strings.TrimPrefix(message, prefix)))
	}
	return fmt.Errorf("%s: %s", node, message)
}

// MissingError is about a variable that is not in the data.
type MissingError struct {
	Variable string
	In       string // the expression that asked for it
}

// Error names the variable.
func (e *MissingError) Error() string {
	return fmt.Sprintf("variable %q is missing (in %s)", e.Variable, e.In)
}

// position is where line (from 1) and column (bytes, from 0) are in a source.
func position(source, line, column string) int {
	l, _ := strconv.Atoi(line) // both are digits by the expressions above, column may be ""
	c, _ := strconv.Atoi(column)
	pos := 0
	for range l - 1 {
		pos += strings.Index(source[pos:], "\n") + 1
	}
	return pos + c
}

// guess finds the column of a parse error, which has none: what the message
// quotes, else the line's first action.
func guess(source, line, message string) int {
	begin := position(source, line, "")
	text, _, _ := strings.Cut(source[begin:], "\n")
	action := max(strings.Index(text, "{{"), 0)
	if q := quoted.FindString(message); q != "" {
		word, err := strconv.Unquote(q)
		if at := strings.Index(text[action:], word); err == nil && at >= 0 {
			return begin + action + at
		}
	}
	return begin + action
}
