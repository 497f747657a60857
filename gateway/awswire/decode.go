package awswire

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// maxEntries bounds a list or map of a form: no action takes more.
const maxEntries = 1000

// decode reads the request's input into a struct.
func (r *Request) decode(in any) error {
	if r.Protocol == Query {
		return decodeForm(r.form, "", reflect.ValueOf(in).Elem())
	}
	if len(r.body) == 0 {
		return nil
	}
	err := json.Unmarshal(r.body, in)
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &kind):
		return malformed(kind.Field + " must not be a JSON " + kind.Value)
	default:
		return malformed("the body is not a JSON object")
	}
}

func malformed(what string) *Error {
	return &Error{Code: "MalformedInput", JSONCode: "SerializationException", Status: http.StatusBadRequest, Message: "The request cannot be read: " + what + "."}
}

// spelling is a field's names on the wire.
type spelling struct {
	name       string // in JSON; of a plain value also in a form
	list       string // of a list's or map's entries in a form
	key, value string // of a map
}

func spell(f reflect.StructField) spelling {
	s := spelling{}
	s.name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	parts := strings.Split(f.Tag.Get("query"), ",")
	s.list = parts[0]
	if len(parts) == 3 {
		s.key, s.value = parts[1], parts[2]
	}
	return s
}

func decodeForm(form url.Values, prefix string, to reflect.Value) error {
	for i := range to.NumField() {
		s := spell(to.Type().Field(i))
		name := prefix + s.name
		if s.list != "" {
			name = prefix + s.list
		}
		if err := decodeField(form, name, s, to.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func decodeField(form url.Values, name string, s spelling, to reflect.Value) error {
	switch to.Kind() {
	case reflect.Struct:
		return decodeForm(form, name+".", to)
	case reflect.Map:
		return decodeMap(form, name, s, to)
	case reflect.Slice:
		if to.Type().Elem().Kind() != reflect.Uint8 {
			return decodeList(form, name, to)
		}
	case reflect.Pointer:
		if to.Type().Elem().Kind() == reflect.Struct {
			if !has(form, name+".") {
				return nil
			}
			to.Set(reflect.New(to.Type().Elem()))
			return decodeForm(form, name+".", to.Elem())
		}
	}
	values, ok := form[name]
	if !ok {
		return nil
	}
	return decodeText(name, values[0], to)
}

func decodeList(form url.Values, name string, to reflect.Value) error {
	for n := 1; n <= maxEntries; n++ {
		at := name + "." + strconv.Itoa(n)
		entry := reflect.New(to.Type().Elem()).Elem()
		if entry.Kind() == reflect.Struct && !has(form, at+".") || entry.Kind() != reflect.Struct && !form.Has(at) {
			return nil
		}
		if err := decodeField(form, at, spelling{}, entry); err != nil {
			return err
		}
		to.Set(reflect.Append(to, entry))
	}
	return nil
}

func decodeMap(form url.Values, name string, s spelling, to reflect.Value) error {
	for n := 1; n <= maxEntries; n++ {
		at := name + "." + strconv.Itoa(n) + "."
		key, ok := form[at+s.key]
		if !ok {
			return nil
		}
		if to.IsNil() {
			to.Set(reflect.MakeMap(to.Type()))
		}
		entry := reflect.New(to.Type().Elem()).Elem()
		if err := decodeField(form, at+s.value, spelling{}, entry); err != nil {
			return err
		}
		to.SetMapIndex(reflect.ValueOf(key[0]), entry)
	}
	return nil
}

func has(form url.Values, prefix string) bool {
	for name := range form {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
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
			return malformed(name + " must be a whole number")
		}
		to.SetInt(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return malformed(name + " must be true or false")
		}
		to.SetBool(b)
	default: // []byte
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return malformed(name + " must be base64")
		}
		to.SetBytes(b)
	}
	return nil
}
