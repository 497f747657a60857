package function

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/fanfare-gateway/fanfare/channels"
)

// DeliveryAttribute is the message attribute that holds the delivery's id, next
// to the publisher's own attributes.
const DeliveryAttribute = "fanfare-delivery-id"

// event is what SNS sends to a function.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
type event struct {
	Records []record
}

type record struct {
	EventSource          string
	EventVersion         string
	EventSubscriptionArn string
	Sns                  notification
}

// notification is one message. Nothing is signed: only those who may invoke the
// function can call it. The signature's fields are there, and empty, for code
// that reads them.
type notification struct {
	Type              string
	MessageID         string `json:"MessageId"` // of the publish, as the publisher was told
	TopicArn          string
	Subject           *string
	Message           string
	Timestamp         string
	SignatureVersion  string
	Signature         string
	SigningCertURL    string `json:"SigningCertUrl"`
	UnsubscribeURL    string `json:"UnsubscribeUrl"`
	MessageAttributes map[string]attribute
}

type attribute struct {
	Type, Value string
}

// snsEvent is the payload of a delivery that brings none of its own.
func snsEvent(d channels.Delivery) []byte {
	n := notification{
		Type: "Notification", MessageID: d.Publish.String(), TopicArn: d.Topic, Message: d.Content.Text,
		Timestamp:         d.PublishedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		SignatureVersion:  "1",
		UnsubscribeURL:    d.UnsubscribeURL,
		MessageAttributes: map[string]attribute{DeliveryAttribute: {"String", d.ID.Hex()}},
	}
	if d.Content.Subject != "" {
		n.Subject = &d.Content.Subject
	}
	for name, a := range d.Attributes {
		n.MessageAttributes[name] = attribute(a)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a text would grow sixfold at worst, and count as too large
	err := enc.Encode(event{Records: []record{{
		EventSource: "aws:sns", EventVersion: "1.0", EventSubscriptionArn: d.Subscription, Sns: n,
	}}})
	if err != nil {
		panic(fmt.Sprintf("encode event: %v", err)) // strings only
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
