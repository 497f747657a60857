package sns

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/fanfare-gateway/fanfare/topics"
)

// byProtocol reads a message with MessageStructure json: the words for
// everybody and those for a protocol. What is not a string, and what names no
// protocol, is passed over.
func (m *message) byProtocol(endpoint bool) (string, map[string]topics.Override, error) {
	all, err := members(m.Message)
	if err != nil {
		return "", nil, invalid("Message Structure - JSON message body failed to parse")
	}
	everybody, ok := all["default"]
	if !ok && !endpoint {
		return "", nil, invalid("Message Structure - No default entry in JSON message body")
	}
	overrides := map[string]topics.Override{}
	for protocol, text := range all {
		if slices.Contains(topics.Protocols(), protocol) {
			overrides[protocol] = topics.Override{Message: text}
		}
	}
	return everybody, overrides, nil
}

var errTwice = errors.New("a key stands twice")

// members are the string members of a JSON object in which no key stands twice.
func members(text string) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(err, errors.New("no object"))
	}
	all, seen := map[string]string{}, map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string) // keys are
		if seen[name] {
			return nil, errTwice
		}
		seen[name] = true
		var value any
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if s, ok := value.(string); ok {
			all[name] = s
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something stands behind the object")
	}
	return all, nil
}
