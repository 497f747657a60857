package filter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting bounds what is read of a policy; AWS's count of combinations
// refuses every policy that is nested deeper than half of it.
const maxNesting = 400

// node is a JSON value of a policy, its keys in the order of the text.
type node struct {
	kind     byte // { [ " 0 t f n
	text     string
	keys     []string // of an object
	children []*node
	// Where AWS's parser, Jackson, stands in the text when it has met the value
	// (inside of its quote or bracket), and when it is past it.
	mark, end int
}

// source is a policy's text as AWS repeats it in errors: without white space.
type source struct {
	text   string
	nested bool // some key has an object for its value
	dec    *json.Decoder
}

// read takes the text apart. Of a key that occurs twice the last value counts.
func read(text []byte) (*source, *node, error) {
	var compact bytes.Buffer
	if !utf8.Valid(text) || json.Compact(&compact, text) != nil {
		return nil, nil, Error("FilterPolicy: failed to parse JSON.")
	}
	s := &source{text: compact.String(), dec: json.NewDecoder(&compact)}
	s.dec.UseNumber()
	root, err := s.value(0)
	return s, root, err
}

func (s *source) value(depth int) (*node, error) {
	if depth > maxNesting {
		return nil, errTooComplex
	}
	start := int(s.dec.InputOffset())
	if c := s.text[start]; c == ',' || c == ':' {
		start++
	}
	token, err := s.dec.Token()
	if err != nil { // json.Compact has seen all of it
		return nil, Error("FilterPolicy: failed to parse JSON.")
	}
	n := &node{kind: s.text[start]}
	n.end = int(s.dec.InputOffset())
	n.mark = n.end
	n.text = s.text[start:n.end]
	switch t := token.(type) {
	case json.Delim:
		err = s.inside(n, depth)
	case string:
		n.text, n.mark = t, start+1
	case json.Number:
		n.kind = '0'
	}
	return n, err
}

// inside reads what an object or array has in it.
func (s *source) inside(n *node, depth int) error {
	at := map[string]int{}
	for s.dec.More() {
		i := len(n.children)
		if n.kind == '{' {
			token, _ := s.dec.Token()
			key, _ := token.(string)
			if first, again := at[key]; again {
				i = first
			} else {
				at[key] = i
				n.keys = append(n.keys, key)
			}
		}
		child, err := s.value(depth + 1)
		if err != nil {
			return err
		}
		if i == len(n.children) {
			n.children = append(n.children, nil)
		}
		n.children[i] = child
	}
	_, err := s.dec.Token()
	n.end = int(s.dec.InputOffset())
	return err
}

// shown is how much of its input Jackson repeats in an error.
const shown = 500

// errorAt is an Error with Jackson's note of the place; it counts in UTF-16.
func (s *source) errorAt(pos int, format string, args ...any) Error {
	column := 1 + len(utf16.Encode([]rune(s.text[:pos])))
	text, cut := s.text, ""
	if units := utf16.Encode([]rune(text)); len(units) > shown {
		text = string(utf16.Decode(units[:shown]))
		cut = fmt.Sprintf("[truncated %d chars]", len(units)-shown)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "FilterPolicy: "+format, args...)
	fmt.Fprintf(&b, "\n at [Source: (String)\"%s\"%s; line: 1, column: %d]", text, cut, column)
	return Error(b.String())
}
