package topics

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// PublishName and DeliveryName are the native forms of ids.
func PublishName(id queue.ID) string { return "pub_" + id.WithOrdinal(0).Hex() }

// DeliveryName is a delivery's id as the native API and webhooks show it.
func DeliveryName(id queue.ID) string { return "dlv_" + id.Hex() }

// SubscriptionName is the native form of a subscription's id.
func SubscriptionName(id queue.ID) string { return "sub_" + id.Hex() }

func statusCode(status int) string { return strconv.Itoa(status) }

// render makes the delivery a channel sends.
func (t *Topics) render(l *loaded, s Subscription, e channels.Entry, try int) (channels.Delivery, error) {
	link := t.unsubscribeURL(l.Publish, s, e.ID)
	c, err := t.contentFor(l, s.Protocol, link)
	if err != nil {
		return channels.Delivery{}, err
	}
	shown := l.shown()
	d := channels.Delivery{
		ID: e.ID, Publish: shown.ID, Try: try, Topic: l.Topic, Endpoint: s.Endpoint, Lane: l.Lane, UnsubscribeURL: link,
		PublishedAt: shown.Created, Expires: l.ExpiresAt, Content: c, Attributes: l.content.Attributes,
		Group: l.content.Group, CollapseID: l.content.CollapseID, Secrets: s.Secrets,
	}
	if !s.ID.IsZero() {
		d.Subscription = SubscriptionName(s.ID)
	}
	t.form(&d, l, s)
	if info, ok := t.Accounts.Account(e.Account); ok && t.CallbackURL != nil {
		d.CallbackURL = t.CallbackURL(info, e.ID, try)
	}
	return d, nil
}

// unsubscribeURL is the link a mail carries to end what it came by; "" for none.
func (t *Topics) unsubscribeURL(p Publish, s Subscription, id queue.ID) string {
	if s.Protocol != Email || !t.offersUnsubscribe(p.Topic, p.Lane) {
		return ""
	}
	return t.UnsubscribeURL(p.Owner, id, Suppression{Protocol: Email, Endpoint: s.Endpoint}.only(p))
}

// offersUnsubscribe tells which mails carry an unsubscribe link: those of a
// list, that is of a topic, and those published to an address itself in lane
// bulk. Marketing and subscribed messages must offer one
// (https://support.google.com/mail/answer/81126, for more than 5,000 a day);
// what its recipient asked for, a receipt or a password reset, is neither
// (https://support.google.com/a/answer/15263077), and somebody who ended the
// receipts by mistake would miss them. In lane critical nothing offers one: a
// one-time password or an alarm must not be lost to a click in a mail program.
func (t *Topics) offersUnsubscribe(topic string, lane channels.Lane) bool {
	return t.UnsubscribeURL != nil && (lane == channels.Bulk || lane == channels.Transactional && topic != "")
}

func machine(protocol string) bool {
	switch protocol {
	case HTTP, HTTPS, SQS, Lambda:
		return true
	}
	return false
}

// templateChannel is the name templates know a protocol's parts by.
func templateChannel(protocol string) string {
	switch protocol {
	case Application:
		return "push"
	case HTTP, HTTPS:
		return "webhook"
	case SQS:
		return "queue"
	case Lambda:
		return "function"
	}
	return protocol
}

// contentFor is what a publish says on one protocol, with an unsubscribe link
// or "".
func (t *Topics) contentFor(l *loaded, protocol, link string) (channels.Content, error) {
	c := channels.Content{Subject: l.content.Subject, Text: l.content.Message, HTML: l.content.HTML}
	if l.template != nil {
		out, err := l.template.Render(templateChannel(protocol), withLink(l.content.Data, link))
		if err != nil {
			return c, err
		}
		c.Subject, c.Text, c.HTML = out.Subject, out.Text, out.HTML
	}
	o, ok := l.content.Overrides[protocol]
	if !ok {
		return c, nil
	}
	if o.Subject != "" {
		c.Subject = o.Subject
	}
	if o.Message != "" {
		c.Text = o.Message
	}
	if o.HTML != "" {
		c.HTML = o.HTML
	}
	if o.Payload != nil {
		c.Payload, c.ContentType, c.Headers, c.Agent = o.Payload, o.ContentType, o.Headers, o.Agent
	}
	return c, nil
}

// Envelope is what machines get unless their subscription is raw.
type Envelope struct {
	Type       string                        `json:"type"` // always "notification"
	ID         string                        `json:"id"`   // the delivery
	Publish    string                        `json:"publish_id"`
	Topic      string                        `json:"topic,omitempty"`
	Subject    string                        `json:"subject,omitempty"`
	Message    string                        `json:"message"`
	Attributes map[string]channels.Attribute `json:"attributes,omitempty"`
	Timestamp  time.Time                     `json:"timestamp"`
	Replayed   bool                          `json:"replayed,omitempty"` // from the archive: id and time are the original's
}

// payload is the body for a machine and its content type.
func payload(p Publish, c *content, s Subscription, id queue.ID, said channels.Content) ([]byte, string) {
	if s.Raw {
		if json.Valid([]byte(said.Text)) {
			return []byte(said.Text), "application/json"
		}
		return []byte(said.Text), "text/plain; charset=utf-8"
	}
	body, _ := json.Marshal(Envelope{ // strings and times: cannot fail
		Type: "notification", ID: DeliveryName(id), Publish: PublishName(p.ID), Topic: p.Topic, Subject: said.Subject,
		Message: said.Text, Attributes: c.Attributes, Timestamp: p.Created, Replayed: p.Original != nil,
	})
	return body, "application/json"
}

// Face gives a delivery by a subscription it made, or published to directly, its
// own form: the payload with its type and headers, or the names and attributes
// of which the channel makes one. It is handed the delivery with the message's
// attributes, and takes away those that are not to be sent beside the payload;
// and the publish's variants. It may bring the deadline forward: a delivery that
// is behind it then expires.
type Face func(d *channels.Delivery, p Publish, s Subscription, variants map[string]string)

// form gives a delivery the form its receiver wants, unless the publisher gave
// all of it.
func (t *Topics) form(d *channels.Delivery, l *loaded, s Subscription) {
	face := t.Faces[s.Face]
	switch {
	case d.Content.Payload != nil:
		return
	case face != nil:
		face(d, l.shown(), s, l.content.Variants)
		return
	case !machine(s.Protocol):
		return
	}
	d.Content.Payload, d.Content.ContentType = payload(l.shown(), &l.content, s, d.ID, d.Content)
}

// queueCopy is what a queue of this gateway gets: by a subscription of its own,
// or as the dead letter of another.
func (t *Topics) queueCopy(p *Publish, c *content, s Subscription, id queue.ID) channels.Delivery {
	l := &loaded{Publish: *p, content: *c}
	if p.Template != "" {
		tpl, err := t.compiled(p.Owner, p.Template, p.TemplateVersion)
		if err == nil {
			l.template = tpl
		}
	}
	said, err := t.contentFor(l, s.Protocol, "")
	if err != nil {
		// The template was rendered for every channel when the publish was accepted.
		t.log.Error("template failed for a queue", "delivery", id, "error", err)
	}
	shown := p.shown()
	d := channels.Delivery{ID: id, Publish: shown.ID, Topic: p.Topic, PublishedAt: shown.Created, Content: said, Attributes: c.Attributes}
	s.Protocol = SQS
	t.form(&d, l, s)
	if !s.Raw {
		d.Attributes = nil // the envelope has them
	}
	return d
}

// queueAttributes are message attributes, and a trace header, as the SQS face
// keeps them beside a message's body; nil for none.
func queueAttributes(attributes map[string]channels.Attribute, trace string) []byte {
	if len(attributes) == 0 && trace == "" {
		return nil
	}
	type value struct {
		DataType    string
		StringValue string `json:",omitempty"`
		BinaryValue string `json:",omitempty"` // base64, as it is
	}
	all := make(map[string]value, len(attributes))
	for name, a := range attributes {
		if a.Type == "Binary" || strings.HasPrefix(a.Type, "Binary.") {
			all[name] = value{DataType: a.Type, BinaryValue: a.Value}
		} else {
			all[name] = value{DataType: a.Type, StringValue: a.Value}
		}
	}
	beside := map[string]any{}
	if len(all) > 0 {
		beside["a"] = all
	}
	if trace != "" {
		beside["x"] = value{DataType: "String", StringValue: trace}
	}
	text, _ := json.Marshal(beside) // strings: cannot fail
	return text
}
