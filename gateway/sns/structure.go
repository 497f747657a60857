package sns

import (
	"encoding/json"
	"slices"

	"github.com/fanfare-gateway/fanfare/topics"
)

// everybody is the member of a structured message that all get who have none of
// their own.
const everybody = "default"

// structure is the variant that says how a message was structured.
const structure = "MessageStructure"

// byProtocol gives a request the words of a message with MessageStructure json:
// for everybody, by protocol, and as variants what only this face knows of: push
// platforms and email-json. What is not a string, and what names none of these,
// is passed over. A message to one device may do without words for everybody.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func (m *message) byProtocol(req *topics.Request) error {
	all, ok := members(m.Message)
	if !ok {
		return invalid("Message Structure - JSON message body failed to parse")
	}
	text, ok := all[everybody]
	if req.To != nil && req.To.Protocol == topics.Application {
		if platform := platformOf(req.To.Account, req.To.Endpoint); !ok && !speaks(all, platform) {
			return invalid("JSON must contain an entry for '" + everybody + "' or '" + platform + "'.")
		}
	} else if !ok {
		return invalid("Message Structure - No default entry in JSON message body")
	}
	req.Message, req.Overrides, req.Variants = text, map[string]topics.Override{}, map[string]string{structure: m.MessageStructure}
	for name, text := range all {
		switch {
		case slices.Contains(topics.Protocols(), name):
			req.Overrides[name] = topics.Override{Message: text}
		case isPlatform(name), name == emailJSON:
			req.Variants[name] = text
		}
	}
	if _, mail := all[topics.Email]; mail && !speaks(all, emailJSON) {
		req.Variants[emailJSON] = text // to topics it is mail, and would get mail's words
	}
	if text == "" && len(req.Overrides) == 0 && len(req.Variants) == 1 {
		return invalid("Empty message")
	}
	return nil
}

func speaks(all map[string]string, name string) bool {
	_, ok := variant(all, name)
	return ok
}

// members are the string members of a JSON object; of a key that stands twice
// the last counts.
func members(text string) (all map[string]string, ok bool) {
	var read map[string]any
	if err := json.Unmarshal([]byte(text), &read); err != nil || read == nil {
		return nil, false
	}
	all = map[string]string{}
	for name, value := range read {
		if s, ok := value.(string); ok {
			all[name] = s
		}
	}
	return all, true
}
