package awswire

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
)

// decode reads the request's input into a struct.
func (r *Request) decode(in any, s *shape) error {
	if r.Protocol == Query {
		return r.form.decode("", s, reflect.ValueOf(in).Elem())
	}
	if len(r.body) == 0 {
		return nil
	}
	err := json.Unmarshal(r.body, in)
	var kind *json.UnmarshalTypeError
	var refused *Error // a type that reads itself says what is wrong
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &kind) && kind.Field != "":
		return malformed(kind.Field + " must not be a JSON " + kind.Value)
	default:
		return malformed("the body is not a JSON object")
	}
}

func malformed(what string) *Error {
	return &Error{Code: "MalformedInput", JSONCode: coral + "SerializationException", Status: http.StatusBadRequest, Message: "The request cannot be read: " + what + "."}
}
