package awswire

import (
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads the request's input into a struct. JSON is read as
// encoding/json/v2 does: names as they are spelled and each once, texts in
// UTF-8 without half surrogate pairs.
func (r *Request) decode(in any, s *shape) error {
	if r.Protocol == Query {
		return r.form.decode("", s, reflect.ValueOf(in).Elem())
	}
	if len(r.body) == 0 {
		return nil
	}
	err := json.Unmarshal(r.body, in)
	var value *json.SemanticError
	var text *jsontext.SyntacticError
	var refused *Error // a type that reads itself says what is wrong
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &text):
		return malformed(place(text.JSONPointer) + " is given twice")
	case errors.As(err, &value) && value.JSONPointer != "" && value.Err == nil:
		return malformed(place(value.JSONPointer) + " must not be a JSON " + value.JSONKind.String())
	case errors.As(err, &value) && value.JSONPointer != "":
		return malformed(place(value.JSONPointer) + " is not what its type asks for")
	case !utf8.Valid(r.body):
		return malformed("the body is not UTF-8")
	default:
		return malformed("the body is not a JSON object")
	}
}

// place is where a value stands: "Entries.0.Id".
func place(p jsontext.Pointer) string { return strings.Join(slices.Collect(p.Tokens()), ".") }

func malformed(what string) *Error {
	return &Error{Code: "MalformedInput", JSONCode: coral + "SerializationException", Status: http.StatusBadRequest, Message: "The request cannot be read: " + what + "."}
}
