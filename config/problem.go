package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Problem is one thing wrong with the configuration.
type Problem struct {
	// Source is the file, environment variable or flag the value came from;
	// "" if the key is nowhere set.
	Source string `json:"source,omitempty"`
	Line   int    `json:"line,omitempty"` // in the file, from 1; 0 otherwise
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"` // "store.shards", "accounts[0].twilio.from"
	Text   string `json:"text"`          // what would be right, and what it is unless secret
}

// String is place, key and text.
func (p Problem) String() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	return b.String() + p.Text
}

// Problems are all that is wrong, in the order of the file. It is the error of Load.
type Problems []Problem

// Error has a problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sort puts those of the file first, in its order.
func (ps Problems) sort() {
	line := func(p Problem) int {
		if p.Line == 0 {
			return math.MaxInt
		}
		return p.Line
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(line(a), line(b)), cmp.Compare(a.Column, b.Column))
	})
}

// origin is where a value came from.
type origin struct {
	source       string
	line, column int
}

// origins know it by key.
type origins map[string]origin

// of is the origin of a key or of the nearest thing above it.
func (o origins) of(key string) origin {
	for {
		if found, ok := o[key]; ok {
			return found
		}
		end := strings.LastIndexAny(key, ".[")
		if end < 0 {
			return origin{}
		}
		key = key[:end]
	}
}
