package sns

import (
	"errors"
	"strings"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// setRedrive checks a RedrivePolicy and notes the queue it names; "" is none.
// The queue must be there, of the subscription's account and region, and FIFO
// where the group of a FIFO topic must be kept.
// https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
func (s *service) setRedrive(o topics.Owner, sub *topics.Subscription, value string) *problem {
	sub.DeadLetterQueue = ""
	if value == "" {
		return nil
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	var unknown unknownMember
	switch err := readStrictly(value, &policy); {
	case errors.As(err, &unknown):
		return wrong("RedrivePolicy: invalid JSON. Attribute " + string(unknown) + " is unknown.")
	case err != nil:
		return wrong("RedrivePolicy: failed to parse JSON.")
	}
	parts := strings.Split(policy.Target, ":")
	switch {
	case !isQueueARN(policy.Target):
		return wrong("RedrivePolicy: deadLetterTargetArn is an invalid arn")
	case isFIFO(sub.Topic) && isFIFO(sub.Endpoint) && !isFIFO(policy.Target):
		return wrong("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
	case !isFIFO(sub.Topic) && isFIFO(policy.Target):
		return wrong("RedrivePolicy: must use a standard queue as DLQ for a Subscription to a standard Topic.")
	case parts[4] != o.Account || parts[3] != s.region(o):
		return wrong("RedrivePolicy: deadLetterTargetArn must be a queue of the subscription's account and region")
	}
	name := topics.QueueName(o, parts[5])
	if _, err := s.Store.Queue(name); errors.Is(err, queue.ErrNotFound) {
		return wrong("RedrivePolicy: the queue of deadLetterTargetArn does not exist")
	}
	sub.DeadLetterQueue = name
	return nil
}
