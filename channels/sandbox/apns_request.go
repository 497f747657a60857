package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// The protocol's limits, in bytes.
const (
	apnsPayload     = 4096
	apnsPayloadVoIP = 5120
	apnsCollapse    = 64
)

// apnsHeaders are a notification's headers; none may be repeated.
var apnsHeaders = []string{
	"apns-id", "apns-topic", "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id",
}

// apnsSuffix is what a push type adds to the bundle id in apns-topic.
var apnsSuffix = map[string]string{
	"alert": "", "background": "", "voip": ".voip", "complication": ".complication",
	"fileprovider": ".pushkit.fileprovider", "location": ".location-query",
	"liveactivity": ".push-type.liveactivity", "pushtotalk": ".voip-ptt",
	"widgets": ".push-type.widgets", "controls": ".push-type.controls",
}

// apnsPush is one request and the inbox's item of it.
type apnsPush struct {
	r    *http.Request
	body []byte
	item Item
}

func readPush(r *http.Request) *apnsPush {
	p := &apnsPush{r: r}
	p.body, _ = io.ReadAll(io.LimitReader(r.Body, 64<<10)) // what came before the client went away
	p.item = Item{Provider: ProviderAPNs, Fields: map[string]string{"payload": string(p.body)}}
	for _, name := range apnsHeaders {
		if v := r.Header.Get(name); v != "" {
			p.item.Fields[name] = v
		}
	}
	p.item.Recipient = strings.ToLower(strings.TrimPrefix(r.URL.Path, "/3/device/"))
	p.item.Delivery = r.Header.Get("apns-id")
	p.item.ID = p.item.Delivery
	if p.item.ID == "" {
		p.item.ID = newUUID()
	}
	p.item.Subject, p.item.Body = alertOf(p.body)
	return p
}

// alertOf reads title and text; both forms of the alert are good.
func alertOf(body []byte) (title, text string) {
	var in struct {
		APS struct {
			Alert json.RawMessage `json:"alert"`
		} `json:"aps"`
	}
	var alert struct{ Title, Body string }
	_ = json.Unmarshal(body, &in) // judged in checkPayload
	if json.Unmarshal(in.APS.Alert, &text) == nil {
		return "", text
	}
	_ = json.Unmarshal(in.APS.Alert, &alert)
	return alert.Title, alert.Body
}

// check is the service's judgement of a request: the reason it is refused for.
func (f *APNs) check(p *apnsPush) (reason string) {
	if p.r.Method != http.MethodPost {
		return "MethodNotAllowed"
	}
	if !strings.HasPrefix(p.r.URL.Path, "/3/device/") {
		return "BadPath"
	}
	for _, name := range append([]string{"authorization"}, apnsHeaders...) {
		if len(p.r.Header.Values(name)) > 1 {
			return "DuplicateHeaders"
		}
	}
	for _, step := range []func(*apnsPush) string{f.checkSignIn, f.checkTopic, checkHeaders, checkPayload, f.checkDevice} {
		if reason := step(p); reason != "" {
			return reason
		}
	}
	return ""
}

func (f *APNs) checkTopic(p *apnsPush) string {
	topic, kind := p.r.Header.Get("apns-topic"), p.r.Header.Get("apns-push-type")
	if kind == "" {
		kind = "alert" // required by watchOS only
	}
	suffix, ok := apnsSuffix[kind]
	switch {
	case !ok:
		return "InvalidPushType"
	case topic == "" && p.item.Fields["auth"] == "certificate":
		return "" // the certificate's own topic
	case topic == "":
		return "MissingTopic"
	case topic != f.Topic+suffix:
		return "TopicDisallowed"
	}
	return ""
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func checkHeaders(p *apnsPush) string {
	get := p.r.Header.Get
	if id := get("apns-id"); id != "" && !uuidForm.MatchString(strings.ToLower(id)) {
		return "BadMessageId"
	}
	if t := get("apns-expiration"); t != "" {
		if n, err := strconv.ParseInt(t, 10, 64); err != nil || n < 0 {
			return "BadExpirationDate"
		}
	}
	switch get("apns-priority") {
	case "5", "1":
	case "", "10": // no header means 10
		if get("apns-push-type") == "background" {
			return "BadPriority" // "using priority 10 is an error"
		}
	default:
		return "BadPriority"
	}
	if len(get("apns-collapse-id")) > apnsCollapse {
		return "BadCollapseId"
	}
	return ""
}

func checkPayload(p *apnsPush) string {
	limit := apnsPayload
	if p.r.Header.Get("apns-push-type") == "voip" {
		limit = apnsPayloadVoIP
	}
	if len(p.body) > limit {
		return "PayloadTooLarge"
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(p.body, &object) != nil || len(object) == 0 {
		return "PayloadEmpty"
	}
	return ""
}

var deviceForm = regexp.MustCompile(`^([0-9a-fA-F]{2}){32,100}$`)

func (f *APNs) checkDevice(p *apnsPush) string {
	device := p.item.Recipient
	switch {
	case device == "":
		return "MissingDeviceToken"
	case strings.Trim(device, "0") == "", !deviceForm.MatchString(device) && !f.any.Load():
		return "BadDeviceToken"
	}
	return ""
}

// apnsStatus is the status a reason comes with,
// https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
func apnsStatus(reason string) int {
	switch reason {
	case "BadCertificate", "BadCertificateEnvironment", "ExpiredProviderToken", "Forbidden",
		"InvalidProviderToken", "MissingProviderToken", "UnrelatedKeyIdInToken", "BadEnvironmentKeyIdInToken":
		return http.StatusForbidden
	case "BadPath":
		return http.StatusNotFound
	case "MethodNotAllowed":
		return http.StatusMethodNotAllowed
	case "ExpiredToken", "Unregistered":
		return http.StatusGone
	case "PayloadTooLarge":
		return http.StatusRequestEntityTooLarge
	case "TooManyProviderTokenUpdates", "TooManyRequests":
		return http.StatusTooManyRequests
	case "InternalServerError":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "Shutdown":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// apnsUsual is the most usual reason of a status; "" where none stands out.
func apnsUsual(status int) string {
	return map[int]string{
		http.StatusForbidden:             "InvalidProviderToken",
		http.StatusNotFound:              "BadPath",
		http.StatusMethodNotAllowed:      "MethodNotAllowed",
		http.StatusGone:                  "Unregistered",
		http.StatusRequestEntityTooLarge: "PayloadTooLarge",
		http.StatusTooManyRequests:       "TooManyRequests",
		http.StatusInternalServerError:   "InternalServerError",
		http.StatusServiceUnavailable:    "ServiceUnavailable",
	}[status]
}

// newUUID is what the service names a notification that came without an id.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
