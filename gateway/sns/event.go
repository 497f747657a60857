package sns

import (
	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// event is what SNS invokes a function with.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
type event struct {
	Records []record
}

type record struct {
	EventSource          string
	EventVersion         string
	EventSubscriptionArn string
	Sns                  eventMessage
}

// eventMessage is an envelope in the spelling of events.
type eventMessage struct {
	Type              string
	MessageID         string `json:"MessageId"`
	TopicArn          string
	Subject           *string
	Message           string
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string `json:"SigningCertUrl"`
	UnsubscribeURL    string `json:"UnsubscribeUrl"`
	MessageAttributes map[string]envelopedAttribute
}

func (f *Form) event(d *channels.Delivery, p *topics.Publish, s *topics.Subscription) []byte {
	e := f.envelope(d, p, s)
	m := eventMessage{
		Type: e.Type, MessageID: e.MessageID, TopicArn: e.TopicArn, Message: e.Message, Timestamp: e.Timestamp,
		SignatureVersion: e.SignatureVersion, Signature: e.Signature, SigningCertURL: e.SigningCertURL,
		UnsubscribeURL: e.UnsubscribeURL, MessageAttributes: e.MessageAttributes,
	}
	if e.Subject != "" {
		m.Subject = &e.Subject
	}
	if m.MessageAttributes == nil {
		m.MessageAttributes = map[string]envelopedAttribute{}
	}
	return encoded(event{[]record{{
		EventSource: "aws:sns", EventVersion: "1.0", EventSubscriptionArn: f.subscriptionARN(p.Owner, p.Topic, s.ID), Sns: m,
	}}})
}
