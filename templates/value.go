package templates

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// number prints as people write it: 1500000, not 1.5e+06.
type number float64

// String has no exponent and no needless zeros.
func (n number) String() string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

// MarshalJSON makes it a number inside scripts too, where html/template would
// take String's text.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n.String()), nil }

// maxDepth bounds the nesting of data.
const maxDepth = 100

// normal copies data into the values templates work with: bool, string,
// number, []any and map[string]any. What is null is left out, so that it counts
// as missing.
func normal(data map[string]any) (map[string]any, error) {
	v, err := normalValue(data, 0)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	return v.(map[string]any), nil
}

func normalValue(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, string, number:
		return v, nil
	case json.Number:
		return fromJSON(v), nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			clean, err := normalValue(value, depth+1)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if clean != nil {
				out[key] = clean
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			clean, err := normalValue(value, depth+1)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			if clean == nil {
				clean = ""
			}
			out[i] = clean
		}
		return out, nil
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		return number(r.Int()), nil
	case r.CanUint():
		return number(r.Uint()), nil
	case r.CanFloat():
		return number(r.Float()), nil
	}
	return nil, fmt.Errorf("a %T is not a JSON value", v)
}

// fromJSON keeps the digits of an integer too long for a number.
func fromJSON(n json.Number) any {
	f, err := n.Float64()
	if err != nil || math.Abs(f) >= 1<<53 {
		return n.String()
	}
	return number(f)
}
