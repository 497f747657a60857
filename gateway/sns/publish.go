package sns

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// maxMessage is the most bytes of a message, or a batch of them, with attributes.
const maxMessage = 256 << 10

// message is what Publish and an entry of PublishBatch have in common.
type message struct {
	Message                string               `json:"Message"`
	Subject                *string              `json:"Subject"`
	MessageStructure       string               `json:"MessageStructure"`
	MessageAttributes      map[string]attribute `json:"MessageAttributes" query:"MessageAttributes.entry,Name,Value"`
	MessageDeduplicationID string               `json:"MessageDeduplicationId"`
	MessageGroupID         string               `json:"MessageGroupId"`
}

type publishIn struct {
	TopicArn    *string `json:"TopicArn"`
	TargetArn   string  `json:"TargetArn"`
	PhoneNumber string  `json:"PhoneNumber"`
	message
}

type publishOut struct {
	MessageID      string `json:"MessageId"`
	SequenceNumber string `json:"SequenceNumber,omitempty"`
}

// publish answers once the message is durable. When it matched at most
// topics.Options.Matches subscriptions (for a FIFO topic: always), it is in the
// queues of this gateway by then; beyond, the rest of the audience follows.
func (s *service) publish(ctx context.Context, r *awswire.Request, in *publishIn) (*publishOut, error) {
	m := &in.message
	if err := m.check(0); err != nil {
		return nil, err
	}
	if m.size() > maxMessage {
		return nil, invalid("Message too long")
	}
	req, err := s.target(r, in)
	if err != nil {
		return nil, err
	}
	if err := s.fill(&req, m); err != nil {
		return nil, err
	}
	return s.send(ctx, req)
}

func (s *service) send(ctx context.Context, req topics.Request) (*publishOut, error) {
	p, _, err := s.Topics.Publish(ctx, req)
	switch {
	case errors.Is(err, queue.ErrDiskFull):
		return nil, fault("Throttled", http.StatusTooManyRequests, "The gateway's disk is nearly full: who runs it can free space, or lower what must stay free (store.min_free, store.max_used).")
	case err != nil && req.To != nil && req.To.Protocol == topics.SMS:
		return nil, wordFor(err, "PhoneNumber")
	case err != nil:
		return nil, wordFor(err, "Message")
	}
	out := &publishOut{MessageID: p.ID.String()}
	if req.DedupID != "" {
		out.SequenceNumber = sequenceNumber(p.ID)
	}
	return out, nil
}

// sequenceNumber of a publish to a FIFO topic: 20 digits that grow within a group.
func sequenceNumber(id queue.ID) string {
	return fmt.Sprintf("%013d%07d", id.Time().UnixMilli(), binary.BigEndian.Uint32(id[8:12])&(1<<24-1))
}

var phoneNumber = regexp.MustCompile(`^\+[1-9]\d{1,14}$`)

// maxSMS is the most characters of a text message to one number.
// https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html
const maxSMS = 1600

// target finds out what is published to.
func (s *service) target(r *awswire.Request, in *publishIn) (topics.Request, error) {
	parameter, arn := "TargetArn", in.TargetArn
	if in.TopicArn != nil && (*in.TopicArn != "" || arn == "") {
		parameter, arn = "TopicArn", *in.TopicArn
	}
	req := topics.Request{Owner: s.owner(r), Trace: r.Trace}
	switch {
	case in.PhoneNumber != "" && arn == "":
		if !phoneNumber.MatchString(in.PhoneNumber) {
			return req, invalid("PhoneNumber Reason: " + in.PhoneNumber + " is not valid to publish to")
		}
		if utf8.RuneCountInString(in.Message) > maxSMS {
			return req, invalid(fmt.Sprintf("Message Reason: a text message must be at most %d characters", maxSMS))
		}
		req.To = &topics.Target{Protocol: topics.SMS, Endpoint: in.PhoneNumber}
		return req, nil
	case arn == "" && in.TopicArn != nil:
		_, err := elements(parameter, arn)
		return req, err
	case arn == "":
		return req, invalid("TopicArn or TargetArn Reason: no value for required parameter")
	case in.PhoneNumber != "" || parameter == "TopicArn" && in.TargetArn != "":
		return req, invalid(parameter + " Reason: Only one of TopicArn, TargetArn and PhoneNumber may be given")
	case parameter == "TargetArn" && strings.Contains(arn, ":endpoint/"):
		return s.device(r, req, arn)
	}
	o, name, err := s.topicName(r, parameter, arn)
	req.Owner, req.Topic = o, name
	return req, err
}

// device makes a request one to a platform endpoint.
func (s *service) device(r *awswire.Request, req topics.Request, arn string) (topics.Request, error) {
	const parameter = "TargetArn"
	path, o, err := s.pushARN(r, parameter, arn)
	if err != nil {
		return req, err
	}
	to, err := s.pushTarget(o, path)
	if err == nil {
		err = s.publishable(o, to)
	}
	if errors.Is(err, errNoEndpoint) || errors.Is(err, topics.ErrNotFound) {
		err = invalid(parameter + " Reason: No endpoint found for the target arn specified")
	}
	req.Owner, req.To = o, &to
	return req, err
}

// fill gives a request its content.
func (s *service) fill(req *topics.Request, m *message) error {
	req.Message, req.Attributes = m.Message, m.attributes()
	if m.Subject != nil {
		req.Subject = *m.Subject
	}
	if m.MessageStructure == "json" {
		if err := m.byProtocol(req); err != nil {
			return err
		}
	}
	if req.To != nil {
		return s.direct(req, m)
	}
	topic, err := s.Topics.Topic(req.Owner, req.Topic)
	if err != nil {
		return wordFor(err, "TopicArn")
	}
	return m.order(req, &topic)
}

// direct gives a request what it needs to go to one endpoint.
func (s *service) direct(req *topics.Request, m *message) (err error) {
	if m.MessageDeduplicationID != "" {
		return errNoDedup()
	}
	req.Face = Face
	switch req.To.Protocol {
	case topics.SMS:
		req.Lane, err = s.smsLane(req.Owner, m)
	case topics.Application:
		err = checkPayload(req)
	}
	return err
}

func errNoDedup() error {
	return invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
}

// order sets what FIFO topics need and checks that others do without.
func (m *message) order(req *topics.Request, topic *topics.Topic) error {
	req.Group = m.MessageGroupID
	if !isFIFO(topic.Name) {
		if m.MessageDeduplicationID != "" {
			return errNoDedup()
		}
		return nil
	}
	req.DedupID, req.DedupPerGroup = m.MessageDeduplicationID, topic.Attributes["FifoThroughputScope"] == "MessageGroup"
	switch {
	case m.MessageGroupID == "":
		return invalid("The MessageGroupId parameter is required for FIFO topics")
	case req.DedupID == "" && topic.Attributes["ContentBasedDeduplication"] == "true":
		sum := sha256.Sum256([]byte(m.Message))
		req.DedupID = hex.EncodeToString(sum[:])
	case req.DedupID == "":
		return invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// printable is what ids of groups and deduplication may be.
var printable = regexp.MustCompile("^[!-~]{1,128}$")

// check checks a message by itself; position is its place in a batch from 1,
// or 0.
func (m *message) check(position int) error {
	switch {
	case m.Message == "":
		return invalid("Empty message")
	case !utf8.ValidString(m.Message):
		return invalid("Message Reason: must be UTF-8")
	case m.Subject != nil && !goodSubject(*m.Subject):
		return invalid("Subject")
	case m.MessageStructure != "" && m.MessageStructure != "json":
		return invalid("MessageStructure")
	case m.MessageGroupID != "" && !printable.MatchString(m.MessageGroupID):
		return invalid("MessageGroupId Reason: must be 1 to 128 letters, digits and punctuation")
	case m.MessageDeduplicationID != "" && !printable.MatchString(m.MessageDeduplicationID):
		return invalid("MessageDeduplicationId Reason: must be 1 to 128 letters, digits and punctuation")
	}
	return checkAttributes(m.MessageAttributes, position)
}

// goodSubject tells whether a subject may be one: up to 100 characters, none of
// which ends a line or controls anything.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func goodSubject(text string) bool {
	return text != "" && utf8.ValidString(text) && utf8.RuneCountInString(text) <= 100 &&
		!strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
