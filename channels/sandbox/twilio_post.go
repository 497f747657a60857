package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Inbound sets the webhook of the account's number for incoming messages.
func (f *Twilio) Inbound(webhook string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inbound = webhook
}

// Reply posts a message from a person to the account's number, to a webhook,
// "" for the one set by Inbound, if any. As with Twilio, a STOP makes messages to that
// person be refused (21610) until a START. An answer other than 2xx is an error.
func (f *Twilio) Reply(ctx context.Context, webhook, from, body string) error {
	f.remember(from, body)
	if webhook == "" {
		f.mu.Lock()
		webhook = f.inbound
		f.mu.Unlock()
	}
	if webhook == "" {
		return nil
	}
	sid := newTwilioSID("SM")
	status, err := f.post(ctx, webhook, url.Values{
		"AccountSid": {f.AccountSID}, "ApiVersion": {"2010-04-01"},
		"MessageSid": {sid}, "SmsMessageSid": {sid}, "SmsSid": {sid}, "SmsStatus": {"received"},
		"From": {from}, "To": {f.From}, "Body": {body}, "NumMedia": {"0"}, "NumSegments": {"1"},
	})
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("reply: the webhook answered %d", status)
	}
	return nil
}

// remember keeps who has opted out, by the default words and only if nothing
// else was said.
// https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out
func (f *Twilio) remember(from, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch strings.ToUpper(strings.TrimSpace(body)) {
	case "STOP", "STOPALL", "UNSUBSCRIBE", "END", "QUIT", "CANCEL", "REVOKE", "OPTOUT":
		f.stopped[from] = true
	case "START", "YES", "UNSTOP":
		delete(f.stopped, from)
	default:
		return
	}
	f.core.kept.mustPut("twilio.stopped", f.stopped)
}

// report posts one status callback.
func (f *Twilio) report(ctx context.Context, m *Item, callback string) (int, error) {
	state, code, _ := strings.Cut(callback, ":")
	form := url.Values{
		"AccountSid": {f.AccountSID}, "ApiVersion": {"2010-04-01"},
		"MessageSid": {m.ID}, "SmsSid": {m.ID}, "MessageStatus": {state}, "SmsStatus": {state},
		"To": {m.Recipient}, "From": {f.From},
	}
	if from := m.Fields["From"]; from != "" {
		form.Set("From", from)
	}
	if service := m.Fields["MessagingServiceSid"]; service != "" {
		form.Set("MessagingServiceSid", service)
	}
	if code != "" {
		form.Set("ErrorCode", code)
	}
	return f.post(ctx, m.Fields["StatusCallback"], form)
}

// post sends a signed form to a webhook, once, and returns the answer's status.
func (f *Twilio) post(ctx context.Context, webhook string, form url.Values) (int, error) {
	webhook, _, _ = strings.Cut(webhook, "#") // connection overrides stay here
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("X-Twilio-Signature", twilioSignature(f.AuthToken, webhook, form))
	resp, err := f.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // to use the connection again
	return resp.StatusCode, nil
}

// twilioSignature signs a form posted to an address:
// https://www.twilio.com/docs/usage/webhooks/webhooks-security
func twilioSignature(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(mac, address) // a hash never fails
	for _, name := range slices.Sorted(maps.Keys(form)) {
		_, _ = io.WriteString(mac, name+form.Get(name))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
