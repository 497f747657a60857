package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
)

// maxDepth is how deep a message's body may be nested before no policy takes
// it; Jackson, the parser of AWS, has the same bound.
const maxDepth = 1000

// Attribute is one message attribute as it was published.
type Attribute struct {
	DataType string // String, String.Array, Number, Binary, or one of these with a label: Number.int
	Value    string
}

// Message is what policies look at. It is safe for use by many goroutines.
type Message struct {
	attributes fields // nil: none was published
	body       func() (fields, bool)
}

// field is what a message has under one key.
type field struct {
	values  []value
	invalid bool // it is there, but is not what it says it is; no condition takes it
}

// fields are a message's fields by path.
type fields map[string]field

// NewMessage prepares a message for policies. It reads the body when the first
// policy asks for it, so the body must not be changed afterwards.
func NewMessage(attributes map[string]Attribute, body []byte) *Message {
	var fs fields
	if len(attributes) > 0 {
		fs = make(fields, len(attributes))
	}
	for name, a := range attributes {
		if f := a.field(); len(f.values) > 0 || f.invalid {
			fs[name] = f
		}
	}
	return &Message{fs, sync.OnceValues(func() (fields, bool) { return flatten(body) })}
}

// fields are those of a scope; false if no policy takes the message for what it
// is: a body that is no object, or no attributes, of which AWS says that they do
// not even match "exists": false.
// https://docs.aws.amazon.com/sns/latest/dg/attribute-key-matching.html
func (m *Message) fields(s Scope) (fields, bool) {
	if s == Body {
		return m.body()
	}
	return m.attributes, m.attributes != nil
}

// field reads an attribute; policies ignore Binary. An array that is empty is
// as good as none.
func (a Attribute) field() field {
	base, label, _ := strings.Cut(a.DataType, ".")
	switch {
	case label == "Array" && base != "Binary":
		return a.array()
	case base == "String":
		return field{values: []value{{kind: isString, text: a.Value}}}
	case base == "Number":
		return field{values: []value{number(a.Value)}}
	}
	return field{}
}

// array reads a list of strings, numbers, true, false and null, or only one.
func (a Attribute) array() field {
	v, err := decode([]byte(a.Value))
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	f := field{invalid: err != nil}
	for _, v := range list {
		value, ok := leaf(v)
		f.invalid = f.invalid || !ok
		f.values = append(f.values, value)
	}
	if f.invalid {
		f.values = nil
	}
	return f
}

// flatten reads a body. A key of an object in an object gets the path of both,
// and all elements of a list have that of the list: AWS sees no difference
// between {"a":{"b":1}} and {"a.b":1} either.
func flatten(body []byte) (fields, bool) {
	v, err := decode(body)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, false
	}
	fs := fields{}
	return fs, fs.add(nil, object, 0)
}

func (fs fields) add(path []byte, v any, depth int) bool {
	if depth > maxDepth {
		return false
	}
	switch v := v.(type) {
	case map[string]any:
		if depth > 0 {
			path = append(path, '.')
		}
		for key, v := range v {
			if !fs.add(append(path, key...), v, depth+1) {
				return false
			}
		}
	case []any:
		for _, v := range v {
			if !fs.add(path, v, depth+1) {
				return false
			}
		}
	default:
		f := fs[string(path)]
		value, _ := leaf(v)
		f.values = append(f.values, value)
		fs[string(path)] = f
	}
	return true
}

// leaf is the value of decoded JSON; false for an object or a list.
func leaf(v any) (value, bool) {
	switch v := v.(type) {
	case string:
		return value{kind: isString, text: v}, true
	case json.Number:
		return number(v.String()), true
	case bool:
		if v {
			return value{kind: isLiteral, text: "true"}, true
		}
		return value{kind: isLiteral, text: "false"}, true
	case nil:
		return value{kind: isLiteral, text: "null"}, true
	}
	return value{}, false
}

// decode reads exactly one JSON value; of a key that occurs twice the last one.
func decode(text []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// anyText tells whether one of the values is a string that does.
func (f field) anyText(does func(string) bool) bool {
	for _, v := range f.values {
		if v.kind == isString && does(v.text) {
			return true
		}
	}
	return false
}
