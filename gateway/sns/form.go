package sns

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Signer signs envelopes. Its methods are safe for concurrent use.
type Signer interface {
	// Sign gives the signature of a text in base64: of SignatureVersion "1" by
	// RSA with SHA-1, of "2" with SHA-256; and where the certificate for it is,
	// below a gateway's address.
	Sign(version, canonical string) (signature, path string)
}

// FormOptions configure NewForm.
type FormOptions struct {
	// URL is the gateway's address, in which links begin.
	URL    string
	Signer Signer
	// Store has what an owner set for SMS.
	Store *queue.Store
	// Region is Options.Region.
	Region string
	// Lax is Options.Lax: unsubscribing asks for no token, so that links have
	// none, as on AWS.
	Lax bool
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
	SignatureVersion  string                        `json:",omitempty"`
	Signature         string                        `json:",omitempty"`
	SigningCertURL    string                        `json:",omitempty"`
	UnsubscribeURL    string                        `json:",omitempty"`
	MessageAttributes map[string]envelopedAttribute `json:",omitempty"`
}

type envelopedAttribute struct{ Type, Value string }

// The types of envelopes.
const (
	notification = "Notification"
	confirmation = "SubscriptionConfirmation"
	unsubscribed = "UnsubscribeConfirmation"
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
	f.sign(&e, o, topic)
	return encoded(e)
}

// sign signs an envelope. What comes from a FIFO topic goes to queues only and
// is not signed, as on AWS.
func (f *Form) sign(e *envelope, o topics.Owner, topic string) {
	if isFIFO(topic) {
		return
	}
	e.SignatureVersion = "1"
	if t, err := f.Topic(o, topic); err == nil && t.Attributes["SignatureVersion"] == "2" {
		e.SignatureVersion = "2"
	}
	signature, path := f.Signer.Sign(e.SignatureVersion, e.canonical())
	e.Signature, e.SigningCertURL = signature, f.URL+path
}

func encoded(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // strings: cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}

// Face is topics.Face.
func (f *Form) Face(d *channels.Delivery, p topics.Publish, s topics.Subscription, variants map[string]string) {
	if variants[structure] != "" && s.Protocol != topics.SMS && s.Protocol != topics.Application {
		// SNS sends attributes with messages of structure String only; filter
		// policies have seen them.
		// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
		d.Attributes = nil
	}
	switch s.Protocol {
	case topics.SQS, topics.HTTP, topics.HTTPS:
		f.machine(d, &p, &s)
	case topics.Lambda:
		d.Content.Payload = f.event(d, &p, &s)
	case topics.SMS:
		d.Sender = f.sender(p.Owner, d.Attributes)
	case topics.Application:
		f.device(d, &s, variants)
	case topics.Email:
		if s.Attributes[keptProtocol] == emailJSON {
			if text, ok := variants[emailJSON]; ok {
				d.Content.Text = text
			}
			d.Content.Text, d.Content.HTML = string(f.notification(d, &p, &s)), ""
		}
	}
}

func (f *Form) machine(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) {
	d.Content.ContentType = textPlain
	if s.Protocol != topics.SQS {
		d.Content.Agent, d.Content.ContentType, d.Timeout = agent, f.contentType(p, s), timeout
		d.Content.Headers = map[string]string{
			headerType: notification, headerID: p.ID.WithOrdinal(0).String(), headerTopic: f.topicARN(p.Owner, p.Topic),
			headerSubscription: f.subscriptionARN(p.Owner, p.Topic, s.ID),
		}
		if s.Raw {
			d.Content.Headers[headerRaw] = "true"
		}
		addLogin(d.Content.Headers, s)
	}
	if s.Raw {
		d.Content.Payload = []byte(d.Content.Text)
		return
	}
	d.Content.Payload = f.notification(d, p, s)
	d.Attributes = nil // they are in it
}

// timeout is how long SNS waits for an http endpoint's answer.
// https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
const timeout = 15 * time.Second

// contentType is what the DeliveryPolicy of a subscription or its topic says.
func (f *Form) contentType(p *topics.Publish, s *topics.Subscription) string {
	topic, err := f.Topic(p.Owner, p.Topic)
	if err != nil {
		return textPlain
	}
	policy, _ := readPolicy(topic.Attributes[delivery], s.Attributes[delivery], s.Raw) // checked when they were set
	if policy.Request == nil {
		return textPlain
	}
	return policy.Request.HeaderContentType
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

func addLogin(headers map[string]string, s *topics.Subscription) {
	if login := s.Attributes[keptLogin]; login != "" {
		headers["Authorization"] = login
	}
}

// agent is SNS's User-Agent: there are receivers that ask for it.
const agent = "Amazon Simple Notification Service Agent"

func (f *Form) notification(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) []byte {
	return encoded(f.envelope(d, p, s))
}

// envelope is a signed notification.
func (f *Form) envelope(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) envelope {
	e := envelope{
		Type: notification, MessageID: p.ID.WithOrdinal(0).String(), TopicArn: f.topicARN(p.Owner, p.Topic), Subject: d.Content.Subject,
		Message: d.Content.Text, Timestamp: timestamp(p.Created), UnsubscribeURL: f.unsubscribeURL(d, p, s),
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
	f.sign(&e, p.Owner, p.Topic)
	return e
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (f *Form) unsubscribeURL(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) string {
	switch {
	case s.ID.IsZero():
		return ""
	case s.Protocol == topics.Email: // whoever looks at mail opens every link: to a page
		return d.UnsubscribeURL
	}
	link := f.URL + "/?Action=Unsubscribe&SubscriptionArn=" + f.subscriptionARN(p.Owner, p.Topic, s.ID)
	if f.Lax {
		return link
	}
	return link + "&Token=" + s.Token
}

// confirmURL is where a GET confirms. It is spelled as AWS does, for there are
// programs that take it apart; nothing in it needs escaping.
func (f *Form) confirmURL(topicARN, token string) string {
	return f.URL + "/?Action=ConfirmSubscription&TopicArn=" + topicARN + "&Token=" + token
}
