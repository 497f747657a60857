package fcm

import (
	"encoding/json"
	"strings"

	"firebase.google.com/go/v4/messaging"
)

// maxPayload is FCM's limit for keys and values of what the device gets.
// https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
const maxPayload = 4096

// readPayload reads an FCM message in Google's JSON form, field names as in
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.
// Its target is ignored. The SDK drops fields it does not know without a word;
// a payload that has one is refused, for what arrives must be what was given.
func readPayload(text []byte, m *messaging.Message) *refusal {
	var given map[string]any
	if json.Unmarshal(text, &given) != nil || given == nil || json.Unmarshal(text, m) != nil {
		return invalidPayload
	}
	for _, target := range []string{"token", "topic", "condition", "name"} {
		delete(given, target)
	}
	kept, err := generic(m)
	if err != nil {
		return invalidPayload
	}
	if loses(given, kept) {
		return unknownField
	}
	return nil
}

// generic is the message as it would go out.
func generic(m *messaging.Message) (map[string]any, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var v map[string]any
	return v, json.Unmarshal(text, &v)
}

// loses tells whether something of given is missing in kept. Empty values may
// be.
func loses(given, kept any) bool {
	switch g := given.(type) {
	case map[string]any:
		k, ok := kept.(map[string]any)
		for name, value := range g {
			if !empty(value) && (!ok || loses(value, k[name])) {
				return true
			}
		}
		return false
	case []any:
		k, _ := kept.([]any)
		if len(k) != len(g) {
			return true
		}
		for i := range g {
			if loses(g[i], k[i]) {
				return true
			}
		}
		return false
	}
	return kept == nil && !empty(given)
}

func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case float64:
		return v == 0
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// hasReservedKey tells whether data has a key that FCM refuses.
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#resource:-message
func hasReservedKey(data map[string]string) bool {
	for key := range data {
		if key == "from" || key == "message_type" || strings.HasPrefix(key, "google.") || strings.HasPrefix(key, "gcm.notification") {
			return true
		}
	}
	return false
}

// tooLarge counts what a device gets: the common part and the largest of the
// platforms' own parts, keys and values. How exactly FCM counts is not
// documented, so this refuses only what is surely too large; FCM refuses the
// rest.
func tooLarge(m *messaging.Message) bool {
	text, err := json.Marshal(m)
	if err != nil || len(text) <= maxPayload {
		return false // what cannot be marshalled is refused by the SDK
	}
	v, err := generic(m)
	if err != nil {
		return false
	}
	part := func(platform string, names ...string) (n int) {
		config, _ := v[platform].(map[string]any)
		for _, name := range names {
			n += weight(config[name])
		}
		return n
	}
	own := max(part("android", "notification", "data"), part("apns", "payload"), part("webpush", "notification", "data"))
	return weight(v["notification"])+weight(v["data"])+own > maxPayload
}

// weight is the bytes of all keys and texts within v.
func weight(v any) (n int) {
	switch v := v.(type) {
	case string:
		return len(v)
	case map[string]any:
		for key, value := range v {
			n += len(key) + weight(value)
		}
	case []any:
		for _, value := range v {
			n += weight(value)
		}
	}
	return n
}
