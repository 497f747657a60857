package sqs

import (
	"encoding/json"
	"maps"
	"slices"
)

// texts are attributes or tags by their names. As AWS it takes a number or a
// boolean for its text, and it refuses null, of which encoding/json makes an
// empty text.
type texts map[string]string

// UnmarshalJSON also reads a null in place of all of them: they are none.
func (t *texts) UnmarshalJSON(text []byte) error {
	var read map[string]json.RawMessage
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*t = make(texts, len(read))
	for _, name := range slices.Sorted(maps.Keys(read)) {
		raw := read[name]
		value := string(raw)
		switch raw[0] {
		case 'n':
			return invalid("The value of %s must not be null.", name)
		case '"', '{', '[':
			if err := json.Unmarshal(raw, &value); err != nil {
				return err
			}
		}
		(*t)[name] = value
	}
	return nil
}
