package sns

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// topicAttributes are the attributes that can be set, each with the check of
// its value: what would be right, or "". FifoTopic is fixed at creation.
// https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
var topicAttributes = func() map[string]func(t *topics.Topic, value string) string {
	all := map[string]func(*topics.Topic, string) string{
		"Policy":                    atMost(maxPolicy),
		"DeliveryPolicy":            topicDeliveryPolicy,
		"TracingConfig":             oneOf("PassThrough", "Active"),
		"KmsMasterKeyId":            atMost(maxKept), // kept and shown; the store does not encrypt by it
		"SignatureVersion":          oneOf("1", "2"),
		"ContentBasedDeduplication": onlyFIFO(oneOf("true", "false")),
		"FifoThroughputScope":       onlyFIFO(oneOf("Topic", "MessageGroup")),
	}
	for _, protocol := range []string{"HTTP", "Firehose", "Lambda", "Application", "SQS"} {
		all[protocol+"SuccessFeedbackRoleArn"] = atMost(maxKept)
		all[protocol+"SuccessFeedbackSampleRate"] = percent
		all[protocol+"FailureFeedbackRoleArn"] = atMost(maxKept)
	}
	return all
}()

// maxKept is the most bytes of a name or ARN that is only kept and shown.
const maxKept = 2048

func atMost(size int) func(*topics.Topic, string) string {
	return func(_ *topics.Topic, value string) string {
		if len(value) > size {
			return fmt.Sprintf("must be at most %d bytes", size)
		}
		return ""
	}
}

func isObject(value string) bool {
	var object map[string]any
	return json.Unmarshal([]byte(value), &object) == nil && object != nil
}

func topicDeliveryPolicy(_ *topics.Topic, value string) string {
	_, err := readTopicPolicy(value)
	return textOf(err)
}

func oneOf(allowed ...string) func(*topics.Topic, string) string {
	return func(_ *topics.Topic, value string) string {
		if slices.Contains(allowed, value) {
			return ""
		}
		return "Invalid value [" + value + "]. Must be " + strings.Join(allowed, " or ") + "."
	}
}

func onlyFIFO(check func(*topics.Topic, string) string) func(*topics.Topic, string) string {
	return func(t *topics.Topic, value string) string {
		if !isFIFO(t.Name) {
			return "is for FIFO topics only"
		}
		return check(t, value)
	}
}

func percent(_ *topics.Topic, value string) string {
	if n, err := strconv.Atoi(value); err != nil || n < 0 || n > 100 {
		return "must be a number from 0 to 100"
	}
	return ""
}

func isFIFO(topic string) bool { return strings.HasSuffix(topic, ".fifo") }

// setAttribute checks and sets one attribute; an empty value takes it away. It
// says what is wrong, or "".
func setAttribute(t *topics.Topic, name, value string) string {
	if name == "DisplayName" {
		if utf8.RuneCountInString(value) > 100 {
			return "DisplayName: must be at most 100 characters"
		}
		t.DisplayName = value
		return ""
	}
	if name == archivePolicy {
		return setArchivePolicy(t, value)
	}
	check, ok := topicAttributes[name]
	switch {
	case !ok:
		return "AttributeName"
	case name == "Policy" && !isObject(value): // and "": AWS has no topic without a policy
		return "Policy Error: null"
	}
	if value == "" {
		delete(t.Attributes, name)
		return ""
	}
	if why := check(t, value); why != "" {
		return name + ": " + why
	}
	if t.Attributes == nil {
		t.Attributes = map[string]string{}
	}
	t.Attributes[name] = value
	return ""
}

type setTopicAttributesIn struct {
	TopicArn       string `json:"TopicArn"`
	AttributeName  string `json:"AttributeName"`
	AttributeValue string `json:"AttributeValue"`
}

func (s *service) setTopicAttributes(ctx context.Context, r *awswire.Request, in *setTopicAttributesIn) (*nothing, error) {
	o, t, err := s.topic(r, in.TopicArn)
	if err != nil {
		return nil, err
	}
	_, err = s.Topics.ChangeTopic(ctx, o, t.Name, func(t *topics.Topic) error {
		if why := setAttribute(t, in.AttributeName, in.AttributeValue); why != "" {
			return invalid(why)
		}
		return nil
	})
	return nil, wordFor(err, "TopicArn")
}

type attributesOut struct {
	Attributes map[string]string `json:"Attributes" query:"Attributes.entry,key,value"`
}

func (s *service) getTopicAttributes(_ context.Context, r *awswire.Request, in *topicIn) (*attributesOut, error) {
	o, t, err := s.topic(r, in.TopicArn)
	if err != nil {
		return nil, err
	}
	counts, err := s.Topics.CountSubscriptions(o, t.Name)
	if err != nil {
		return nil, err
	}
	arn := s.topicARN(o, t.Name)
	all := map[string]string{
		"TopicArn": arn, "Owner": o.Account, "DisplayName": t.DisplayName, "Policy": defaultPolicy(o, arn),
		"SubscriptionsConfirmed": strconv.Itoa(counts.Confirmed), "SubscriptionsPending": strconv.Itoa(counts.Pending),
		"SubscriptionsDeleted":    strconv.Itoa(counts.Deleted),
		"EffectiveDeliveryPolicy": effectiveDeliveryPolicy(t.Attributes["DeliveryPolicy"]),
	}
	if isFIFO(t.Name) {
		all["ContentBasedDeduplication"] = "false"
	}
	maps.Copy(all, t.Attributes)
	if own := all[delivery]; own != "" {
		all[delivery] = shown[map[string]shownTopicPolicy](own)
	}
	addArchive(all, &t, s.Store.Now())
	return &attributesOut{all}, nil
}
