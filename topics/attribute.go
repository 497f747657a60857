package topics

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
)

// What queues and topics of AWS take as a message attribute, so that what is
// accepted here arrives there as well.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-message-attributes
var (
	attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
)

// IsNumber tells whether a text is a number as SQS and SNS take it: decimal,
// without the other forms that Go knows (NaN, 0x1p-2, 1_000).
func IsNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil && strings.Trim(text, "0123456789.eE+-") == ""
}

// maxAttribute bounds the name and the type of an attribute, in bytes.
const maxAttribute = 256

func checkAttribute(name string, a channels.Attribute) error {
	if len(name) > maxAttribute || !attributeName.MatchString(name) {
		return invalid("attributes", "must have names of 1 to 256 letters, digits, hyphens, underscores or dots, no dot first, last or twice in a row")
	}
	field := "attributes." + name
	switch {
	case len(a.Type) > maxAttribute || !attributeType.MatchString(a.Type):
		return invalid(field+".type", "must be String, Number or Binary, with or without a label as in String.Array, at most 256 bytes")
	case a.Value == "":
		return invalid(field+".value", "must not be empty")
	case strings.HasPrefix(a.Type, "Number"):
		if !IsNumber(a.Value) {
			return invalid(field+".value", "must be a number, as its type says")
		}
	case strings.HasPrefix(a.Type, "Binary"):
		if _, err := base64.StdEncoding.DecodeString(a.Value); err != nil {
			return invalid(field+".value", "must be base64, as its type says")
		}
	}
	return nil
}
