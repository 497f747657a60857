package sandbox

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	fcmTokenForm = regexp.MustCompile(`^[A-Za-z0-9_:-]{20,}$`)
	fcmTTLForm   = regexp.MustCompile(`^([0-9]+)(\.[0-9]{1,9})?s$`)
)

// fcmPlaces are the places of a request whose names are FCM's, outer first.
var fcmPlaces = []string{"", "message", "message.android", "message.android.notification", "message.apns", "message.webpush"}

// fcmNames are the names FCM knows, by place; a place not listed is not checked.
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
var fcmNames = map[string]string{
	"":                "validate_only message",
	"message":         "name data notification android webpush apns fcm_options token topic condition",
	"message.android": "collapse_key priority ttl restricted_package_name data notification fcm_options direct_boot_ok bandwidth_constrained_ok restricted_satellite_ok",
	"message.apns":    "headers payload fcm_options live_activity_token",
	"message.webpush": "headers data notification fcm_options",
}

// checkMessage checks a message as FCM does; a zero fcmError is good.
func (f *FCM) checkMessage(in fcmRequest) fcmError {
	for _, place := range fcmPlaces {
		if e := checkNames(in.all, place); e.Status != 0 {
			return e
		}
	}
	m := in.Message
	for _, place := range []string{"message.data", "message.android.data"} {
		if e := checkData(in.all, place); e.Status != 0 {
			return e
		}
	}
	token, isText := m["token"].(string)
	targets := 0
	for _, name := range []string{"token", "topic", "condition"} {
		if m[name] != nil && m[name] != "" {
			targets++
		}
	}
	switch {
	case targets == 0:
		return badField("message", "Recipient of the message is not set.")
	case targets > 1:
		return badField("message", "Invalid value at 'message' (oneof), oneof field 'target' is already set.")
	case !isText || len(token) > 4096 || !f.any.Load() && !fcmTokenForm.MatchString(token):
		return badField("message.token", "Invalid registration token")
	}
	if e := checkAndroid(m); e.Status != 0 {
		return e
	}
	if fcmTooBig(m) {
		return newFCMError("INVALID_ARGUMENT", "Request contains an invalid argument.").plain()
	}
	return fcmError{}
}

func checkNames(all map[string]any, place string) fcmError {
	object, _ := fcmAt(all, splitPlace(place)...).(map[string]any)
	known := strings.Fields(fcmNames[place])
	for name := range object {
		if len(known) > 0 && !slices.Contains(known, name) {
			return unlistedField(place, fmt.Sprintf("Invalid JSON payload received. Unknown name %q at '%s': Cannot find field.", name, place))
		}
	}
	return fcmError{}
}

func splitPlace(place string) []string {
	if place == "" {
		return nil
	}
	return strings.Split(place, ".")
}

func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// checkData refuses values that are no strings and keys that FCM reserves.
func checkData(all map[string]any, place string) fcmError {
	data, _ := fcmAt(all, splitPlace(place)...).(map[string]any)
	for key, value := range data {
		if _, ok := value.(string); !ok {
			field := place + "[0].value"
			return unlistedField(field, fmt.Sprintf("Invalid value at '%s' (TYPE_STRING), %v", field, value))
		}
		if key == "from" || key == "gcm" || key == "message_type" || strings.HasPrefix(key, "google") || strings.HasPrefix(key, "gcm.") {
			return badField(place, "Invalid data payload key: "+key)
		}
	}
	return fcmError{}
}

func checkAndroid(m map[string]any) fcmError {
	if ttl := fcmAt(m, "android", "ttl"); ttl != nil {
		text, _ := ttl.(string)
		parts := fcmTTLForm.FindStringSubmatch(text)
		if parts == nil {
			return unlistedField("message.android.ttl", "Invalid value at 'message.android.ttl' (type.googleapis.com/google.protobuf.Duration)")
		}
		if n, err := strconv.Atoi(parts[1]); err != nil || n > 28*24*3600 {
			return badField("message.android.ttl", "TTL must be between 0 and 2419200 seconds.")
		}
	}
	if p := fcmText(m, "android", "priority"); p != "" && !slices.Contains([]string{"normal", "high"}, strings.ToLower(p)) {
		return unlistedField("message.android.priority", "Invalid value at 'message.android.priority' (type.googleapis.com/google.firebase.fcm.v1.AndroidMessagePriority)")
	}
	return fcmError{}
}

// fcmTooBig counts keys and values of what reaches a device, the largest of
// the platforms' own parts: 4096 bytes at most.
func fcmTooBig(m map[string]any) bool {
	own := max(
		fcmBytes(fcmAt(m, "android", "notification"))+fcmBytes(fcmAt(m, "android", "data")),
		fcmBytes(fcmAt(m, "apns", "payload")),
		fcmBytes(fcmAt(m, "webpush", "notification"))+fcmBytes(fcmAt(m, "webpush", "data")),
	)
	return fcmBytes(m["notification"])+fcmBytes(m["data"])+own > 4096
}

func fcmBytes(v any) (n int) {
	switch v := v.(type) {
	case string:
		return len(v)
	case map[string]any:
		for key, value := range v {
			n += len(key) + fcmBytes(value)
		}
	case []any:
		for _, value := range v {
			n += fcmBytes(value)
		}
	}
	return n
}
