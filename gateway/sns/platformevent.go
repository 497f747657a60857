package sns

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/topics"
)

// The attributes that name a topic for events.
// https://docs.aws.amazon.com/sns/latest/dg/application-event-notifications.html
const (
	eventCreated = "EventEndpointCreated"
	eventDeleted = "EventEndpointDeleted"
	eventUpdated = "EventEndpointUpdated"
	eventFailure = "EventDeliveryFailure"
)

// platformEvent is the message of an event. Its members are in the order of their
// names, as AWS's are.
type platformEvent struct {
	DeliveryAttempts *int `json:",omitempty"`
	EndpointArn      string
	EventType        string
	FailureMessage   string `json:",omitempty"`
	FailureType      string `json:",omitempty"`
	MessageID        string `json:"MessageId,omitempty"`
	Resource         string
	Service          string
	Time             string
}

// eventTopic is the topic of an event's attribute; "" if it is none of the owner's.
func (n names) eventTopic(o topics.Owner, arn string) string {
	topic, ok := strings.CutPrefix(arn, n.topicARN(o, ""))
	if !ok || strings.ContainsAny(topic, ":/") {
		return ""
	}
	return topic
}

// PlatformEvents is topics.Options.PlatformEvents.
func (f *Form) PlatformEvents(o topics.Owner, app *topics.PlatformApplication, e topics.PlatformEvent) topics.Notice {
	attribute, kind := eventFailure, "DeliveryFailure"
	switch e.What {
	case topics.PlatformEndpointCreated:
		attribute, kind = eventCreated, "EndpointCreated"
	case topics.PlatformEndpointUpdated:
		attribute, kind = eventUpdated, "EndpointUpdated"
	case topics.PlatformEndpointDeleted:
		attribute, kind = eventDeleted, "EndpointDeleted"
	}
	topic := f.eventTopic(o, app.Attributes[attribute])
	if topic == "" {
		return topics.Notice{}
	}
	m := platformEvent{
		EndpointArn: f.platformEndpointARN(o, e.Endpoint), EventType: kind, Resource: f.applicationARN(o, app.Platform, app.Name),
		Service: "SNS", Time: timestamp(time.Now()),
	}
	if e.What == topics.PlatformDeliveryFailed {
		m.DeliveryAttempts, m.MessageID = &e.Tries, e.Publish.String()
		m.FailureType, m.FailureMessage = failure(&e)
	}
	text, _ := json.Marshal(m) // strings and a number: cannot fail
	return topics.Notice{Topic: topic, Subject: kind + " event for app " + app.Name + " (" + app.Platform + ")", Message: string(text)}
}

// failure is why a delivery failed, in AWS's words where they are known.
func failure(e *topics.PlatformEvent) (kind, message string) {
	switch {
	case e.Tries > 0 && e.Kind == channels.EndpointGone:
		return "InvalidPlatformToken", "Platform token associated with the endpoint is not valid"
	case e.Kind == channels.Rejected:
		return "InvalidNotification", "Notification body is invalid"
	case e.Reason == topics.ReasonDisabled:
		return "EndpointDisabled", "Endpoint is disabled"
	case e.Expired:
		return "NotificationTTLExpired", "Notification time to live expired"
	}
	return "DeliveryFailedPerm", "Delivery failed: " + e.Reason
}
