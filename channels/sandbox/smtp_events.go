package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	eventRetry  = time.Second      // between the attempts to report an event
	eventGiveUp = time.Minute      // how long one event is tried
	eventReplay = 10 * time.Minute // how old a message's events are still sent after a restart
)

// fieldCallbacks is the Item field that keeps a message's course for a restart.
const fieldCallbacks = "callbacks"

// relayEvents reports what became of messages, as mail services do (SES,
// Postmark, SendGrid: a webhook a message).
type relayEvents struct {
	core   *core
	client *http.Client
	before int // the last Seq of an earlier run
	wg     sync.WaitGroup

	mu          sync.Mutex
	url, secret string
	closed      bool
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
	e.core = c
	e.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 8, ResponseHeaderTimeout: 10 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.mu.Lock()
	e.before = c.seq
	c.mu.Unlock()
}

// Events reports what becomes of each message accepted from now on to url,
// signed with the secret: after Options.CallbackDelay "delivered", or what
// Answer.Callbacks says ("bounced:5.1.1", "complained"). An event is sent until
// a 2xx answer, a second apart, for a minute. The messages of the last ten
// minutes that an earlier run with the same Options.Dir accepted are reported
// again, as that run may not have got to it.
func (f *SMTP) Events(url, secret string) {
	e := &f.events
	e.mu.Lock()
	e.url, e.secret = url, secret
	e.mu.Unlock()
	for _, it := range f.core.Inbox(ProviderSMTP, "") {
		if it.Seq <= e.before && time.Since(it.At) < eventReplay {
			e.report(it)
		}
	}
}

// withCallbacks keeps the course of a message in its fields.
func withCallbacks(fields map[string]string, a Answer) map[string]string {
	fields = maps.Clone(fields)
	fields[fieldCallbacks] = "delivered"
	if a.Callbacks != nil {
		fields[fieldCallbacks] = strings.Join(a.Callbacks, ",")
	}
	return fields
}

// report sends the events of an accepted message in the background.
func (e *relayEvents) report(it Item) {
	course := it.Fields[fieldCallbacks]
	e.mu.Lock()
	defer e.mu.Unlock()
	if course == "" || e.url == "" || e.closed {
		return
	}
	e.wg.Go(func() {
		for _, step := range strings.Split(course, ",") {
			if !pauseEvents(e.core.ctx, e.core.opts.CallbackDelay) {
				return
			}
			name, status, _ := strings.Cut(step, ":")
			e.send(RelayEvent{
				Event: name, Status: status, Recipient: it.Recipient,
				MessageID: strings.Trim(it.Fields["message-id"], "<>"),
			})
		}
	})
}

// send posts one event until it is taken or a minute is over.
func (e *relayEvents) send(event RelayEvent) {
	body, _ := json.Marshal(event) // strings only: cannot fail
	ctx, cancel := context.WithTimeout(e.core.ctx, eventGiveUp)
	defer cancel()
	for {
		if e.post(ctx, body) || !pauseEvents(ctx, eventRetry) {
			return
		}
	}
}

// post tells whether the receiver took the event.
func (e *relayEvents) post(ctx context.Context, body []byte) bool {
	e.mu.Lock()
	url, secret := e.url, e.secret
	e.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Relay-Signature", hex.EncodeToString(mac.Sum(nil)))
	res, err := e.client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode/100 == 2
}

// wait ends when all reports have ended; the core's context is over by then.
func (e *relayEvents) wait() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.wg.Wait()
	e.client.CloseIdleConnections()
}

// pauseEvents waits; false tells that ctx ended first.
func pauseEvents(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
