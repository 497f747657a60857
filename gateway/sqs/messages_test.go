package sqs_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

// receive takes up to 10 messages at once, with all their attributes.
func (f *face) receive(t testing.TB, queueURL *string) []types.Message {
	t.Helper()
	out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: queueURL, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	require.NoError(t, err)
	return out.Messages
}

func bodies(ms []types.Message) (out []string) {
	for _, m := range ms {
		out = append(out, *m.Body)
	}
	return out
}

// The SDK checks every MD5 itself; what it does not check is checked here.
func TestMessageGoesThereAndBack(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	attrs := map[string]types.MessageAttributeValue{
		"City":      {DataType: aws.String("String"), StringValue: aws.String("Zürich")},
		"Count.int": {DataType: aws.String("Number.int"), StringValue: aws.String("42")},
		"Key":       {DataType: aws.String("Binary.png"), BinaryValue: []byte{0, 1, 0xff}},
	}
	trace := map[string]types.MessageSystemAttributeValue{
		"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
	}
	sent, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: work, MessageBody: aws.String("héllo\t<&>\r\n😀"), MessageAttributes: attrs, MessageSystemAttributes: trace, MessageGroupId: aws.String("tenant-1"),
	})
	require.NoError(t, err)
	require.Nil(t, sent.SequenceNumber)
	require.Len(t, *sent.MD5OfMessageSystemAttributes, 32)
	got := f.receive(t, work)
	require.Len(t, got, 1)
	m := got[0]
	require.Equal(t, sent.MessageId, m.MessageId)
	require.Equal(t, "héllo\t<&>\r\n😀", *m.Body)
	require.Equal(t, sent.MD5OfMessageBody, m.MD5OfBody)
	require.Equal(t, sent.MD5OfMessageAttributes, m.MD5OfMessageAttributes)
	require.Equal(t, attrs, m.MessageAttributes)
	for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
		require.Regexp(t, `^\d{13}$`, m.Attributes[name])
		delete(m.Attributes, name)
	}
	require.Equal(t, map[string]string{
		"SenderId": "000000000000", "ApproximateReceiveCount": "1", "MessageGroupId": "tenant-1",
		"AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793",
	}, m.Attributes)
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: work, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err)
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: work, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err, "a second delete is no error")
}

// The digests are AWS's, as other emulators recorded them.
func TestAttributesAreSelected(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work", "VisibilityTimeout", "0")
	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	sent, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: work, MessageBody: aws.String("msg"), MessageAttributes: map[string]types.MessageAttributeValue{
		"Help.Me": text("Me"), "Hello": text("There"), "General": text("Kenobi"),
	}})
	require.NoError(t, err)
	require.Equal(t, "6e2baaf3b97dbeef01c0043275f9a0e7", *sent.MD5OfMessageBody)
	require.Equal(t, "4c360f3fdafd970e05fae2f149d997f5", *sent.MD5OfMessageAttributes)
	for _, c := range []struct {
		names  []string
		count  int
		digest string
	}{
		{nil, 0, ""}, {[]string{"All"}, 3, "4c360f3fdafd970e05fae2f149d997f5"}, {[]string{".*"}, 3, "4c360f3fdafd970e05fae2f149d997f5"},
		{[]string{"Hello", "General"}, 2, "fca026605781cb4126a1e9044df24232"}, {[]string{"Hello", "Foo"}, 1, "a311262e065454b75da111d535b8dacd"},
		{[]string{"Hel.*"}, 2, "83fee93c1bcd8b9a5a923ffacdc636c7"}, {[]string{"Foo"}, 0, ""},
	} {
		out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: work, MessageAttributeNames: c.names})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		require.Len(t, out.Messages[0].MessageAttributes, c.count, c.names)
		require.Equal(t, c.digest, aws.ToString(out.Messages[0].MD5OfMessageAttributes), c.names)
		require.Nil(t, out.Messages[0].Attributes)
	}
	out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: work, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"ApproximateReceiveCount": "8"}, out.Messages[0].Attributes)
	_, err = f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: work, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"Colour"}})
	refused(t, err, "InvalidAttributeName", "Unknown Attribute Colour.")
}

func TestBadMessagesAreRefused(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	urls := map[bool]*string{false: f.create(t, "work"), true: f.create(t, "work.fifo", "FifoQueue", "true")}
	attr := func(name, kind, text string) func(in *awssqs.SendMessageInput) {
		return func(in *awssqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{name: {DataType: &kind, StringValue: &text}}
		}
	}
	for _, c := range []struct {
		fifo          bool
		change        func(in *awssqs.SendMessageInput)
		code, message string
	}{
		{false, func(in *awssqs.SendMessageInput) { in.MessageBody = aws.String("") }, "MissingParameter", "The request must contain the parameter MessageBody."},
		{false, func(in *awssqs.SendMessageInput) { in.MessageBody = aws.String("a\x00b") }, "InvalidMessageContents", "Invalid characters found."},
		{false, func(in *awssqs.SendMessageInput) { in.MessageBody = aws.String("\ufffe") }, "InvalidMessageContents", "Invalid characters found."},
		{false, func(in *awssqs.SendMessageInput) { in.MessageBody = aws.String(strings.Repeat("a", 1<<20+1)) }, "InvalidParameterValue", "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."},
		{false, func(in *awssqs.SendMessageInput) { in.DelaySeconds = 901 }, "InvalidParameterValue", "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."},
		{false, func(in *awssqs.SendMessageInput) { in.MessageDeduplicationId = aws.String("d") }, "InvalidParameterValue", "not valid for this queue type"},
		{false, func(in *awssqs.SendMessageInput) { in.MessageGroupId = aws.String("ä") }, "InvalidParameterValue", "MessageGroupId can only include alphanumeric and punctuation characters."},
		{false, attr("a", "String", ""), "InvalidParameterValue", "Message (user) attribute 'a' must contain a non-empty value of type 'String'."},
		{false, attr("a", "Number", "Hello"), "InvalidParameterValue", "Can't cast the value of message (user) attribute 'a' to a number."},
		{false, attr("a", "Text", "x"), "InvalidParameterValue", "The type of message (user) attribute 'a' is invalid."},
		{false, attr("a", "", "x"), "InvalidParameterValue", "must contain a non-empty message attribute type"},
		{false, attr("a", "Binary", "x"), "InvalidParameterValue", "must use field 'Binary'"},
		{false, attr("a", "String", "\x01"), "InvalidParameterValue", "Invalid characters found."},
		{false, attr("a..b", "String", "x"), "InvalidParameterValue", "attribute name 'a..b' is invalid"},
		{false, attr("AWS.x", "String", "x"), "InvalidParameterValue", "reserved for internal use"},
		{true, func(in *awssqs.SendMessageInput) { in.DelaySeconds = 2 }, "InvalidParameterValue", "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type."},
		{true, func(in *awssqs.SendMessageInput) { in.MessageGroupId = nil }, "MissingParameter", "The request must contain the parameter MessageGroupId."},
		{true, func(in *awssqs.SendMessageInput) { in.MessageDeduplicationId = nil }, "InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"},
	} {
		in := &awssqs.SendMessageInput{QueueUrl: urls[c.fifo], MessageBody: aws.String("x")}
		if c.fifo {
			in.MessageGroupId, in.MessageDeduplicationId = aws.String("g"), aws.String("d")
		}
		c.change(in)
		_, err := f.SendMessage(t.Context(), in)
		refused(t, err, c.code, c.message)
	}
	many := make(map[string]types.MessageAttributeValue)
	for i := range 11 {
		many[fmt.Sprint(i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
	}
	_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: urls[false], MessageBody: aws.String("x"), MessageAttributes: many})
	refused(t, err, "InvalidParameterValue", "Number of message attributes [11] exceeds the allowed maximum [10].")
	require.Empty(t, f.receive(t, urls[false]))
	require.Empty(t, f.receive(t, urls[true]))
}

func TestSizeCountsAttributes(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work", "MaximumMessageSize", "1024")
	send := func(n int) error {
		_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{
			QueueUrl: work, MessageBody: aws.String(strings.Repeat("a", n)),
			MessageAttributes: map[string]types.MessageAttributeValue{"name": {DataType: aws.String("String"), StringValue: aws.String("value")}},
		})
		return err
	}
	require.NoError(t, send(1024-4-6-5))
	refused(t, send(1024-4-6-5+1), "InvalidParameterValue", "Message must be shorter than 1024 bytes.")
}

func TestReceiveBounds(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	for _, c := range []struct {
		in      awssqs.ReceiveMessageInput
		message string
	}{
		{awssqs.ReceiveMessageInput{MaxNumberOfMessages: 11}, "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."},
		{awssqs.ReceiveMessageInput{WaitTimeSeconds: 21}, "Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."},
		{awssqs.ReceiveMessageInput{VisibilityTimeout: 43201}, "Value 43201 for parameter VisibilityTimeout is invalid."},
		{awssqs.ReceiveMessageInput{ReceiveRequestAttemptId: aws.String("a")}, "not valid for this queue type"},
	} {
		c.in.QueueUrl = work
		_, err := f.ReceiveMessage(t.Context(), &c.in)
		refused(t, err, "InvalidParameterValue", c.message)
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work", "DelaySeconds", "900")
	f.send(t, work, "delayed by the queue")
	// The SDK leaves 0 out; on the wire it differs from nothing.
	status, _, _ := f.post(t, "/", "application/x-amz-json-1.0", "SendMessage", `{"QueueUrl":"`+*work+`","MessageBody":"at once","DelaySeconds":0}`)
	require.Equal(t, 200, status)
	require.Equal(t, []string{"at once"}, bodies(f.receive(t, work)))
	require.Equal(t, "1", f.attribute(t, work, "ApproximateNumberOfMessagesDelayed"))
	require.Equal(t, "1", f.attribute(t, work, "ApproximateNumberOfMessagesNotVisible"))
}

func TestLongPollWakesAfterASend(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work", "ReceiveMessageWaitTimeSeconds", "20")
	for round := range 5 {
		got := make(chan []types.Message, 1)
		go func() {
			out, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: work})
			if err != nil {
				out = &awssqs.ReceiveMessageOutput{}
			}
			got <- out.Messages
		}()
		f.send(t, work, fmt.Sprint(round))
		select {
		case messages := <-got:
			require.Equal(t, []string{fmt.Sprint(round)}, bodies(messages))
		case <-time.After(15 * time.Second): // of the 20 it may wait
			require.FailNow(t, "the send woke nobody")
		}
	}
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	f.send(t, work, "one")
	m := f.receive(t, work)[0]
	change := func(handle *string, n int32) error {
		_, err := f.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: work, ReceiptHandle: handle, VisibilityTimeout: n})
		return err
	}
	require.Empty(t, f.receive(t, work))
	require.NoError(t, change(m.ReceiptHandle, 0))
	again := f.receive(t, work)
	require.Len(t, again, 1)
	require.Equal(t, "2", again[0].Attributes["ApproximateReceiveCount"])
	require.NoError(t, change(m.ReceiptHandle, 10), "an old handle is as good")
	refused(t, change(again[0].ReceiptHandle, 43201), "InvalidParameterValue", "VisibilityTimeout must be an integer between 0 and 43200")
	require.NoError(t, change(again[0].ReceiptHandle, 43190))
	refused(t, change(aws.String("nonsense"), 1), "ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	_, err := f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: work, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err, "an old handle succeeds")
	require.Equal(t, "1", f.attribute(t, work, "ApproximateNumberOfMessagesNotVisible"), "and deletes nothing")
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: f.create(t, "other"), ReceiptHandle: m.ReceiptHandle})
	refused(t, err, "ReceiptHandleIsInvalid", "is not a valid receipt handle.")
	require.NoError(t, change(m.ReceiptHandle, 0))
	require.NoError(t, change(m.ReceiptHandle, 30), "it is hidden again")
	require.Empty(t, f.receive(t, work))
	require.NoError(t, change(m.ReceiptHandle, 0))
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: work, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err)
	require.Empty(t, f.receive(t, work), "deleted by an old handle, since nobody had it")
	refused(t, change(again[0].ReceiptHandle, 10), "InvalidParameterValue", "Message does not exist or is not available for visibility timeout change.")
}

func TestInFlightLimit(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{MaxInFlight: 3})
	work := f.create(t, "work")
	f.send(t, work, "1", "2", "3", "4", "5")
	got := f.receive(t, work)
	require.Len(t, got, 3)
	_, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: work})
	refused(t, err, "OverLimit", "")
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: work, ReceiptHandle: got[0].ReceiptHandle})
	require.NoError(t, err)
	require.Len(t, f.receive(t, work), 1)

	fifo := f.create(t, "work.fifo", "FifoQueue", "true", "ContentBasedDeduplication", "true")
	for i := range 5 {
		f.sendFIFO(t, fifo, fmt.Sprint(i), fmt.Sprint(i))
	}
	require.Len(t, f.receive(t, fifo), 3)
	require.Empty(t, f.receive(t, fifo), "no error on a FIFO queue")
}

func TestNoisyTenantDoesNotHoldUpAQuietOne(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	for i := range 50 {
		_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: work, MessageBody: aws.String(fmt.Sprint(i)), MessageGroupId: aws.String("noisy")})
		require.NoError(t, err)
	}
	_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: work, MessageBody: aws.String("quiet"), MessageGroupId: aws.String("quiet")})
	require.NoError(t, err)
	got := f.receive(t, work)
	require.Len(t, got, 10)
	require.Contains(t, bodies(got), "quiet")
}

func (f *face) sendFIFO(t testing.TB, queueURL *string, group, body string) *awssqs.SendMessageOutput {
	t.Helper()
	out, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: queueURL, MessageBody: &body, MessageGroupId: &group})
	require.NoError(t, err)
	return out
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	orders := f.create(t, "orders.fifo", "FifoQueue", "true", "ContentBasedDeduplication", "true")
	first := f.sendFIFO(t, orders, "a", "1")
	require.Len(t, *first.SequenceNumber, 20)
	require.Equal(t, first.MessageId, f.sendFIFO(t, orders, "a", "1").MessageId, "the same body is the same message")
	second := f.sendFIFO(t, orders, "a", "2")
	require.Greater(t, *second.SequenceNumber, *first.SequenceNumber)
	f.sendFIFO(t, orders, "b", "3")

	in := &awssqs.ReceiveMessageInput{
		QueueUrl: orders, ReceiveRequestAttemptId: aws.String("attempt-1"), MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	one, err := f.ReceiveMessage(t.Context(), in)
	require.NoError(t, err)
	again, err := f.ReceiveMessage(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, one.Messages, again.Messages, "an attempt repeated gets the same")
	require.Equal(t, []string{"1"}, bodies(one.Messages))
	sum := sha256.Sum256([]byte("1"))
	require.Equal(t, hex.EncodeToString(sum[:]), one.Messages[0].Attributes["MessageDeduplicationId"])
	require.Equal(t, *first.SequenceNumber, one.Messages[0].Attributes["SequenceNumber"])
	require.Equal(t, []string{"3"}, bodies(f.receive(t, orders)), "group a is locked")
	del := &awssqs.DeleteMessageInput{QueueUrl: orders, ReceiptHandle: one.Messages[0].ReceiptHandle}
	for range 2 {
		_, err = f.DeleteMessage(t.Context(), del)
		require.NoError(t, err)
	}
	require.Equal(t, first.MessageId, f.sendFIFO(t, orders, "a", "1").MessageId, "deduplication survives the delete")
	two := f.receive(t, orders)
	require.Equal(t, []string{"2"}, bodies(two))
	_, err = f.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: orders, ReceiptHandle: two[0].ReceiptHandle, VisibilityTimeout: 0})
	require.NoError(t, err)
	_, err = f.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: orders, ReceiptHandle: two[0].ReceiptHandle})
	refused(t, err, "InvalidParameterValue", "The receipt handle has expired.")
}

// AWS fills a receive with as many of one group as there are.
func TestFIFOReceiveIsOfOneGroupFirst(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	orders := f.create(t, "orders.fifo", "FifoQueue", "true", "ContentBasedDeduplication", "true")
	for _, body := range []string{"a1", "b1", "a2", "a3"} {
		f.sendFIFO(t, orders, body[:1], body)
	}
	require.Equal(t, []string{"a1", "a2", "a3", "b1"}, bodies(f.receive(t, orders)))
}

func TestDeduplicationByGroup(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	orders := f.create(t, "orders.fifo", "FifoQueue", "true", "DeduplicationScope", "messageGroup")
	for _, group := range []string{"a", "a", "b"} {
		_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: orders, MessageBody: aws.String("x"), MessageGroupId: &group, MessageDeduplicationId: aws.String("d")})
		require.NoError(t, err)
	}
	require.Len(t, f.receive(t, orders), 2)
}
