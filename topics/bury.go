package topics

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// What AWS notes on a message in a subscription's dead-letter queue.
// https://repost.aws/knowledge-center/sns-sqs-subscriptions-notifications
const (
	attributeRequest = "RequestID"
	attributeCode    = "ErrorCode"
	attributeMessage = "ErrorMessage"
)

// The code of a delivery to a queue of this gateway that is not there, and what
// SQS calls it.
const (
	noQueue        = "no_queue"
	noQueueCode    = "AWS.SimpleQueueService.NonExistentQueue"
	noQueueMessage = "The specified queue does not exist or you do not have access to it."
)

// buryFailed is bury for a delivery that failed some time after its publish.
func (t *Topics) buryFailed(b *queue.Batch, l *loaded, id queue.ID, r *deliveryRecord) {
	if r.Sub.IsZero() {
		return
	}
	s, _, err := get[Subscription](t.store, queue.Registry, subscriptionKey(l.Owner, l.Topic, r.Sub))
	switch {
	case err == nil:
		t.bury(b, l, s, id, r)
	case !errors.Is(err, ErrNotFound):
		t.log.Error("dead-letter queue of a subscription could not be read", "delivery", id, "error", err)
	}
}

// bury adds a failed delivery to its subscription's dead-letter queue, if that
// has one, in the batch in which it fails. A delivery goes there once, whatever
// a redrive makes of it later. A queue that was deleted meanwhile is passed over.
func (t *Topics) bury(b *queue.Batch, l *loaded, s Subscription, id queue.ID, r *deliveryRecord) {
	if s.DeadLetterQueue == "" || r.Buried {
		return
	}
	m := t.deadLetter(l, s, id, r)
	_, err := t.store.Queue(s.DeadLetterQueue)
	if err == nil && len(m.Body)+len(m.Attributes) > queue.MaxMessage {
		err = fmt.Errorf("%w: larger than %d bytes", queue.ErrInvalid, queue.MaxMessage)
	}
	result := buriedInQueue
	if err == nil {
		r.Buried = true
		b.Send(s.DeadLetterQueue, m)
	} else {
		t.log.Warn("a failed delivery cannot go to its subscription's dead-letter queue", "delivery", id, "queue", s.DeadLetterQueue, "error", err)
		result = buriedNowhere
	}
	b.After(func() { t.m.buried.WithLabelValues(accountProtocol(r.Protocol), result).Inc() })
}

// deadLetter is what the queue gets: what the subscription would have got, and
// why it did not.
func (t *Topics) deadLetter(l *loaded, s Subscription, id queue.ID, r *deliveryRecord) queue.Message {
	d := t.queueCopy(&l.Publish, &l.content, s, id)
	attributes := maps.Clone(d.Attributes)
	if attributes == nil {
		attributes = map[string]channels.Attribute{}
	}
	code, message := cmp.Or(r.Code, r.Kind), strings.TrimPrefix(r.Kind+": "+r.Reason, ": ")
	if r.Code == noQueue {
		code, message = noQueueCode, noQueueMessage
	}
	for name, value := range map[string]string{attributeRequest: id.String(), attributeCode: code, attributeMessage: message} {
		attributes[name] = channels.Attribute{Type: "String", Value: value}
	}
	// Not the publisher's deduplication id: the queue may be that of several
	// subscriptions or topics, and would keep the first one's dead letter only.
	return queue.Message{Group: l.content.Group, DedupID: id.Hex(), Body: d.Content.Payload, Attributes: queueAttributes(attributes, l.content.Trace)}
}
