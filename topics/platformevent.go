package topics

import (
	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// What can happen to a platform endpoint.
const (
	PlatformEndpointCreated = "created"
	PlatformEndpointUpdated = "updated"
	PlatformEndpointDeleted = "deleted"
	PlatformDeliveryFailed  = "failed" // for good
)

// PlatformEvent is what happened to a platform endpoint. The application's owner
// can have it published to a topic.
type PlatformEvent struct {
	What     string
	Endpoint string // Path
	// Of a failed delivery: its publish, the attempts made, and why. Kind is that
	// of the last one; Reason why none was made, if so.
	Publish queue.ID
	Tries   int
	Kind    channels.Kind
	Reason  string
	Expired bool // there was no time left for it
}

// notePlatform adds an event to a batch of the registry, if the application's
// owner wants it.
func (t *Topics) notePlatform(b *queue.Batch, o Owner, app *PlatformApplication, e PlatformEvent) {
	if n := t.platformNotice(o, app, e); n.Topic != "" {
		put(b, t.newNoteKey(), noted{Owner: o, Notice: n})
	}
}

// Notice is what the gateway itself publishes to a topic of somebody's.
type Notice struct {
	Topic   string `json:"topic,omitempty"` // "" for none
	Subject string `json:"subject,omitempty"`
	Message string `json:"message,omitempty"`
}

func (t *Topics) platformNotice(o Owner, app *PlatformApplication, e PlatformEvent) Notice {
	if t.PlatformEvents == nil {
		return Notice{}
	}
	return t.PlatformEvents(o, app, e)
}

// tellFailed adds the event of a delivery that failed for good to the batch that
// says so. What fails of such an event's own publish is not told.
func (t *Topics) tellFailed(b *queue.Batch, id queue.ID, r *deliveryRecord, o channels.Outcome) {
	if r.Protocol != Application {
		return
	}
	l, err := t.load(id)
	if err != nil || l.Notice {
		return
	}
	s, v := t.stored(l, r)
	platform, name, _, ok := platformPath(s.Protocol, s.Endpoint)
	if v.Action != channels.Send || !ok {
		return
	}
	app, err := t.PlatformApplication(l.Owner, platform, name)
	if err != nil {
		return // with its application went who wanted to know
	}
	e := PlatformEvent{What: PlatformDeliveryFailed, Endpoint: s.Endpoint, Publish: id.WithOrdinal(0), Tries: r.Try, Reason: o.Verdict.Reason, Expired: o.Verdict.Action == channels.Expire}
	if o.Err != nil {
		e.Kind = o.Err.Kind
	}
	if n := t.platformNotice(l.Owner, &app, e); n.Topic != "" {
		t.tell(b, id.Shard(), l.Owner, n.Topic, content{Subject: n.Subject, Message: n.Message})
	}
}
