package sns

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// alsoGoogle is what topics.GCM is called too.
const alsoGoogle = "FCM"

// platformOf is the platform of what is pushed to: of a platform application
// (an endpoint PLATFORM/APPLICATION/ID, an account with the name
// ACCOUNT:REGION:PLATFORM:APPLICATION) its own, else the account's provider.
func platformOf(account, endpoint string) string {
	if path := strings.Split(endpoint, "/"); len(path) == 3 {
		return path[0]
	}
	provider, name, _ := strings.Cut(account, "/")
	if parts := strings.Split(name, ":"); len(parts) == 4 {
		return parts[2]
	}
	if provider = strings.ToUpper(provider); provider == alsoGoogle {
		return topics.GCM
	}
	return provider
}

// isPlatform tells whether a member of a structured message is for a push
// platform: Apple's have suffixes, such as APNS_SANDBOX and APNS_VOIP.
func isPlatform(name string) bool {
	return name == topics.APNS || strings.HasPrefix(name, topics.APNS+"_") || name == topics.GCM || name == alsoGoogle
}

// variant is the text with a name; Google's service has two.
func variant(all map[string]string, name string) (string, bool) {
	text, ok := all[name]
	if !ok && name == topics.GCM {
		text, ok = all[alsoGoogle]
	}
	return text, ok
}

// device makes the push service's own JSON of a message, and gives the service
// what the message's attributes ask of it; they do not go to the device.
// https://docs.aws.amazon.com/sns/latest/dg/sns-send-custom-platform-specific-payloads-mobile-devices.html
func (f *Form) device(d *channels.Delivery, s *topics.Subscription, variants map[string]string) {
	platform := platformOf(s.Account, s.Endpoint)
	payload, inBody := payload(platform, d.Content.Text, variants)
	d.Content.Payload = payload
	if platform != topics.GCM {
		askApple(d)
	}
	if life := cmp.Or(lifetime(d.Attributes, platform), inBody); life != nil {
		limit(d, *life)
	}
	d.Attributes = nil
}

// payload is what a platform's push service gets: the platform's variant, else
// the text in the simplest form there is. A time to live that Google's has is
// taken out of it.
func payload(platform, text string, variants map[string]string) ([]byte, *time.Duration) {
	own, ok := variant(variants, platform)
	switch {
	case platform == topics.GCM && ok:
		return fcmMessage(own)
	case platform == topics.GCM:
		return object(map[string]any{"data": map[string]any{everybody: text}}), nil
	case ok:
		return []byte(own), nil
	}
	return object(map[string]any{"aps": map[string]any{"alert": text}}), nil
}

// The most bytes of a payload.
const (
	maxApple  = 4096
	maxVoIP   = 5120
	maxGoogle = 4096 // keys and values of data
)

// checkPayload checks what one device is published: it is known at once whether
// its service can take that.
func checkPayload(req *topics.Request) error {
	platform, text := platformOf(req.To.Account, req.To.Endpoint), req.Message
	if o, ok := req.Overrides[topics.Application]; ok {
		text = o.Message
	}
	body, _ := payload(platform, text, req.Variants)
	bad := func(why string) error {
		return invalid("Message Reason: Invalid notification for protocol " + platform + ": " + why)
	}
	var in map[string]any
	if json.Unmarshal(body, &in) != nil || in == nil {
		return bad("Notification is malformed")
	}
	size, most, why := len(body), maxApple, "Notification is too long"
	switch {
	case platform == topics.GCM:
		size, most, why = 0, maxGoogle, "Notification data is larger than allowed limit"
		for key, value := range part(in, "data") {
			text, _ := value.(string) // as fcmMessage made it
			size += len(key) + len(text)
		}
	case strings.Contains(platform, "VOIP"):
		most = maxVoIP
	}
	if size > most {
		return bad(why)
	}
	return nil
}

// object is a JSON object of texts and what JSON was read into.
func object(v map[string]any) []byte {
	text, _ := json.Marshal(v) // cannot fail
	return text
}

// lifetime is the TTL a message's attributes give it on a platform; nil for
// none.
func lifetime(attributes map[string]channels.Attribute, platform string) *time.Duration {
	names := []string{platform}
	if platform == topics.GCM {
		names = append(names, alsoGoogle)
	}
	for _, name := range names {
		if a, ok := attributes[mobile+name+".TTL"]; ok {
			return seconds(a.Value)
		}
	}
	return nil
}

func seconds(text string) *time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= maxLife.Seconds()) { // NaN is neither
		return nil
	}
	life := time.Duration(n * float64(time.Second))
	return &life
}

// limit bounds a delivery by its time to live, which counts from the publish:
// what it waited here is subtracted, and one that is used up is not sent. 0 is
// for now or never, so one attempt is made.
// https://docs.aws.amazon.com/sns/latest/dg/sns-ttl.html
func limit(d *channels.Delivery, life time.Duration) {
	if life == 0 && d.Try <= 1 {
		d.Push.Once = true
		return
	}
	if end := d.PublishedAt.Add(life); d.Expires.IsZero() || end.Before(d.Expires) {
		d.Expires = end
	}
}

// askApple sets what the attributes ask of APNs.
func askApple(d *channels.Delivery) {
	d.Push.Type, d.Push.Topic = d.Attributes[applePushType].Value, d.Attributes[appleTopic].Value
	d.Push.Priority, _ = strconv.Atoi(d.Attributes[applePriority].Value) // as checked when it was published
	if id := d.Attributes[appleCollapse].Value; id != "" {
		d.CollapseID = id
	}
}
