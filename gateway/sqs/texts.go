package sqs

import "encoding/json"

// texts are attributes or tags by their names. It refuses null, of which
// encoding/json makes an empty text.
type texts map[string]string

// UnmarshalJSON also reads a null in place of all of them: they are none.
func (t *texts) UnmarshalJSON(text []byte) error {
	var read map[string]*string
	if err := json.Unmarshal(text, &read); err != nil {
		return err
	}
	*t = make(texts, len(read))
	for name, value := range read {
		if value == nil {
			return invalid("The value of %s must not be null.", name)
		}
		(*t)[name] = *value
	}
	return nil
}
