package awswire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxEntries bounds a list or map of a form: no action takes more.
const maxEntries = 1000

// form is the Query protocol's input.
type form struct {
	values url.Values
	names  []string // sorted
}

func newForm(values url.Values) form {
	return form{values, slices.Sorted(maps.Keys(values))}
}

// first is the value of a name; of several, the first.
func (f form) first(name string) string { return f.values.Get(name) }

// check refuses text that is not UTF-8.
func (f form) check() error {
	for name, values := range f.values {
		for _, value := range values {
			if !utf8.ValidString(name) || !utf8.ValidString(value) {
				return malformed("the form is not UTF-8")
			}
		}
	}
	return nil
}

// has tells whether any name begins with a prefix.
func (f form) has(prefix string) bool {
	i, _ := slices.BinarySearch(f.names, prefix)
	return i < len(f.names) && strings.HasPrefix(f.names[i], prefix)
}

// entries are the names of a list's or map's entries, in the order of their
// numbers: those left out are no end of it. In SQS one alone may go without a
// number, as in AttributeName=All and Attribute.Name=Policy of older clients.
func (f form) entries(name string, m *member, p *part) ([]string, error) {
	var numbers []int
	var all []string
	alone, compound := m.outer == "", p.kind == table || p.elem.kind != plain
	if alone && !compound && f.first(name) != "" {
		all = append(all, name)
	}
	prefix := name + "."
	for i, _ := slices.BinarySearch(f.names, prefix); i < len(f.names) && strings.HasPrefix(f.names[i], prefix); i++ {
		index, _, _ := strings.Cut(f.names[i][len(prefix):], ".")
		switch n, err := strconv.Atoi(index); {
		case err == nil && n > 0 && strconv.Itoa(n) == index:
			numbers = append(numbers, n)
		case alone && compound && errors.Is(err, strconv.ErrSyntax):
			all = []string{name}
		default: // also AWS: https://github.com/rusoto/rusoto/issues/324
			return nil, malformed(f.names[i] + " has no valid index: entries are " + prefix + "1, " + prefix + "2 and so on")
		}
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		all = append(all, prefix+strconv.Itoa(n))
	}
	if len(all) > maxEntries {
		return nil, malformed(fmt.Sprintf("%s has more than %d entries", name, maxEntries))
	}
	return all, nil
}

func (f form) decode(prefix string, s *shape, to reflect.Value) error {
	for i := range s.members {
		m := &s.members[i]
		name := m.name
		if m.list != "" {
			name = m.list
		}
		if err := f.decodePart(prefix+name, m, &m.part, to.FieldByIndex(m.index)); err != nil {
			return err
		}
	}
	return nil
}

func (f form) decodePart(name string, m *member, p *part, to reflect.Value) error {
	switch p.kind {
	case structure:
		return f.decode(name+".", p.shape, to)
	case pointer:
		if !f.has(name + ".") {
			return nil
		}
		to.Set(reflect.New(to.Type().Elem()))
		return f.decode(name+".", p.shape, to.Elem())
	case list:
		return f.decodeList(name, m, p, to)
	case table:
		return f.decodeMap(name, m, p, to)
	}
	if values, ok := f.values[name]; ok {
		return decodeText(name, values[0], to)
	}
	return nil
}

func (f form) decodeList(name string, m *member, p *part, to reflect.Value) error {
	entries, err := f.entries(name, m, p)
	if err != nil || len(entries) == 0 {
		return err
	}
	to.Set(reflect.MakeSlice(to.Type(), len(entries), len(entries)))
	for i, at := range entries {
		if err := f.decodePart(at, m, p.elem, to.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (f form) decodeMap(name string, m *member, p *part, to reflect.Value) error {
	entries, err := f.entries(name, m, p)
	if err != nil || len(entries) == 0 {
		return err
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(entries)))
	for _, at := range entries {
		at += "."
		key, ok := f.values[at+m.key]
		if !ok {
			return malformed(at + m.key + " is missing")
		}
		entry := reflect.New(to.Type().Elem()).Elem()
		if err := f.decodePart(at+m.value, m, p.elem, entry); err != nil {
			return err
		}
		to.SetMapIndex(reflect.ValueOf(key[0]), entry)
	}
	return nil
}

// decodeText reads a plain value.
func decodeText(name, text string, to reflect.Value) error {
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	switch to.Kind() {
	case reflect.String:
		to.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return invalidValue(name, "it must be a whole number")
		}
		to.SetInt(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return invalidValue(name, "it must be true or false")
		}
		to.SetBool(b)
	default: // []byte
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return invalidValue(name, "it must be base64")
		}
		to.SetBytes(b)
	}
	return nil
}

// invalidValue is about a value that is not of its parameter's type:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func invalidValue(name, reason string) *Error {
	return &Error{Code: "InvalidParameterValue", Status: http.StatusBadRequest, Message: "The value of parameter " + name + " is invalid: " + reason + "."}
}
