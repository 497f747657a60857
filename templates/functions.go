package templates

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxArgument bounds what a function takes, so that a step costs little.
const maxArgument = 16 << 10

// lookupName is how guard calls lookup; guard refuses it in a source.
const lookupName = "_lookup"

// Functions are the names a template may call:
//
//	and or not len         as in text/template
//	eq ne lt le gt ge      compare two numbers or two strings, eq and ne also booleans
//	default D V            V, or D if V is missing, null or ""
//	index V KEY…           element of a list (from 0) or value of an object
//	upper S, lower S       letter case
//	truncate N S           at most N characters, the last one … if S was longer
//	join SEP LIST          elements with SEP between them
//	fixed N V              a number with N decimals: fixed 2 9.5 is 9.50
//	date LAYOUT V          a time, given as RFC 3339 or Unix seconds, in Go's layout: "2 Jan 2006 15:04"
//	urlquery S             S for the query part of a URL in a text
func Functions() []string {
	return []string{
		"and", "or", "not", "len", "eq", "ne", "lt", "le", "gt", "ge", "default", "index",
		"upper", "lower", "truncate", "join", "fixed", "date", "urlquery",
	}
}

func functions() map[string]any {
	return map[string]any{
		"eq":       equal,
		"ne":       func(a, b any) (bool, error) { same, err := equal(a, b); return !same, err },
		"lt":       compare(func(c int) bool { return c < 0 }),
		"le":       compare(func(c int) bool { return c <= 0 }),
		"gt":       compare(func(c int) bool { return c > 0 }),
		"ge":       compare(func(c int) bool { return c >= 0 }),
		"default":  fallback,
		"index":    index,
		"upper":    onText(strings.ToUpper),
		"lower":    onText(strings.ToLower),
		"truncate": truncate,
		"join":     join,
		"fixed":    fixed,
		"date":     date,
		"urlquery": onText(url.QueryEscape),
		lookupName: lookup,
	}
}

// plain is a value as text, not longer than maxArgument.
func plain(v any) (string, error) {
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case nil, []any, map[string]any:
		return "", errors.New("a text or number is wanted")
	default:
		s = fmt.Sprint(v)
	}
	if len(s) > maxArgument {
		return "", fmt.Errorf("a text is longer than %d bytes", maxArgument)
	}
	return s, nil
}

func onText(f func(string) string) func(any) (string, error) {
	return func(v any) (string, error) {
		s, err := plain(v)
		return f(s), err
	}
}

// numeric is a value of the data or a constant of the template as a number.
func numeric(v any) (float64, bool) {
	switch v := v.(type) {
	case number:
		return float64(v), true
	case int:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func order(a, b any) (int, error) {
	x, xNumber := numeric(a)
	y, yNumber := numeric(b)
	s, sText := a.(string)
	t, tText := b.(string)
	switch {
	case xNumber && yNumber:
		return cmp.Compare(x, y), nil
	case sText && tText && len(s) <= maxArgument && len(t) <= maxArgument:
		return cmp.Compare(s, t), nil
	}
	return 0, errors.New("only two numbers or two short texts can be compared")
}

func compare(holds func(int) bool) func(a, b any) (bool, error) {
	return func(a, b any) (bool, error) {
		c, err := order(a, b)
		return err == nil && holds(c), err
	}
}

func equal(a any, others ...any) (bool, error) {
	for _, b := range others {
		x, xBool := a.(bool)
		y, yBool := b.(bool)
		if xBool && yBool {
			if x == y {
				return true, nil
			}
			continue
		}
		c, err := order(a, b)
		if err != nil || c == 0 {
			return err == nil, err
		}
	}
	return false, nil
}

func fallback(d, v any) (any, error) {
	switch {
	case v != nil && v != "":
		return v, nil
	case d == nil:
		return nil, errors.New("the default is missing itself")
	}
	return d, nil
}

// lookup is index by names that may be missing.
func lookup(v any, path ...string) any {
	for _, key := range path {
		object, _ := v.(map[string]any)
		v = object[key]
	}
	return v
}

func index(v any, keys ...any) (any, error) {
	for _, key := range keys {
		found := false
		switch in := v.(type) {
		case map[string]any:
			name, _ := key.(string)
			v, found = in[name]
		case []any:
			i, ok := numeric(key)
			if found = ok && i >= 0 && i < float64(len(in)); found {
				v = in[int(i)]
			}
		}
		if !found {
			return nil, errors.New("there is no such element")
		}
	}
	return v, nil
}

func truncate(n, v any) (string, error) {
	most, ok := numeric(n)
	if !ok || most < 1 || most > maxArgument {
		return "", fmt.Errorf("truncate wants a number of 1 to %d", maxArgument)
	}
	s, ok := v.(string) // of any length: this is what makes long texts short
	if !ok {
		var err error
		if s, err = plain(v); err != nil {
			return "", err
		}
	}
	kept, cut := 0, 0
	for at := range s {
		if kept++; kept <= int(most) {
			cut = at
			continue
		}
		return s[:cut] + "…", nil
	}
	return s, nil
}

func join(sep string, v any) (string, error) {
	list, ok := v.([]any)
	if !ok {
		return "", errors.New("join wants a list")
	}
	var b strings.Builder
	for i, element := range list {
		s, err := plain(element)
		if err != nil {
			return "", err
		}
		if i > 0 {
			b.WriteString(sep)
		}
		if b.WriteString(s); b.Len() > maxArgument {
			return "", fmt.Errorf("a text is longer than %d bytes", maxArgument)
		}
	}
	return b.String(), nil
}

func fixed(decimals int, v any) (string, error) {
	n, ok := numeric(v)
	if !ok || decimals < 0 || decimals > 20 {
		return "", errors.New("fixed wants 0 to 20 decimals and a number")
	}
	return strconv.FormatFloat(n, 'f', decimals, 64), nil
}

func date(layout string, v any) (string, error) {
	if len(layout) > 100 {
		return "", errors.New("date wants a layout of at most 100 bytes")
	}
	if n, ok := numeric(v); ok {
		return time.Unix(int64(n), 0).UTC().Format(layout), nil
	}
	s, _ := v.(string)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return "", errors.New("date wants an RFC 3339 time or Unix seconds")
	}
	return t.Format(layout), nil
}
