package fcm

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"firebase.google.com/go/v4/messaging"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxTTL is FCM's: four weeks.
// https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan
const maxTTL = 28 * 24 * time.Hour

// A refusal is a message not worth a call: a code of the error book, where all
// of them are rejected, and words that quote nothing of the message.
type refusal struct{ code, text string }

// Error is the words.
func (r *refusal) Error() string { return r.text }

var (
	reservedKey     = &refusal{"reserved_key", "a data key is reserved by FCM: from, message_type, google.*, gcm.notification*"}
	payloadTooLarge = &refusal{"payload_too_large", "the message is over 4096 bytes"}
	invalidPayload  = &refusal{"invalid_payload", "the payload is not an FCM message in JSON"}
	unknownField    = &refusal{"unknown_field", "the payload has a field that would be lost: names are those of Google's reference, in snake_case"}
	invalidMessage  = &refusal{"invalid_message", "the Firebase SDK finds the message invalid"}
)

// newMessage renders a delivery: the payload if there is one, else title, body
// and attributes; then token, deadline, priority and the id under which a
// repeat replaces the earlier one.
func newMessage(d channels.Delivery, now time.Time) (*messaging.Message, *refusal) {
	m := &messaging.Message{}
	if d.Content.Payload != nil {
		if no := readPayload(d.Content.Payload, m); no != nil {
			return nil, no
		}
	} else {
		fill(m, d)
	}
	m.Token, m.Topic, m.Condition = d.Endpoint, "", ""
	setAndroid(m, d, now)
	setApple(m, d)
	setWeb(m, d, now)
	if hasReservedKey(m.Data) || hasReservedKey(m.Android.Data) {
		return nil, reservedKey
	}
	if tooLarge(m) {
		return nil, payloadTooLarge
	}
	return m, nil
}

func fill(m *messaging.Message, d channels.Delivery) {
	if d.Content.Subject != "" || d.Content.Text != "" {
		m.Notification = &messaging.Notification{Title: d.Content.Subject, Body: d.Content.Text}
	}
	for key, a := range d.Attributes {
		if m.Data == nil {
			m.Data = make(map[string]string, len(d.Attributes))
		}
		m.Data[key] = a.Value
	}
}

// collapseID is the id under which FCM replaces an earlier message: the
// delivery's, the payload's own, or the publish, which makes a repeated attempt
// harmless. FCM keeps pending messages of four different keys for a device.
// https://firebase.google.com/docs/cloud-messaging/customize-messages/collapsible-message-types
func collapseID(d channels.Delivery, own string) string {
	return cmp.Or(d.CollapseID, own, d.Publish.Hex())
}

func setAndroid(m *messaging.Message, d channels.Delivery, now time.Time) {
	if m.Android == nil {
		m.Android = &messaging.AndroidConfig{}
	}
	a := m.Android
	a.CollapseKey = collapseID(d, a.CollapseKey)
	// Google's reference names the priorities in capitals, the SDK takes only
	// small letters.
	a.Priority = cmp.Or(strings.ToLower(a.Priority), priority(d.Lane))
	if left, ok := remaining(d, now); ok && (a.TTL == nil || *a.TTL > left) {
		a.TTL = &left
	}
	// A tag on a data message would turn it into a notification.
	if m.Notification != nil && a.Notification == nil {
		a.Notification = &messaging.AndroidNotification{}
	}
	if a.Notification != nil {
		a.Notification.Tag = collapseID(d, a.Notification.Tag)
	}
}

func priority(l channels.Lane) string {
	if l == channels.Bulk {
		return "normal"
	}
	return "high"
}

// remaining is the time until the deadline in whole seconds, within what FCM
// takes; 0 means now or never.
func remaining(d channels.Delivery, now time.Time) (time.Duration, bool) {
	switch {
	case d.Push.Once:
		return 0, true
	case d.Expires.IsZero():
		return 0, false
	}
	return min(max(d.Expires.Sub(now).Truncate(time.Second), 0), maxTTL), true
}

// setApple bounds and collapses the message on Apple devices, where FCM hands
// these headers to APNs. The deadline is in Unix seconds, a collapse id has at
// most 64 bytes.
func setApple(m *messaging.Message, d channels.Delivery) {
	if m.APNS == nil {
		m.APNS = &messaging.APNSConfig{}
	}
	h := &m.APNS.Headers
	switch {
	case d.Push.Once:
		set(h, "apns-expiration", "0")
	case !d.Expires.IsZero():
		lower(h, "apns-expiration", d.Expires.Unix())
	}
	if id := collapseID(d, get(*h, "apns-collapse-id")); len(id) <= 64 {
		set(h, "apns-collapse-id", id)
	}
	if d.Lane == channels.Bulk && get(*h, "apns-priority") == "" {
		set(h, "apns-priority", "5")
	}
}

// setWeb bounds the message in browsers (RFC 8030 section 5.2).
func setWeb(m *messaging.Message, d channels.Delivery, now time.Time) {
	left, ok := remaining(d, now)
	if !ok {
		return
	}
	if m.Webpush == nil {
		m.Webpush = &messaging.WebpushConfig{}
	}
	lower(&m.Webpush.Headers, "TTL", int64(left/time.Second))
}

// lower sets a header to a number unless the payload asks for less.
func lower(h *map[string]string, name string, n int64) {
	if own, err := strconv.ParseInt(get(*h, name), 10, 64); err != nil || own < 0 || own > n {
		set(h, name, strconv.FormatInt(n, 10))
	}
}

func get(h map[string]string, name string) string {
	for key, value := range h {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

func set(h *map[string]string, name, value string) {
	if *h == nil {
		*h = map[string]string{}
	}
	for key := range *h {
		if strings.EqualFold(key, name) {
			delete(*h, key)
		}
	}
	(*h)[name] = value
}
