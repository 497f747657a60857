package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/queue"
)

type receiveInput struct {
	QueueURL       string   `json:"QueueUrl"`
	AttributeNames []string `json:"AttributeNames" query:"AttributeName"`
	SystemNames    []string `json:"MessageSystemAttributeNames" query:"MessageSystemAttributeName"`
	MessageNames   []string `json:"MessageAttributeNames" query:"MessageAttributeName"`
	Max            *int     `json:"MaxNumberOfMessages"`
	Visibility     *int     `json:"VisibilityTimeout"`
	Wait           *int     `json:"WaitTimeSeconds"`
	AttemptID      string   `json:"ReceiveRequestAttemptId"`
}

type receiveOutput struct {
	Messages []message `json:"Messages,omitempty" query:"Message"`
}

// message is a message received.
type message struct {
	ID            string            `json:"MessageId"`
	Handle        string            `json:"ReceiptHandle"`
	BodyMD5       string            `json:"MD5OfBody"`
	Body          string            `json:"Body"`
	Attributes    map[string]string `json:"Attributes,omitempty" query:"Attribute,Name,Value"`
	AttributesMD5 string            `json:"MD5OfMessageAttributes,omitempty"`
	UserAttrs     map[string]value  `json:"MessageAttributes,omitempty" query:"MessageAttribute,Name,Value"`
}

func (s *service) receiveMessage(ctx context.Context, r *awswire.Request, in *receiveInput) (*receiveOutput, error) {
	q, err := s.find(r, in.QueueURL)
	if err != nil {
		return nil, err
	}
	o, err := s.receiveOptions(&q.Settings, in)
	if err != nil {
		return nil, err
	}
	names := append(in.AttributeNames, in.SystemNames...)
	for _, name := range names {
		if !slices.Contains(systemNames[:], name) {
			return nil, unknownAttribute(name)
		}
	}
	got, err := s.receive(ctx, &q, o)
	if err != nil {
		return nil, err
	}
	out := &receiveOutput{Messages: make([]message, len(got))}
	for i := range got {
		if out.Messages[i], err = s.shown(&q.Settings, &got[i], names, in.MessageNames); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// receive leases messages, as many as may be in flight. A client that went away
// while it waited gets none, and no error.
func (s *service) receive(ctx context.Context, q *queue.Queue, o queue.ReceiveOptions) ([]queue.Received, error) {
	free, err := s.flights.take(s, q.Name, o.Max)
	if err != nil {
		return nil, err
	}
	if free == 0 {
		if !q.Settings.FIFO {
			return nil, refuse(http.StatusForbidden, "OverLimit", "Too many messages in flight: a queue may have %d.", s.MaxInFlight)
		}
		pause(ctx, o.Wait)
		return nil, nil
	}
	o.Max = free
	got, err := s.Store.Receive(ctx, q.Name, o)
	s.flights.giveBack(q.Name, free-len(got))
	if ctx.Err() != nil {
		return nil, nil
	}
	return got, err
}

// pause waits as a long poll that finds nothing.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (s *service) receiveOptions(set *queue.Settings, in *receiveInput) (queue.ReceiveOptions, error) {
	o := queue.ReceiveOptions{Max: 1, AttemptID: in.AttemptID}
	if in.Max != nil {
		if o.Max = *in.Max; o.Max < 1 || o.Max > maxBatch {
			return o, invalidValue("MaxNumberOfMessages", o.Max, "Must be between 1 and 10, if provided.")
		}
	}
	if in.Visibility != nil {
		o.Visibility = time.Duration(*in.Visibility) * time.Second
		if *in.Visibility < 0 || o.Visibility > queue.MaxVisibility {
			return o, invalidValue("VisibilityTimeout", *in.Visibility, "Must be >= 0 and <= 43200, if provided.")
		}
	}
	if o.Visibility == 0 && (in.Visibility != nil || hiddenNever(set)) {
		o.Visibility = -1
	}
	wait, _ := strconv.Atoi(s.known["ReceiveMessageWaitTimeSeconds"].show(set)) // it was checked
	if in.Wait != nil {
		if wait = *in.Wait; wait < 0 || wait > 20 {
			return o, invalidValue("WaitTimeSeconds", wait, "Must be >= 0 and <= 20, if provided.")
		}
	}
	o.Wait = time.Duration(wait) * time.Second
	if in.AttemptID != "" {
		switch {
		case !set.FIFO:
			return o, notOfType("ReceiveRequestAttemptId", in.AttemptID)
		case !fifoID.MatchString(in.AttemptID):
			return o, invalidValue("ReceiveRequestAttemptId", in.AttemptID, "ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
		}
	}
	return o, nil
}

// shown is a message with the attributes asked for.
func (s *service) shown(set *queue.Settings, m *queue.Received, system, user []string) (message, error) {
	out := message{ID: m.ID.String(), Handle: s.Store.HandleText(m.Handle), BodyMD5: bodyMD5(m.Body), Body: string(m.Body)}
	if len(system) == 0 && len(user) == 0 {
		return out, nil
	}
	c, err := unpack(m.Attributes)
	if err != nil {
		return out, fmt.Errorf("queue %q: message %v: %w", m.Queue, m.ID, err)
	}
	if len(system) > 0 {
		out.Attributes = s.systemOf(set, m, &c, system)
	}
	for name, v := range c.Attributes {
		if selected(user, name) {
			if out.UserAttrs == nil {
				out.UserAttrs = make(map[string]value)
			}
			out.UserAttrs[name] = v
		}
	}
	out.AttributesMD5 = attributesMD5(out.UserAttrs)
	return out, nil
}

// selected tells whether an attribute's name is asked for: by itself, by
// "foo.*" with what it begins with, or by All.
func selected(asked []string, name string) bool {
	for _, a := range asked {
		prefix, wild := strings.CutSuffix(a, ".*")
		if a == "All" || a == "*" || a == name || wild && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// systemNames are the system attributes of a message.
var systemNames = [...]string{
	"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
	"MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
}

func (s *service) systemOf(set *queue.Settings, m *queue.Received, c *content, asked []string) map[string]string {
	all := map[string]string{
		"SenderId":                         accountOf(m.Queue),
		"SentTimestamp":                    strconv.FormatInt(m.SentAt.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceive.UnixMilli(), 10),
	}
	if m.Group != "" {
		all["MessageGroupId"] = m.Group
	}
	if set.FIFO {
		all["SequenceNumber"] = sequence(m.Sequence)
		all["MessageDeduplicationId"] = dedupID(m)
	}
	if c.Trace != nil {
		all["AWSTraceHeader"] = *c.Trace.StringValue
	}
	if m.SourceQueue != "" {
		all["DeadLetterQueueSourceArn"] = s.arn(m.SourceQueue)
	}
	if slices.Contains(asked, "All") {
		return all
	}
	for name := range all {
		if !slices.Contains(asked, name) {
			delete(all, name)
		}
	}
	return all
}

// dedupID is a FIFO message's: the id it was sent with, or the hash of its body;
// a dead letter's is its message id.
func dedupID(m *queue.Received) string {
	switch {
	case m.SourceQueue != "":
		return m.ID.String()
	case m.DedupID != "":
		return m.DedupID
	}
	sum := sha256.Sum256(m.Body)
	return hex.EncodeToString(sum[:])
}
