package sqs

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

type sendInput struct {
	QueueURL string `json:"QueueUrl"`
	outgoing
}

// sendEntry is a message of a batch.
type sendEntry struct {
	ID string `json:"Id"`
	outgoing
}

// outgoing is a message to send.
type outgoing struct {
	Body             *string          `json:"MessageBody"`
	DelaySeconds     *int             `json:"DelaySeconds"`
	Attributes       map[string]value `json:"MessageAttributes" query:"MessageAttribute,Name,Value"`
	SystemAttributes map[string]value `json:"MessageSystemAttributes" query:"MessageSystemAttribute,Name,Value"`
	DedupID          string           `json:"MessageDeduplicationId"`
	GroupID          string           `json:"MessageGroupId"`
}

// sendOutput is the answer for a message; the Id only in a batch.
type sendOutput struct {
	ID             string `json:"Id,omitempty"`
	MessageID      string `json:"MessageId"`
	BodyMD5        string `json:"MD5OfMessageBody"`
	AttributesMD5  string `json:"MD5OfMessageAttributes,omitempty"`
	SystemMD5      string `json:"MD5OfMessageSystemAttributes,omitempty"`
	SequenceNumber string `json:"SequenceNumber,omitempty"`
}

func (s *service) sendMessage(ctx context.Context, r *awswire.Request, in *sendInput) (*sendOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	if q.Settings.FIFO && in.GroupID == "" {
		return nil, missing("MessageGroupId")
	}
	m, err := s.message(&q.Settings, &in.outgoing)
	if err != nil {
		return nil, err
	}
	sent, err := s.Store.Send(ctx, q.Name, m)
	if err != nil {
		return nil, err
	}
	return in.answer(&q.Settings, &m, sent[0]), nil
}

// message makes a queue's message of an entry.
func (s *service) message(set *queue.Settings, e *outgoing) (m queue.Message, err error) {
	if e.Body == nil || *e.Body == "" {
		return m, missing("MessageBody")
	}
	if !allowed(*e.Body) {
		return m, refuse(http.StatusBadRequest, "InvalidMessageContents", "%s", badCharacters)
	}
	size, err := checkAttributes(e.Attributes)
	if err != nil {
		return m, err
	}
	if most, _ := strconv.Atoi(s.known["MaximumMessageSize"].show(set)); size+len(*e.Body) > most {
		return m, invalid("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", most)
	}
	c := content{Attributes: e.Attributes}
	if c.Trace, err = systemAttributes(e.SystemAttributes); err != nil {
		return m, err
	}
	m = queue.Message{Body: []byte(*e.Body), Group: e.GroupID, DedupID: e.DedupID}
	if m.Attributes, err = c.pack(); err != nil {
		return m, err
	}
	if err := checkIDs(set, e); err != nil {
		return m, err
	}
	m.Delay, err = delay(set, e.DelaySeconds)
	return m, err
}

var fifoID = regexp.MustCompile("^[A-Za-z0-9!\"#$%&'()*+,./:;<=>?@\\[\\\\\\]^_`{|}~-]{1,128}$")

// checkIDs checks the group and the deduplication id. On a standard queue the
// group is a tenant, and there is no deduplication:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
func checkIDs(set *queue.Settings, e *outgoing) error {
	for _, f := range []struct{ name, text string }{{"MessageGroupId", e.GroupID}, {"MessageDeduplicationId", e.DedupID}} {
		if f.text != "" && !fifoID.MatchString(f.text) {
			return invalidValue(f.name, f.text, f.name+" can only include alphanumeric and punctuation characters. 1 to 128 in length.")
		}
	}
	if !set.FIFO && e.DedupID != "" {
		return notOfType("MessageDeduplicationId", e.DedupID)
	}
	return needIDs(set, e)
}

// needIDs tells what a message for a FIFO queue lacks. In a batch it refuses
// the whole request.
func needIDs(set *queue.Settings, e *outgoing) error {
	switch {
	case set.FIFO && e.GroupID == "":
		return invalid("The request must contain the parameter MessageGroupId.")
	case set.FIFO && e.DedupID == "" && !set.ContentDedup:
		return invalid("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// delay is the engine's for DelaySeconds: none given is the queue's, 0 is none.
func delay(set *queue.Settings, n *int) (time.Duration, error) {
	switch {
	case n == nil || set.FIFO && *n == 0:
		return 0, nil
	case *n < 0 || *n > 900:
		return 0, invalidValue("DelaySeconds", *n, "DelaySeconds must be >= 0 and <= 900.")
	case set.FIFO:
		return 0, notOfType("DelaySeconds", *n)
	case *n == 0:
		return -1, nil
	}
	return time.Duration(*n) * time.Second, nil
}

func (e *outgoing) answer(set *queue.Settings, m *queue.Message, sent queue.Sent) *sendOutput {
	out := &sendOutput{
		MessageID: sent.ID.String(), BodyMD5: bodyMD5(m.Body),
		AttributesMD5: attributesMD5(e.Attributes), SystemMD5: attributesMD5(e.SystemAttributes),
	}
	if set.FIFO {
		out.SequenceNumber = sequence(sent.Sequence)
	}
	return out
}

// sequence is a sequence number as AWS writes them: 20 digits, growing.
func sequence(n uint64) string { return fmt.Sprintf("%020d", n) }
