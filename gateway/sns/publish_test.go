package sns_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what SignatureVersion 1 is
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// receive takes what is in a queue now, without waiting.
func (b *bench) receive(name string) []queue.Received {
	b.t.Helper()
	got, err := b.store.Receive(b.t.Context(), topics.QueueName(owner, name), queue.ReceiveOptions{Max: 10})
	require.NoError(b.t, err)
	return got
}

func (b *bench) say(in *awssns.PublishInput) string {
	b.t.Helper()
	out, err := b.Publish(b.t.Context(), in)
	require.NoError(b.t, err)
	return *out.MessageId
}

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

func TestPublishIsInTheQueueWhenItAnswers(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "sqs", b.queue("work"), nil)
	id := b.say(&awssns.PublishInput{
		TopicArn: &topic, Message: aws.String(`<a> & "b"`), Subject: aws.String("Hello"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"s": text("x"), "n": {DataType: aws.String("Number"), StringValue: aws.String("1.5")},
			"b": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}}, "l": {DataType: aws.String("String.Array"), StringValue: aws.String(`["a"]`)},
		},
	})
	got := b.receive("work")
	require.Len(t, got, 1)
	require.Empty(t, got[0].Attributes)
	var e map[string]any
	require.NoError(t, json.Unmarshal(got[0].Body, &e))
	require.NotEmpty(t, e["Signature"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, e["Timestamp"])
	require.Contains(t, e["UnsubscribeURL"], b.url+"/?Action=Unsubscribe&SubscriptionArn=")
	require.Regexp(t, `^`+b.url+`/SimpleNotificationService-[0-9a-f]{32}\.pem$`, e["SigningCertURL"])
	for _, checked := range []string{"Signature", "Timestamp", "UnsubscribeURL", "SigningCertURL"} {
		delete(e, checked)
	}
	require.Equal(t, map[string]any{
		"Type": "Notification", "MessageId": id, "TopicArn": topic, "Subject": "Hello", "Message": `<a> & "b"`, "SignatureVersion": "1",
		"MessageAttributes": map[string]any{
			"s": map[string]any{"Type": "String", "Value": "x"}, "n": map[string]any{"Type": "Number", "Value": "1.5"},
			"b": map[string]any{"Type": "Binary", "Value": "AQI="}, "l": map[string]any{"Type": "String.Array", "Value": `["a"]`},
		},
	}, e)

	_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")})
	require.NoError(t, err)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("raw"), MessageAttributes: map[string]types.MessageAttributeValue{
		"s": text("x"), "b": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}},
	}})
	got = b.receive("work")
	require.Len(t, got, 1)
	require.Equal(t, "raw", string(got[0].Body))
	require.JSONEq(t, `{"a":{"s":{"DataType":"String","StringValue":"x"},"b":{"DataType":"Binary","BinaryValue":"AQI="}}}`, string(got[0].Attributes))
}

func TestEnvelopesAreSigned(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), nil)
	for version, hash := range map[string]crypto.Hash{"1": crypto.SHA1, "2": crypto.SHA256} {
		_, err := b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: &topic, AttributeName: aws.String("SignatureVersion"), AttributeValue: &version})
		require.NoError(t, err)
		b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), Subject: aws.String("s")})
		got := b.receive("work")
		require.Len(t, got, 1)
		var e map[string]string
		require.NoError(t, json.Unmarshal(got[0].Body, &e))
		require.Equal(t, version, e["SignatureVersion"])
		signed := ""
		for _, name := range []string{"Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"} {
			signed += name + "\n" + e[name] + "\n"
		}
		signature, err := base64.StdEncoding.DecodeString(e["Signature"])
		require.NoError(t, err)
		sum := sha256.Sum256([]byte(signed))
		digest := sum[:]
		if version == "1" {
			sum := sha1.Sum([]byte(signed)) //nolint:gosec // as above
			digest = sum[:]
		}
		require.NoError(t, rsa.VerifyPKCS1v15(certificate(t, e["SigningCertURL"]), hash, digest, signature))
	}
}

func certificate(t *testing.T, url string) *rsa.PublicKey {
	t.Helper()
	status, text := fetch(t, http.MethodGet, url)
	require.Equal(t, http.StatusOK, status)
	block, _ := pem.Decode([]byte(text))
	require.NotNil(t, block)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	require.True(t, ok)
	return key
}

func TestPublishToPhonesAndDevices(t *testing.T) {
	t.Parallel()
	b := start(t)
	b.say(&awssns.PublishInput{PhoneNumber: aws.String("+15005550006"), Message: aws.String("hi")})
	got := b.sent[topics.SMS].next(t)
	require.Equal(t, "+15005550006", got.Endpoint)
	require.Equal(t, "hi", got.Content.Text)
	b.say(&awssns.PublishInput{TargetArn: aws.String("arn:aws:sns:us-east-1:000000000000:endpoint/application/main/abc"), Message: aws.String("hi")})
	require.Equal(t, "abc", b.sent[topics.Application].next(t).Endpoint)
	topic := b.topic("alerts")
	b.subscribe(topic, "sms", "+15005550007", nil)
	b.say(&awssns.PublishInput{TargetArn: &topic, Message: aws.String("to all")})
	require.Equal(t, "+15005550007", b.sent[topics.SMS].next(t).Endpoint)
}

func TestFilterPoliciesDecideWhoGetsIt(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("red"), map[string]string{"FilterPolicy": `{"color":["red"]}`})
	b.subscribe(topic, "sqs", b.queue("body"), map[string]string{"FilterPolicy": `{"a":{"b":[{"numeric":[">",1]}]}}`, "FilterPolicyScope": "MessageBody"})
	b.subscribe(topic, "sqs", b.queue("all"), nil)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String(`{"a":{"b":2}}`), MessageAttributes: map[string]types.MessageAttributeValue{"color": text("blue")}})
	require.Empty(t, b.receive("red"))
	require.Len(t, b.receive("body"), 1)
	require.Len(t, b.receive("all"), 1)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String(`no`), MessageAttributes: map[string]types.MessageAttributeValue{"color": text("red")}})
	require.Len(t, b.receive("red"), 1)
	require.Empty(t, b.receive("body"))
	_, err := b.trySubscribe(topic, "sms", "+15005550006", map[string]string{"FilterPolicy": `{"a":{"b":["c"]}}`})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: Filter policy scope MessageAttributes does not support nested filter policy")
}

func TestPendingSubscriptionsGetNothing(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "email", "a@example.com", nil)
	token := b.tokenOf(arn)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("early")})
	_, err := b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: &token})
	require.NoError(t, err)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("wanted")})
	for {
		d := b.sent[topics.Email].next(t)
		require.NotEqual(t, "early", d.Content.Text)
		if d.Content.Text == "wanted" {
			return
		}
	}
}

func TestMessageStructureJSON(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), map[string]string{"RawMessageDelivery": "true"})
	b.subscribe(topic, "sms", "+15005550006", nil)
	say := func(message string) error {
		_, err := b.Publish(t.Context(), &awssns.PublishInput{TopicArn: &topic, Message: &message, MessageStructure: aws.String("json")})
		return err
	}
	require.NoError(t, say(`{"default": "all", "sms": "short", "sqs": {"not": "text"}, "fax": "x"}`))
	require.Equal(t, "all", string(b.receive("work")[0].Body))
	require.Equal(t, "short", b.sent[topics.SMS].next(t).Content.Text)
	require.NoError(t, say(`{"default":"first","default":"last"}`))
	require.Equal(t, "last", string(b.receive("work")[0].Body))
	require.Equal(t, "last", b.sent[topics.SMS].next(t).Content.Text)
	const noParse, noDefault = "Invalid parameter: Message Structure - JSON message body failed to parse", "Invalid parameter: Message Structure - No default entry in JSON message body"
	for message, why := range map[string]string{
		`{`: noParse, `[]`: noParse, `{"default":"a"} x`: noParse, `null`: noParse, `{"default":"a","default":1}`: noDefault, `{"sms":"a"}`: noDefault, `{"default":1}`: noDefault,
	} {
		refused(t, say(message), "InvalidParameter", 400, why)
	}
	require.Empty(t, b.receive("work"))
}

func TestMessagesThatCannotBePublished(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), nil)
	long := strings.Repeat("x", 256<<10)
	attribute := func(name string, v types.MessageAttributeValue) *awssns.PublishInput {
		return &awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), MessageAttributes: map[string]types.MessageAttributeValue{name: v}}
	}
	for _, c := range []struct {
		in            *awssns.PublishInput
		code, message string
		status        int
	}{
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("")}, "InvalidParameter", "Invalid parameter: Empty message", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String(long + "x")}, "InvalidParameter", "Invalid parameter: Message too long", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: &long, MessageAttributes: map[string]types.MessageAttributeValue{"a": text("b")}}, "InvalidParameter", "Invalid parameter: Message too long", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), Subject: aws.String("")}, "InvalidParameter", "Invalid parameter: Subject", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), Subject: aws.String("a\nb")}, "InvalidParameter", "Invalid parameter: Subject", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), Subject: aws.String(strings.Repeat("s", 101))}, "InvalidParameter", "Invalid parameter: Subject", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), MessageStructure: aws.String("xml")}, "InvalidParameter", "Invalid parameter: MessageStructure", 400},
		{&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m"), MessageDeduplicationId: aws.String("d")}, "InvalidParameter", "Invalid parameter: MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type", 400},
		{&awssns.PublishInput{Message: aws.String("m")}, "InvalidParameter", "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter", 400},
		{&awssns.PublishInput{TopicArn: aws.String("x"), Message: aws.String("m")}, "InvalidParameter", "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1", 400},
		{&awssns.PublishInput{TopicArn: aws.String(topic + "x"), Message: aws.String("m")}, "NotFound", "Topic does not exist", 404},
		{&awssns.PublishInput{PhoneNumber: aws.String("5550006"), Message: aws.String("m")}, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: 5550006 is not valid to publish to", 400},
		{attribute("a", types.MessageAttributeValue{DataType: aws.String("Text"), StringValue: aws.String("x")}), "ParameterValueInvalid", "The message attribute 'a' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", 400},
		{attribute("a", types.MessageAttributeValue{DataType: aws.String("String")}), "ParameterValueInvalid", "The message attribute 'a' must contain non-empty message attribute value for message attribute type 'String'.", 400},
		{attribute("a", types.MessageAttributeValue{DataType: aws.String("Binary"), StringValue: aws.String("x")}), "ParameterValueInvalid", "The message attribute 'a' with type 'Binary' must use field 'Binary'.", 400},
		{attribute("a", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("x")}), "ParameterValueInvalid", "Could not cast message attribute 'a' value to number.", 400},
		{attribute("a", types.MessageAttributeValue{DataType: aws.String("Number"), StringValue: aws.String("NaN")}), "ParameterValueInvalid", "Could not cast message attribute 'a' value to number.", 400},
		{attribute("a!", text("x")), "ParameterValueInvalid", "Invalid non-alphanumeric character '#x21' was found in the message attribute name. Can only include alphanumeric characters, hyphens, underscores, or dots.", 400},
		{attribute("", text("x")), "ParameterValueInvalid", "The request must contain non-empty message attribute name.", 400},
		{&awssns.PublishInput{TopicArn: aws.String(topic + long[:5000]), Message: aws.String("m")}, "NotFound", "Topic does not exist", 404},
		{attribute(".a", text("x")), "ParameterValueInvalid", "Invalid message attribute name starting with character '.' was found.", 400},
	} {
		_, err := b.Publish(t.Context(), c.in)
		refused(t, err, c.code, c.status, c.message)
	}
	require.Empty(t, b.receive("work"))
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: &long})
	require.Len(t, b.receive("work"), 1)
	b.say(attribute("a", types.MessageAttributeValue{DataType: aws.String("Number.int"), StringValue: aws.String("1")}))
	require.Len(t, b.receive("work"), 1)
}

func TestPublishBatch(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), map[string]string{"RawMessageDelivery": "true"})
	entry := func(id, message string) types.PublishBatchRequestEntry {
		return types.PublishBatchRequestEntry{Id: &id, Message: &message}
	}
	batch := func(entries ...types.PublishBatchRequestEntry) (*awssns.PublishBatchOutput, error) {
		return b.PublishBatch(t.Context(), &awssns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: entries})
	}
	out, err := batch(entry("1", "a"), entry("2", "b"))
	require.NoError(t, err)
	require.Len(t, out.Successful, 2)
	require.Empty(t, out.Failed)
	require.Equal(t, "1", *out.Successful[0].Id)
	require.NotEqual(t, *out.Successful[0].MessageId, *out.Successful[1].MessageId)
	require.Len(t, b.receive("work"), 2)
	var many []types.PublishBatchRequestEntry
	for n := range 11 {
		many = append(many, entry(fmt.Sprint(n), "m"))
	}
	half := strings.Repeat("x", 128<<10)
	for _, c := range []struct {
		entries       []types.PublishBatchRequestEntry
		code, message string
	}{
		{many, "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible."},
		{[]types.PublishBatchRequestEntry{}, "EmptyBatchRequest", "The batch request doesn't contain any entries."},
		{[]types.PublishBatchRequestEntry{entry("1", "a"), entry("1", "b")}, "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id."},
		{[]types.PublishBatchRequestEntry{entry("a.b", "a")}, "InvalidBatchEntryId", "The Id of a batch entry in the batch request contains an impermissible character: a.b"},
		{[]types.PublishBatchRequestEntry{entry("1", half), entry("2", half+"x")}, "BatchRequestTooLong", "The length of all the messages put together is more than the limit."},
		{[]types.PublishBatchRequestEntry{entry("1", "a"), entry("2", "")}, "InvalidParameter", "Invalid parameter: Empty message"},
	} {
		_, err := batch(c.entries...)
		refused(t, err, c.code, 400, c.message)
	}
	require.Empty(t, b.receive("work"))
}

func TestFIFOTopicKeepsOrderAndDropsRepeats(t *testing.T) {
	t.Parallel()
	b := start(t)
	out, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("orders.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	require.NoError(t, err)
	topic := out.TopicArn
	_, err = b.store.CreateQueue(t.Context(), topics.QueueName(owner, "work.fifo"), queue.Settings{FIFO: true})
	require.NoError(t, err)
	b.subscribe(*topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:work.fifo", map[string]string{"RawMessageDelivery": "true"})
	b.subscribe(*topic, "sqs", b.queue("plain"), map[string]string{"RawMessageDelivery": "true"})
	say := func(message, group, dedup string) *awssns.PublishOutput {
		out, err := b.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: &message, MessageGroupId: &group, MessageDeduplicationId: &dedup})
		require.NoError(t, err)
		return out
	}
	last := ""
	for n := range 5 {
		out := say(fmt.Sprint(n), "g", fmt.Sprint("d", n))
		require.Regexp(t, `^\d{20}$`, *out.SequenceNumber)
		require.Greater(t, *out.SequenceNumber, last)
		last = *out.SequenceNumber
	}
	for _, group := range []string{"g", "h", "i", "j", "k", "l"} { // of both shards
		require.Equal(t, last, *say("another text", group, "d4").SequenceNumber, "a repeat is the first one")
	}
	got := b.receive("work.fifo")
	require.Len(t, got, 5)
	for n := range got {
		require.Equal(t, fmt.Sprint(n), string(got[n].Body))
		require.Equal(t, fmt.Sprint("d", n), got[n].DedupID)
	}
	require.Len(t, b.receive("plain"), 5)

	_, err = b.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: The MessageGroupId parameter is required for FIFO topics")
	_, err = b.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageGroupId: aws.String("g")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	_, err = b.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("ContentBasedDeduplication"), AttributeValue: aws.String("true")})
	require.NoError(t, err)
	for range 2 {
		_, err = b.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageGroupId: aws.String("g")})
		require.NoError(t, err)
	}
	require.Len(t, b.receive("plain"), 1)
}
