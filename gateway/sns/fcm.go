package sns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

// fcmMessage is the message of FCM's HTTP v1 API in the text for Google's
// platform, and the time to live it has; nil for none. The text has such a
// message under fcmV1Message, or the form of the legacy API, which is translated
// as SNS does. What is no JSON object stays as it is, for the channel to refuse.
// https://docs.aws.amazon.com/sns/latest/dg/sns-fcm-v1-payloads.html
func fcmMessage(text string) ([]byte, *time.Duration) {
	in := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	if dec.Decode(&in) != nil || in == nil || dec.More() {
		return []byte(text), nil
	}
	message := legacy(in)
	life := seconds(fmt.Sprint(in["time_to_live"]))
	if v1, ok := in["fcmV1Message"].(map[string]any); ok {
		message = part(v1, "message")
		life = cutTTL(message)
		for _, holder := range []map[string]any{message, part(message, "android"), part(message, "webpush")} {
			if data := texts(part(holder, "data")); len(data) > 0 {
				holder["data"] = data
			}
		}
	}
	return object(message), life
}

// part is an object within another one; empty if there is none.
func part(of map[string]any, name string) map[string]any {
	p, _ := of[name].(map[string]any)
	return p
}

// cutTTL takes the time to live out of a message of the v1 API ("3.5s").
func cutTTL(message map[string]any) *time.Duration {
	android := part(message, "android")
	text, _ := android["ttl"].(string)
	number, ok := strings.CutSuffix(text, "s")
	life := seconds(number)
	if ok && life != nil {
		delete(android, "ttl")
	}
	return life
}

// texts are data as v1 wants it: all values are texts.
func texts(data map[string]any) map[string]any {
	out := make(map[string]any, len(data))
	for name, value := range data {
		if text, ok := value.(string); ok {
			out[name] = text
			continue
		}
		text, _ := json.Marshal(value) // it was read from JSON: cannot fail
		out[name] = string(text)
	}
	return out
}

// legacy translates a message of the legacy API.
// https://firebase.google.com/docs/cloud-messaging/http-server-ref
func legacy(in map[string]any) map[string]any {
	shown := part(in, "notification")
	android := pick(in, "priority", "collapse_key", "restricted_package_name")
	add(android, "notification", pick(shown,
		"icon", "color", "sound", "tag", "click_action", "title_loc_key", "title_loc_args", "body_loc_key", "body_loc_args", "android_channel_id=channel_id"))
	aps := pick(shown, "sound", "click_action=category")
	if alert := pick(shown, "title_loc_key=title-loc-key", "title_loc_args=title-loc-args", "body_loc_key=loc-key", "body_loc_args=loc-args"); len(alert) > 0 {
		maps.Copy(alert, pick(shown, "title", "body")) // an alert of its own takes the place of the common one
		aps["alert"] = alert
	}
	if badge, err := strconv.Atoi(fmt.Sprint(shown["badge"])); err == nil {
		aps["badge"] = badge
	}
	for _, flag := range []string{"content_available", "mutable_content"} {
		if in[flag] == true {
			aps[strings.ReplaceAll(flag, "_", "-")] = 1
		}
	}
	out := map[string]any{}
	add(out, "notification", pick(shown, "title", "body", "image"))
	add(out, "data", texts(part(in, "data")))
	add(out, "android", android)
	if len(aps) > 0 {
		out["apns"] = map[string]any{"payload": map[string]any{"aps": aps}}
	}
	if web := pick(shown, "icon", "tag"); len(web) > 0 {
		out["webpush"] = map[string]any{"notification": web}
	}
	return out
}

// pick takes the members with these names, "old=new" under a new one.
func pick(from map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		old, as, renamed := strings.Cut(name, "=")
		if !renamed {
			as = old
		}
		if value, ok := from[old]; ok && value != nil {
			out[as] = value
		}
	}
	return out
}

// add sets a member unless it is empty.
func add(to map[string]any, name string, value map[string]any) {
	if len(value) > 0 {
		to[name] = value
	}
}
