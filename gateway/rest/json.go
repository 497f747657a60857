package rest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// formats are JSON alone. It is read as encoding/json/v2 does: names as they
// are spelled and each once, texts in UTF-8.
func formats() map[string]huma.Format {
	format := huma.Format{
		Marshal: huma.DefaultJSONFormat.Marshal,
		Unmarshal: func(text []byte, v any) error {
			if err := json.Unmarshal(text, v); err != nil {
				field, reason := badJSON(err)
				var text *jsontext.SyntacticError
				if field == "" && errors.As(err, &text) {
					reason += fmt.Sprintf(" in UTF-8; byte %d does not fit", text.ByteOffset+1)
				}
				return errors.New(reason)
			}
			return nil
		},
	}
	return map[string]huma.Format{"application/json": format, "json": format}
}

// readLine reads a line that is one JSON object and nothing else.
func readLine(line []byte, v any) (field, reason string) {
	err := json.Unmarshal(bytes.TrimSpace(line), v, json.RejectUnknownMembers(true))
	if err == nil {
		return "", ""
	}
	return badJSON(err)
}

// badJSON says what is wrong with a JSON text and not what is in it.
func badJSON(err error) (field, reason string) {
	var value *json.SemanticError
	var text *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &text):
		field = place(text.JSONPointer)
		return field, field + " is given twice"
	case errors.As(err, &value) && errors.Is(err, json.ErrUnknownName):
		return place(value.JSONPointer), "is no field of a subscription"
	case errors.As(err, &value) && value.JSONPointer != "":
		return place(value.JSONPointer), fmt.Sprintf("must be %v, not %v", value.GoType, value.JSONKind)
	}
	return "", "must be one JSON object"
}

func place(p jsontext.Pointer) string { return strings.Join(slices.Collect(p.Tokens()), ".") }
