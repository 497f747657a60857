package sandbox

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fcmRequest is the body of messages:send: all of it, and what matters first.
type fcmRequest struct {
	all          map[string]any
	ValidateOnly bool
	Message      map[string]any
}

// readFCM reads a body; false if it is no JSON object. Names in camel case,
// which protobuf's JSON allows too, become snake case.
func readFCM(body []byte) (in fcmRequest, ok bool) {
	if json.Unmarshal(body, &in.all) != nil || in.all == nil {
		return in, false
	}
	for _, place := range fcmPlaces {
		object, _ := fcmAt(in.all, splitPlace(place)...).(map[string]any)
		for name, value := range object {
			if snake := snakeCase(name); snake != name {
				delete(object, name)
				object[snake] = value
			}
		}
	}
	in.Message, _ = in.all["message"].(map[string]any)
	in.ValidateOnly, _ = in.all["validate_only"].(bool)
	return in, true
}

// send is the API: sign-in, permission, message, then the script.
func (f *FCM) send(w http.ResponseWriter, r *http.Request) {
	it := Item{Provider: ProviderFCM, Fields: map[string]string{"project": r.PathValue("project")}}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	// The message is read even if the request will be refused, so that the
	// requests seen name their recipient.
	in, parsed := readFCM(body)
	describeFCM(&it, in)
	bad := f.checkSend(r, in, parsed, err)
	if bad.Status == 0 {
		a := f.core.next(ProviderFCM, it.Recipient)
		a.wait(r.Context())
		f.play(w, it, a, in.ValidateOnly)
		return
	}
	it.Status, it.Code = bad.Status, bad.code()
	f.core.record(it)
	bad.write(w)
}

// checkSend checks a request; a zero fcmError is good. The error is that of
// reading the body.
func (f *FCM) checkSend(r *http.Request, in fcmRequest, parsed bool, err error) fcmError {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case !f.signedIn(r.Header.Get("Authorization")):
		return newFCMError("UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.")
	case r.PathValue("project") != f.ProjectID:
		return newFCMError("PERMISSION_DENIED", "Permission 'cloudmessaging.messages.create' denied on resource '//cloudresourcemanager.googleapis.com/projects/"+r.PathValue("project")+"' (or it may not exist).")
	case err != nil:
		return newFCMError("INVALID_ARGUMENT", "Request payload size exceeds the limit: 65536 bytes.").plain()
	case media != "application/json" || !parsed:
		return newFCMError("INVALID_ARGUMENT", "Invalid JSON payload received.").plain()
	}
	return f.checkMessage(in)
}

// play answers a good request by its script.
func (f *FCM) play(w http.ResponseWriter, it Item, a Answer, validateOnly bool) {
	if a.Hang || a.Drop == DropBefore {
		f.core.record(it)
		abort()
	}
	if a.Drop == "" && a.refuses() {
		e := scriptedFCM(a)
		it.Status, it.Code = e.Status, e.code()
		f.core.record(it)
		e.write(w)
		return
	}
	it.Status, it.Accepted = http.StatusOK, !validateOnly
	// Names are unique over restarts too.
	it.ID = "projects/" + f.ProjectID + "/messages/0:" + strconv.FormatInt(time.Now().UnixMicro(), 10) + "%" + randomHex(8)
	if validateOnly {
		it.ID = "projects/" + f.ProjectID + "/messages/fake_message_id"
	}
	f.core.record(it)
	if a.Drop == DropAfter {
		abort()
	}
	writeJSON(w, http.StatusOK, map[string]string{"name": it.ID})
}

// describeFCM fills an item from the message. The sender's own id travels as
// the collapse key.
func describeFCM(it *Item, in fcmRequest) {
	m := in.Message
	it.Recipient = fcmText(m, "token")
	it.Subject, it.Body = fcmText(m, "notification", "title"), fcmText(m, "notification", "body")
	it.Delivery = fcmText(m, "android", "collapse_key")
	if in.ValidateOnly {
		it.Fields["validate_only"] = "true"
	}
	for name, path := range map[string][]string{
		"collapse_key": {"android", "collapse_key"}, "ttl": {"android", "ttl"},
		"priority": {"android", "priority"}, "tag": {"android", "notification", "tag"},
	} {
		if v := fcmText(m, path...); v != "" {
			it.Fields[name] = v
		}
	}
	for prefix, path := range map[string][]string{"data.": {"data"}, "apns.": {"apns", "headers"}, "webpush.": {"webpush", "headers"}} {
		values, _ := fcmAt(m, path...).(map[string]any)
		for key, v := range values {
			text, _ := v.(string)
			it.Fields[prefix+key] = text
		}
	}
}

// fcmAt is what stands at a path of names, nil if nothing does.
func fcmAt(m map[string]any, path ...string) any {
	var v any = m
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func fcmText(m map[string]any, path ...string) string {
	text, _ := fcmAt(m, path...).(string)
	return strings.ToValidUTF8(text, "")
}
