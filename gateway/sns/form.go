package sns

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Signer signs envelopes. Its methods are safe for concurrent use.
type Signer interface {
	// Sign gives the signature of a text in base64: of SignatureVersion "1" by
	// RSA with SHA-1, of "2" with SHA-256.
	Sign(version, canonical string) string
	// CertURL is where the certificate is, below a gateway's address.
	CertURL(base string) string
}

// FormOptions configure NewForm.
type FormOptions struct {
	// URL is the gateway's address, in which links begin.
	URL    string
	Signer Signer
	// Region is Options.Region.
	Region string
	// Topic looks a topic up: its SignatureVersion counts.
	Topic func(o topics.Owner, name string) (topics.Topic, error)
}

// Form gives messages the form SNS gives them.
type Form struct {
	FormOptions
	names
}

// NewForm makes a Form. Its Face is for topics.Options.Faces, named Face.
func NewForm(o FormOptions) *Form {
	o.URL = strings.TrimRight(o.URL, "/")
	if o.Region == "" {
		o.Region = defaultRegion
	}
	return &Form{o, names(o.Region)}
}

// envelope is a message of SNS to a machine.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
type envelope struct {
	Type              string
	MessageID         string `json:"MessageId"`
	SequenceNumber    string `json:",omitempty"`
	Replayed          string `json:",omitempty"` // "true": from the archive
	Token             string `json:",omitempty"`
	TopicArn          string
	Subject           string `json:",omitempty"`
	Message           string
	SubscribeURL      string `json:",omitempty"`
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string
	UnsubscribeURL    string                        `json:",omitempty"`
	MessageAttributes map[string]envelopedAttribute `json:",omitempty"`
}

type envelopedAttribute struct{ Type, Value string }

// The types of envelopes.
const (
	notification = "Notification"
	confirmation = "SubscriptionConfirmation"
)

// canonical is what is signed: names and values in the order of the names.
// https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html
func (e *envelope) canonical() string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" {
			b.WriteString(name + "\n" + value + "\n")
		}
	}
	add("Message", e.Message)
	add("MessageId", e.MessageID)
	add("Subject", e.Subject)
	add("SubscribeURL", e.SubscribeURL)
	add("Timestamp", e.Timestamp)
	add("Token", e.Token)
	add("TopicArn", e.TopicArn)
	add("Type", e.Type)
	return b.String()
}

// render signs an envelope and gives its bytes.
func (f *Form) render(e envelope, o topics.Owner, topic string) []byte {
	e.SignatureVersion = "1"
	if t, err := f.Topic(o, topic); err == nil && t.Attributes["SignatureVersion"] == "2" {
		e.SignatureVersion = "2"
	}
	e.Signature, e.SigningCertURL = f.Signer.Sign(e.SignatureVersion, e.canonical()), f.Signer.CertURL(f.URL)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(e) // strings: cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Face is topics.Face.
func (f *Form) Face(d *channels.Delivery, p topics.Publish, s topics.Subscription) {
	switch s.Protocol {
	case topics.SQS, topics.HTTP, topics.HTTPS:
		f.machine(d, &p, &s)
	case topics.Lambda: // the channel makes SNS's event of these
		d.Topic, d.Subscription, d.UnsubscribeURL = f.topicARN(p.Owner, p.Topic), f.subscriptionARN(p.Owner, p.Topic, s.ID), f.unsubscribeURL(&p, &s)
	case topics.Email:
		if s.Attributes[keptProtocol] == emailJSON {
			d.Content.Text, d.Content.HTML = string(f.notification(d, &p, &s)), ""
		}
	}
}

func (f *Form) machine(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) {
	d.Content.ContentType = textPlain
	if s.Protocol != topics.SQS {
		d.Content.Headers = map[string]string{
			headerType: notification, headerID: p.ID.WithOrdinal(0).String(), headerTopic: f.topicARN(p.Owner, p.Topic),
			headerSubscription: f.subscriptionARN(p.Owner, p.Topic, s.ID),
		}
		if s.Raw {
			d.Content.Headers[headerRaw] = "true"
		}
	}
	if s.Raw {
		d.Content.Payload = []byte(d.Content.Text)
		return
	}
	d.Content.Payload = f.notification(d, p, s)
	d.Attributes = nil // they are in it
}

// The headers of SNS.
// https://docs.aws.amazon.com/sns/latest/dg/http-header.html
const (
	headerType         = "x-amz-sns-message-type"
	headerID           = "x-amz-sns-message-id"
	headerTopic        = "x-amz-sns-topic-arn"
	headerSubscription = "x-amz-sns-subscription-arn"
	headerRaw          = "x-amz-sns-rawdelivery"
)

func (f *Form) notification(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) []byte {
	e := envelope{
		Type: notification, MessageID: p.ID.WithOrdinal(0).String(), TopicArn: f.topicARN(p.Owner, p.Topic), Subject: d.Content.Subject,
		Message: d.Content.Text, Timestamp: timestamp(p.Created), UnsubscribeURL: f.unsubscribeURL(p, s),
	}
	if isFIFO(p.Topic) {
		e.SequenceNumber = sequenceNumber(p.ID)
	}
	if p.Original != nil {
		e.Replayed = "true"
	}
	if len(d.Attributes) > 0 {
		e.MessageAttributes = make(map[string]envelopedAttribute, len(d.Attributes))
		for name, a := range d.Attributes {
			e.MessageAttributes[name] = envelopedAttribute(a)
		}
	}
	return f.render(e, p.Owner, p.Topic)
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (f *Form) unsubscribeURL(p *topics.Publish, s *topics.Subscription) string {
	if s.ID == (queue.ID{}) {
		return ""
	}
	return f.link(url.Values{"Action": {"Unsubscribe"}, "SubscriptionArn": {f.subscriptionARN(p.Owner, p.Topic, s.ID)}, "Token": {s.Token}})
}

// link is an action by GET that needs no signature.
func (f *Form) link(form url.Values) string { return f.URL + "/?" + form.Encode() }
