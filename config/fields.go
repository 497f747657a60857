package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is one key of a section.
type field struct {
	key   string
	value reflect.Value
	tag   reflect.StructTag
}

func fields(section reflect.Value) []field {
	out := make([]field, section.NumField())
	for i := range out {
		f := section.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		out[i] = field{key, section.Field(i), f.Tag}
	}
	return out
}

// join makes the name of a key in a section.
func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// made is a new value of a type with the defaults of its own.
func made(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if d, ok := v.Interface().(interface{ defaults() }); ok {
		d.defaults()
	}
	return v
}

// isSection tells a struct of keys, or a pointer to one, from a single value.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct || t.Kind() == reflect.Pointer
}

// fromFile tells whether a value may also be given as the name of a file.
func fromFile(t reflect.Type) bool {
	return t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[PEM]()
}

// setText sets a single value from text. The error says what would be right,
// and leaves the value as it was.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return wanted(u.UnmarshalText([]byte(text)), sizeForm, text)
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return wanted(err, "a duration such as 30s or 5m", text)
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return wanted(strconv.ErrSyntax, "true or false", text)
		}
		v.SetBool(text == "true")
	case v.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return wanted(err, "a whole number", text)
		}
		v.SetInt(int64(n))
	case v.Kind() == reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return wanted(err, "a number", text)
		}
		v.SetFloat(n)
	default:
		return errors.New("cannot be set from a text")
	}
	return nil
}

func wanted(err error, what, text string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("must be %s, not %q", what, text)
}
