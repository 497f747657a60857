package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// relayEvents reports what became of messages, as mail services do (SES,
// Postmark, SendGrid: a webhook a message).
type relayEvents struct {
	reports *reports
	client  *http.Client

	mu          sync.Mutex
	url, secret string
}

// RelayEvent is the body of a report. It is sent with the header
// X-Relay-Signature: hex of HMAC-SHA256 over the body with the secret.
type RelayEvent struct {
	Event     string `json:"event"`      // delivered, bounced, complained
	MessageID string `json:"message_id"` // the Message-ID header without <>
	Recipient string `json:"recipient"`
	Status    string `json:"status,omitempty"` // enhanced status of a bounce
}

func (e *relayEvents) start(c *core) {
	e.client = newReportClient()
	e.reports = startReports(c, e.post)
}

// Events reports what becomes of each message accepted from now on to url,
// signed with the secret: after Options.CallbackDelay "delivered", or what
// Answer.Callbacks says ("bounced:5.1.1", "complained"). An event is sent until
// an answer other than 408, 429 or 5xx, for an hour at most. What an earlier
// run with the same Options.Dir did not get to report is reported too.
func (f *SMTP) Events(url, secret string) {
	e := &f.events
	e.mu.Lock()
	first := e.url == ""
	e.url, e.secret = url, secret
	e.mu.Unlock()
	if first {
		e.reports.resume(ProviderSMTP)
	}
}

// course is what will be reported of a message with this answer.
func (e *relayEvents) course(a Answer) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.url == "":
		return nil // nobody wants to know
	case a.Callbacks == nil:
		return []string{"delivered"}
	}
	return a.Callbacks
}

func (e *relayEvents) post(ctx context.Context, message *Item, callback string) (int, error) {
	e.mu.Lock()
	url, secret := e.url, e.secret
	e.mu.Unlock()
	name, status, _ := strings.Cut(callback, ":")
	body, err := json.Marshal(RelayEvent{
		Event: name, Status: status, Recipient: message.Recipient,
		MessageID: strings.Trim(message.Fields["message-id"], "<>"),
	})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Relay-Signature", hex.EncodeToString(mac.Sum(nil)))
	res, err := e.client.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func (e *relayEvents) close() {
	e.reports.close()
	e.client.CloseIdleConnections()
}
