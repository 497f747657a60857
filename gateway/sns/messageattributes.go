package sns

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/topics"
)

// attribute is a message attribute's value.
type attribute struct {
	DataType    string  `json:"DataType"`
	StringValue *string `json:"StringValue"`
	BinaryValue []byte  `json:"BinaryValue"`
}

func (a *attribute) binary() bool { return strings.HasPrefix(a.DataType, "Binary") }

var attributeType = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)

func badValue(message string) *awswire.Error {
	return fault("ParameterValueInvalid", http.StatusBadRequest, message)
}

// checkAttributes checks message attributes in order of their names.
// https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
func checkAttributes(all map[string]attribute, position int) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := checkAttributeName(name); err != nil {
			return err
		}
		a := all[name]
		if err := a.check(name, position); err != nil {
			return err
		}
		if err := checkReserved(name, &a); err != nil {
			return err
		}
	}
	return nil
}

func (a *attribute) check(name string, position int) error {
	field, empty := "String", a.StringValue == nil || *a.StringValue == ""
	absent := a.StringValue == nil
	if a.binary() {
		field, empty, absent = "Binary", len(a.BinaryValue) == 0, a.BinaryValue == nil
	}
	switch {
	case a.DataType == "" && position > 0:
		return missing(fmt.Sprintf("publishBatchRequestEntries.%d.member.messageAttributes.%s.member.dataType", position, name))
	case a.DataType == "":
		return missing("messageAttributes." + name + ".member.dataType")
	case !attributeType.MatchString(a.DataType):
		return badValue("The message attribute '" + name + "' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.")
	case absent && (a.StringValue != nil || a.BinaryValue != nil):
		return badValue("The message attribute '" + name + "' with type '" + a.DataType + "' must use field '" + field + "'.")
	case empty:
		return badValue("The message attribute '" + name + "' must contain non-empty message attribute value for message attribute type '" + a.DataType + "'.")
	}
	if strings.HasPrefix(a.DataType, "Number") && !topics.IsNumber(*a.StringValue) {
		return badValue("Could not cast message attribute '" + name + "' value to number.")
	}
	return nil
}

func checkAttributeName(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	switch {
	case name == "":
		return badValue("The request must contain non-empty message attribute name.")
	case len(name) > 256:
		return badValue("Length of message attribute name must be less than 256 bytes.")
	case strings.HasPrefix(name, "."):
		return badValue("Invalid message attribute name starting with character '.' was found.")
	case strings.HasSuffix(name, "."):
		return badValue("Invalid message attribute name ending with character '.' was found.")
	case strings.Contains(name, ".."):
		return badValue("Message attribute name can not have successive '.' character.")
	}
	for _, r := range name {
		if !strings.ContainsRune(allowed, r) {
			return badValue(fmt.Sprintf("Invalid non-alphanumeric character '#x%X' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots.", r))
		}
	}
	return nil
}

// size is a message's as SNS counts it.
func (m *message) size() int {
	n := len(m.Message)
	for name, a := range m.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

func (m *message) attributes() map[string]channels.Attribute {
	if len(m.MessageAttributes) == 0 {
		return nil
	}
	all := make(map[string]channels.Attribute, len(m.MessageAttributes))
	for name, a := range m.MessageAttributes {
		value := base64.StdEncoding.EncodeToString(a.BinaryValue)
		if !a.binary() {
			value = *a.StringValue
		}
		all[name] = channels.Attribute{Type: a.DataType, Value: value}
	}
	return all
}
