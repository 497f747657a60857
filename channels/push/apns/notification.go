package apns

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/payload"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Codes of what this channel refuses itself, named as APNs names its reasons.
const (
	codeBadPayload = "BadPayload" // Content.Payload is not a JSON object
	codeSign       = "SignToken"  // the key cannot sign
)

// Limits of the protocol,
// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
const (
	maxPayload     = 4096 // bytes
	maxPayloadVoIP = 5120
	maxCollapseID  = 64
)

// notification is the request for a delivery, or the code of what is wrong
// with it.
func (c *Channel) notification(d channels.Delivery) (n *apns2.Notification, code string) {
	body, silent, code := content(d)
	if code != "" {
		return nil, code
	}
	n = &apns2.Notification{
		ApnsID:      d.ID.String(),
		DeviceToken: d.Endpoint,
		Topic:       cmp.Or(d.Push.Topic, c.topic),
		PushType:    cmp.Or(apns2.EPushType(d.Push.Type), c.kindOf(d.Push.Topic, silent)),
		// Without a deadline there is no header, and APNs keeps the
		// notification as long as it likes (30 days at most).
		Expiration: d.Expires,
		Payload:    body,
	}
	if d.Push.Once {
		n.Expiration = time.Unix(1, 0) // the SDK leaves 0 away, which means the same
	}
	n.Priority = cmp.Or(d.Push.Priority, priority(d.Lane, n.PushType))
	n.CollapseID = collapseID(d, n.PushType)
	// What the SDK sends is escaped for HTML, so it can be longer than body.
	wire, err := json.Marshal(n)
	if err != nil {
		return nil, codeBadPayload
	}
	if limit := payloadLimit(n.PushType); len(wire) > limit {
		return nil, apns2.ReasonPayloadTooLarge
	}
	n.Payload = wire
	return n, ""
}

// content is the JSON payload, and whether it is silent: it only wakes the app
// and shows, plays and counts nothing.
func content(d channels.Delivery) (body []byte, silent bool, code string) {
	if d.Content.Payload != nil {
		var object struct {
			APS map[string]json.RawMessage `json:"aps"`
		}
		raw := d.Content.Payload
		if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) || json.Unmarshal(raw, &object) != nil {
			return nil, false, codeBadPayload
		}
		return raw, isSilent(object.APS), ""
	}
	if d.Content.Subject == "" && d.Content.Text == "" {
		return nil, false, apns2.ReasonPayloadEmpty
	}
	body, err := json.Marshal(build(d))
	if err != nil {
		return nil, false, codeBadPayload
	}
	return body, false, ""
}

// build makes a payload of subject and text, with the attributes' values, all
// as text, under "data".
func build(d channels.Delivery) *payload.Payload {
	p := payload.NewPayload()
	if d.Content.Subject != "" {
		p.AlertTitle(d.Content.Subject)
	}
	if d.Content.Text != "" {
		p.AlertBody(d.Content.Text)
	}
	if len(d.Attributes) > 0 {
		data := make(map[string]string, len(d.Attributes))
		for name, a := range d.Attributes {
			data[name] = a.Value
		}
		p.Custom("data", data)
	}
	return p
}

func isSilent(aps map[string]json.RawMessage) bool {
	if string(aps["content-available"]) != "1" {
		return false
	}
	for _, seen := range []string{"alert", "badge", "sound"} {
		if _, ok := aps[seen]; ok {
			return false
		}
	}
	return true
}

// pushType follows from the topic's suffix,
// https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
func pushType(topic string) apns2.EPushType {
	switch {
	case strings.HasSuffix(topic, ".voip"):
		return apns2.PushTypeVOIP
	case strings.HasSuffix(topic, ".voip-ptt"):
		return apns2.PushTypePushToTalk
	case strings.HasSuffix(topic, ".complication"):
		return apns2.PushTypeComplication
	case strings.HasSuffix(topic, ".pushkit.fileprovider"):
		return apns2.PushTypeFileProvider
	case strings.HasSuffix(topic, ".location-query"):
		return apns2.PushTypeLocation
	case strings.HasSuffix(topic, ".push-type.liveactivity"):
		return apns2.PushTypeLiveActivity
	}
	return apns2.PushTypeAlert
}

// kindOf is the push type of a notification for a topic, "" for the channel's.
func (c *Channel) kindOf(topic string, silent bool) apns2.EPushType {
	kind := c.kind
	if topic != "" {
		kind = pushType(topic)
	}
	if silent && kind == apns2.PushTypeAlert {
		return apns2.PushTypeBackground
	}
	return kind
}

// priority: 10 goes at once, 5 when it suits the device's battery. A silent
// notification must not have 10.
func priority(lane channels.Lane, kind apns2.EPushType) int {
	if lane == channels.Bulk || kind == apns2.PushTypeBackground {
		return apns2.PriorityLow
	}
	return apns2.PriorityHigh
}

func payloadLimit(kind apns2.EPushType) int {
	if kind == apns2.PushTypeVOIP {
		return maxPayloadVoIP
	}
	return maxPayload
}

// collapseID is the delivery's own, or the publish's id, so that a repeat
// replaces what it repeats. One that cannot stand in the header goes as its
// SHA-256: the same text still collapses.
func collapseID(d channels.Delivery, kind apns2.EPushType) string {
	id := d.CollapseID
	if id == "" {
		if d.Publish.IsZero() || (kind != apns2.PushTypeAlert && kind != apns2.PushTypeBackground) {
			return ""
		}
		return d.Publish.Hex()
	}
	plain := !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(id) <= maxCollapseID && plain {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
