package downstream

import (
	"encoding/base64"
	"math/big"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/fanfare-gateway/fanfare/channels"
)

// DeliveryAttribute is the message attribute that holds the delivery's id, by
// which a consumer of a standard queue recognises a repeat. It is added when
// the publisher's attributes leave room for it.
const DeliveryAttribute = "fanfare-delivery-id"

// The limits of SQS. maxSize is of a message, and of all messages of a batch.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxSize       = 1 << 20
	maxBatch      = 10
	maxAttributes = 10
	maxName       = 256
)

// Why a message cannot be sent at all, as codes of the error book.
const (
	badEndpoint  = "bad_endpoint"
	badText      = "bad_text" // empty, or characters SQS does not take
	badAttribute = "bad_attribute"
	badGroup     = "bad_group"
	tooLarge     = "too_large"
)

var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	dataType      = regexp.MustCompile(`^(String|Number|Binary)(\.[!-~]+)?$`)
	number        = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$`)
	groupID       = regexp.MustCompile("^[!-~]{1,128}$")
)

// message is a delivery as SQS takes it, with its size by SQS's own measure.
type message struct {
	queue queueURL
	entry types.SendMessageBatchRequestEntry
	size  int
}

// message makes the message of a delivery; bad is the code of what is wrong.
func (c *Channel) message(d channels.Delivery) (m message, bad string) {
	q, err := c.parse(d.Endpoint)
	if err != nil {
		return m, badEndpoint
	}
	body := d.Content.Text
	if d.Content.Payload != nil {
		body = string(d.Content.Payload)
	}
	if body == "" || !goodText(body) {
		return m, badText
	}
	m = message{queue: q, size: len(body)}
	m.entry.MessageBody = &body
	if bad := m.addAttributes(d.Attributes); bad != "" {
		return m, bad
	}
	if m.size > maxSize {
		return m, tooLarge
	}
	if q.fifo() {
		return m, m.order(d)
	}
	m.addID(d)
	return m, ""
}

// order sets what a FIFO queue wants. With the delivery's id a repeat within
// five minutes is taken without effect.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html
func (m *message) order(d channels.Delivery) (bad string) {
	group := d.Group
	if group == "" {
		group = d.Publish.Hex()
	}
	if !groupID.MatchString(group) {
		return badGroup
	}
	m.entry.MessageGroupId, m.entry.MessageDeduplicationId = &group, aws.String(d.ID.Hex())
	return ""
}

func (m *message) addAttributes(attributes map[string]channels.Attribute) (bad string) {
	if len(attributes) > maxAttributes {
		return badAttribute
	}
	for name, a := range attributes {
		value, ok := attributeValue(name, a)
		if !ok {
			return badAttribute
		}
		m.add(name, value)
	}
	return ""
}

func (m *message) addID(d channels.Delivery) {
	value := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(d.ID.Hex())}
	_, taken := m.entry.MessageAttributes[DeliveryAttribute]
	if !taken && len(m.entry.MessageAttributes) < maxAttributes && m.size+attributeSize(DeliveryAttribute, value) <= maxSize {
		m.add(DeliveryAttribute, value)
	}
}

func (m *message) add(name string, value types.MessageAttributeValue) {
	if m.entry.MessageAttributes == nil {
		m.entry.MessageAttributes = map[string]types.MessageAttributeValue{}
	}
	m.entry.MessageAttributes[name] = value
	m.size += attributeSize(name, value)
}

func attributeSize(name string, v types.MessageAttributeValue) int {
	return len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
}

// attributeValue checks an attribute. String.Array, which SNS has and SQS has
// not, goes as a String with that label.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#message-attribute-components
func attributeValue(name string, a channels.Attribute) (v types.MessageAttributeValue, ok bool) {
	low := strings.ToLower(name)
	if len(name) > maxName || !attributeName.MatchString(name) || strings.HasPrefix(low, "aws.") || strings.HasPrefix(low, "amazon.") {
		return v, false
	}
	if len(a.Type) > maxName || !dataType.MatchString(a.Type) || a.Value == "" || !goodText(a.Value) {
		return v, false
	}
	v.DataType = aws.String(a.Type)
	switch base, _, _ := strings.Cut(a.Type, "."); base {
	case "Binary":
		b, err := base64.StdEncoding.DecodeString(a.Value)
		v.BinaryValue = b
		return v, err == nil && len(b) > 0
	case "Number":
		v.StringValue = aws.String(a.Value)
		return v, goodNumber(a.Value)
	}
	v.StringValue = aws.String(a.Value)
	return v, true
}

// The range of a Number: up to 38 digits between 10^-128 and 10^126.
var minNumber, maxNumber = big.NewFloat(1e-128), big.NewFloat(1e126)

func goodNumber(text string) bool {
	if !number.MatchString(text) {
		return false
	}
	mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
	digits := strings.Trim(strings.NewReplacer(".", "", "+", "", "-", "").Replace(mantissa), "0")
	f, _, err := big.ParseFloat(text, 10, 256, big.ToNearestEven)
	if err != nil || len(digits) > 38 {
		return false
	}
	f.Abs(f)
	return f.Sign() == 0 || (f.Cmp(minNumber) >= 0 && f.Cmp(maxNumber) <= 0)
}

// goodText tells whether SQS stores the text as it is. Other characters it
// refuses or replaces, so they are not sent.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func goodText(s string) bool {
	for _, r := range s {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
		default:
			return false
		}
	}
	return utf8.ValidString(s)
}
