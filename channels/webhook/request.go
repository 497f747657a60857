package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
)

// The headers of Standard Webhooks, spelt as in the specification.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// envelope is the body of a delivery without a payload of its own.
type envelope struct {
	Type       string                        `json:"type"`
	ID         string                        `json:"id"`
	PublishID  string                        `json:"publish_id"`
	Topic      string                        `json:"topic"`
	Subject    string                        `json:"subject"`
	Message    string                        `json:"message"`
	Attributes map[string]channels.Attribute `json:"attributes"`
	Timestamp  time.Time                     `json:"timestamp"`
}

// request builds the one request of an attempt.
func (c *Channel) request(ctx context.Context, d *channels.Delivery) (*http.Request, error) {
	u, err := parse(d.Endpoint)
	if err != nil {
		return nil, &refusal{"bad_endpoint", err}
	}
	body, contentType, err := render(d)
	if err != nil {
		return nil, err
	}
	header, err := c.header(d, contentType, body)
	if err != nil {
		return nil, err
	}
	req := (&http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		// Never http.NoBody: net/http would send a POST without body again when
		// the publisher's headers hold an Idempotency-Key.
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}).WithContext(ctx)
	return req, nil
}

// messageID is the delivery's id as receivers see it, the same on every try.
func messageID(d *channels.Delivery) string { return "dlv_" + d.ID.Hex() }

// render is the body with its content type.
func render(d *channels.Delivery) ([]byte, string, error) {
	if d.Content.Payload != nil {
		if d.Content.ContentType != "" {
			return d.Content.Payload, d.Content.ContentType, nil
		}
		return d.Content.Payload, "application/json", nil
	}
	e := envelope{
		Type: "notification", ID: messageID(d), PublishID: "pub_" + d.Publish.Hex(), Topic: d.Topic,
		Subject: d.Content.Subject, Message: d.Content.Text,
		Attributes: d.Attributes, Timestamp: d.PublishedAt.UTC(),
	}
	if e.Attributes == nil {
		e.Attributes = map[string]channels.Attribute{}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, "", fmt.Errorf("render envelope: %w", err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), "application/json", nil
}

// header is everything but Host and Content-Length.
func (c *Channel) header(d *channels.Delivery, contentType string, body []byte) (http.Header, error) {
	h := http.Header{}
	for name, value := range d.Content.Headers {
		if !validHeader(name, value) {
			return nil, refuse("bad_header", "a header of the message has characters that are not allowed")
		}
		if !reserved(name) {
			h.Set(name, value)
		}
	}
	if !validHeader("Content-Type", contentType) {
		return nil, refuse("bad_header", "the content type has characters that are not allowed")
	}
	h.Set("Content-Type", contentType)
	if agent := d.Content.Agent; agent != "" {
		if !validHeader("User-Agent", agent) {
			return nil, refuse("bad_header", "the agent has characters that are not allowed")
		}
		h.Set("User-Agent", agent)
		h.Set("Accept-Encoding", "gzip,deflate") // as SNS asks; the answer is only counted
		return h, nil
	}
	h.Set("User-Agent", "Fanfare")
	// Asking for no compression, so that the bound on the answer's body is one
	// on the work of reading it.
	h.Set("Accept-Encoding", "identity")
	now := time.Now()
	id := messageID(d)
	h[headerID] = []string{id}
	h[headerTimestamp] = []string{strconv.FormatInt(now.Unix(), 10)}
	if len(d.Secrets) == 0 {
		return h, nil
	}
	signature, err := Sign(id, now, body, d.Secrets...)
	if err != nil {
		return nil, &refusal{"bad_secret", err}
	}
	h[headerSignature] = []string{signature}
	return h, nil
}

// reserved tells whether a header is the channel's or the connection's own, so
// that a message cannot set it.
func reserved(name string) bool {
	name = textproto.CanonicalMIMEHeaderKey(name)
	switch name {
	case "Host", "Content-Type", "Content-Length", "User-Agent", "Accept-Encoding",
		"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Trailer", "Upgrade", "Expect":
		return true
	}
	return strings.HasPrefix(name, "Webhook-")
}

// validHeader checks name and value by RFC 9110 sections 5.1 and 5.5.
func validHeader(name, value string) bool {
	const mark = "!#$%&'*+-.^_`|~"
	for _, r := range name {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && !strings.ContainsRune(mark, r) {
			return false
		}
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	return name != "" && !strings.ContainsFunc(value, control)
}
