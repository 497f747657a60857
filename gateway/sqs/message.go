package sqs

import (
	"crypto/md5" //nolint:gosec // AWS's answers carry MD5s of what came; nothing rests on them
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fanfare-gateway/fanfare/topics"
)

// value is a message attribute's value.
type value struct {
	DataType    string  `json:"DataType"`
	StringValue *string `json:"StringValue,omitempty"`
	BinaryValue []byte  `json:"BinaryValue,omitempty"`
}

func (v *value) binary() bool { return kindOf(v.DataType) == "Binary" }

// kindOf is a data type without its label: "Number" of "Number.int".
func kindOf(dataType string) string {
	kind, _, _ := strings.Cut(dataType, ".")
	return kind
}

// content is what the engine keeps of a message beside its body.
type content struct {
	Attributes map[string]value `json:"a,omitempty"`
	Trace      *value           `json:"x,omitempty"` // AWSTraceHeader
}

// pack is content for queue.Message.Attributes; nil if there is none.
func (c *content) pack() ([]byte, error) {
	if len(c.Attributes) == 0 && c.Trace == nil {
		return nil, nil
	}
	return json.Marshal(c)
}

func unpack(text []byte) (c content, err error) {
	if len(text) > 0 {
		if err = json.Unmarshal(text, &c); err != nil {
			err = fmt.Errorf("attributes of a message: %w", err)
		}
	}
	return c, err
}

// bodyMD5 is what MD5OfMessageBody is.
func bodyMD5(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is AWS's digest of attributes; "" of none:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
func attributesMD5(attrs map[string]value) string {
	if len(attrs) == 0 {
		return ""
	}
	h := md5.New() //nolint:gosec // as above
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		v := attrs[name]
		digest(h, []byte(name))
		digest(h, []byte(v.DataType))
		if v.binary() {
			h.Write([]byte{2})
			digest(h, v.BinaryValue)
			continue
		}
		h.Write([]byte{1})
		digest(h, []byte(*v.StringValue))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digest(h hash.Hash, text []byte) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
	h.Write(text)
}

const (
	// maxAttributes is the most attributes of a message.
	maxAttributes = 10
	// maxAttributeName is the most letters of an attribute's name. In the
	// expression it would make 10 MB of it, at each start of the program.
	maxAttributeName = 256
)

var (
	attributeName = regexp.MustCompile(`^[\p{L}\p{N}_.-]+$`)
	reservedName  = regexp.MustCompile(`(?i)^(AWS|Amazon)\.`)
	dataType      = regexp.MustCompile(`^(String|Number|Binary)(\..+)?$`)
)

// checkAttributes checks a message's attributes and tells their size in bytes:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func checkAttributes(attrs map[string]value) (size int, err error) {
	if len(attrs) > maxAttributes {
		return 0, invalid("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(attrs), maxAttributes)
	}
	if len(attrs) == 0 {
		return 0, nil
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		v := attrs[name]
		if err := checkName(name); err != nil {
			return 0, err
		}
		if err := v.check("(user) ", name); err != nil {
			return 0, err
		}
		size += len(name) + v.size()
	}
	return size, nil
}

func (v *value) size() int {
	n := len(v.DataType) + len(v.BinaryValue)
	if v.StringValue != nil {
		n += len(*v.StringValue)
	}
	return n
}

func checkName(name string) error {
	switch {
	case !attributeName.MatchString(name), utf8.RuneCountInString(name) > maxAttributeName, strings.HasPrefix(name, "."), strings.HasSuffix(name, "."),
		strings.Contains(name, ".."):
		return invalid("Message (user) attribute name '%s' is invalid: it can contain letters, digits, periods, hyphens and underscores, up to 256 of them, and no period first, last or twice in a row.", name)
	case reservedName.MatchString(name):
		return invalid("You cannot use message attribute names beginning with 'AWS.' or 'Amazon.' because these strings are reserved for internal use.")
	}
	return nil
}

// check checks a value; whose is "(user) " or "(system) ".
func (v *value) check(whose, name string) error {
	switch {
	case v.DataType == "":
		return invalid("The message %sattribute '%s' must contain a non-empty message attribute type.", whose, name)
	case !dataType.MatchString(v.DataType):
		return invalid("The type of message %sattribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", whose, name)
	case len(v.DataType) > 256:
		return invalid("Message %sattribute type must be shorter than 256 bytes.", whose)
	case v.StringValue != nil && v.BinaryValue != nil:
		return invalid("Message %sattribute '%s' must have a single value.", whose, name)
	}
	kind := kindOf(v.DataType)
	if v.binary() {
		if v.StringValue != nil {
			return invalid("Message %sattribute '%s' with type 'Binary' must use field 'Binary'.", whose, name)
		}
		if len(v.BinaryValue) == 0 {
			return invalid("Message %sattribute '%s' must contain a non-empty value of type '%s'.", whose, name, kind)
		}
		return nil
	}
	switch {
	case v.BinaryValue != nil:
		return invalid("Message %sattribute '%s' with type '%s' must use field 'String'.", whose, name, kind)
	case v.StringValue == nil || *v.StringValue == "":
		return invalid("Message %sattribute '%s' must contain a non-empty value of type '%s'.", whose, name, kind)
	case !allowed(*v.StringValue):
		return invalid("%s", badCharacters)
	case kind == "Number" && !topics.IsNumber(*v.StringValue):
		return invalid("Can't cast the value of message %sattribute '%s' to a number.", whose, name)
	}
	return nil
}

const badCharacters = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"

// allowed tells whether a text has only characters a message may have.
func allowed(text string) bool {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(text[i:])
		if n == 1 || r == 0xFFFE || r == 0xFFFF { // no UTF-8, or not allowed
			return false
		}
		i += n
	}
	return true
}

// systemAttributes is the trace header of a message's system attributes: only
// AWSTraceHeader can be sent.
func systemAttributes(attrs map[string]value) (trace *value, err error) {
	if len(attrs) == 0 {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		v := attrs[name]
		if name != "AWSTraceHeader" {
			return nil, invalid("Message system attribute name '%s' is invalid. It can only be AWSTraceHeader.", name)
		}
		if err := v.check("(system) ", name); err != nil {
			return nil, err
		}
		if v.DataType != "String" {
			return nil, invalid("The type of message (system) attribute '%s' is invalid. You must use only the type String.", name)
		}
		trace = &v
	}
	return trace, nil
}
