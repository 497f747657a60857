package sandbox

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSQS is the most a message, and all messages of a batch, may have.
const maxSQS = 1 << 20

var (
	sqsEntryID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	sqsAttribute = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	sqsDataType  = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
	sqsGroupID   = regexp.MustCompile("^[A-Za-z0-9!-/:-@[-`{-~]{1,128}$")
)

// sqsEntry is one message of SendMessage or SendMessageBatch.
type sqsEntry struct {
	ID              string `json:"Id"`
	MessageBody     string
	GroupID         string              `json:"MessageGroupId"`
	DeduplicationID string              `json:"MessageDeduplicationId"`
	Attributes      map[string]sqsValue `json:"MessageAttributes"`
}

type sqsValue struct {
	DataType    string
	StringValue string
	BinaryValue []byte
}

func (v sqsValue) bytes() []byte {
	if strings.HasPrefix(v.DataType, "Binary") {
		return v.BinaryValue
	}
	return []byte(v.StringValue)
}

func (e *sqsEntry) size() int {
	n := len(e.MessageBody)
	for name, v := range e.Attributes {
		n += len(name) + len(v.DataType) + len(v.bytes())
	}
	return n
}

// check is what SQS would find wrong with the message: a code, or "".
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func (e *sqsEntry) check(queue string) string {
	fifo := strings.HasSuffix(queue, ".fifo")
	switch {
	case e.MessageBody == "":
		return "MissingParameter"
	case !xmlText(e.MessageBody):
		return "InvalidMessageContents"
	case e.size() > maxSQS, len(e.Attributes) > 10:
		return "InvalidParameterValue"
	case fifo && e.GroupID == "":
		return "MissingParameter"
	case e.GroupID != "" && !sqsGroupID.MatchString(e.GroupID):
		return "InvalidParameterValue"
	case fifo && !sqsGroupID.MatchString(e.DeduplicationID), !fifo && e.DeduplicationID != "":
		return "InvalidParameterValue"
	}
	for name, v := range e.Attributes {
		if !goodSQSAttribute(name, v) {
			return "InvalidParameterValue"
		}
	}
	return ""
}

// goodSQSAttribute: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func goodSQSAttribute(name string, v sqsValue) bool {
	low := strings.ToLower(name)
	if len(name) > 256 || !sqsAttribute.MatchString(name) || strings.HasPrefix(low, "aws.") || strings.HasPrefix(low, "amazon.") {
		return false
	}
	if len(v.DataType) > 256 || !sqsDataType.MatchString(v.DataType) || len(v.bytes()) == 0 {
		return false
	}
	if strings.HasPrefix(v.DataType, "Number") {
		n, err := strconv.ParseFloat(v.StringValue, 64)
		return err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
	}
	return xmlText(v.StringValue)
}

// xmlText tells whether the text has only characters SQS takes.
func xmlText(s string) bool {
	for _, r := range s {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
		default:
			return false
		}
	}
	return utf8.ValidString(s)
}

// md5OfAttributes is the digest SQS answers with, "" without attributes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
func md5OfAttributes(attributes map[string]sqsValue) string {
	if len(attributes) == 0 {
		return ""
	}
	var buf []byte
	add := func(b []byte) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(b)))
		buf = append(buf, b...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		add([]byte(name))
		add([]byte(v.DataType))
		kind := byte(1)
		if strings.HasPrefix(v.DataType, "Binary") {
			kind = 2
		}
		buf = append(buf, kind)
		add(v.bytes())
	}
	return md5Hex(buf)
}

func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
