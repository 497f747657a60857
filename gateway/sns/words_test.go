package sns_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/gateway/sns"
)

// fifo makes a FIFO topic and gives its ARN.
func (b *bench) fifo(name string) string {
	b.t.Helper()
	out, err := b.CreateTopic(b.t.Context(), &awssns.CreateTopicInput{Name: &name, Attributes: map[string]string{"FifoTopic": "true"}})
	require.NoError(b.t, err)
	return *out.TopicArn
}

// TestLinksAreSpelledAsAWSDoes: programs take links apart by text.
func TestLinksAreSpelledAsAWSDoes(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "https", "https://a.example/x", nil)
	asked := b.sent["webhook"].next(t)
	var e map[string]string
	require.NoError(t, json.Unmarshal(asked.Content.Payload, &e))
	require.Equal(t, b.url+"/?Action=ConfirmSubscription&TopicArn="+topic+"&Token="+b.tokenOf(arn), e["SubscribeURL"])

	inQueue := b.subscribe(topic, "sqs", b.queue("work"), nil)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
	require.NoError(t, json.Unmarshal(b.receive("work")[0].Body, &e))
	require.Equal(t, b.url+"/?Action=Unsubscribe&SubscriptionArn="+inQueue+"&Token="+b.stored(inQueue).Token, e["UnsubscribeURL"])

	lax := start(t, func(o *sns.Options) { o.Lax, o.Form.Lax = true, true })
	topic = lax.topic("alerts")
	inQueue = lax.subscribe(topic, "sqs", lax.queue("work"), nil)
	lax.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
	require.NoError(t, json.Unmarshal(lax.receive("work")[0].Body, &e))
	require.Equal(t, lax.url+"/?Action=Unsubscribe&SubscriptionArn="+inQueue, e["UnsubscribeURL"])
	status, answer := fetch(t, http.MethodGet, e["UnsubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
}

func TestMessagesOfFIFOTopicsAreNotSigned(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.fifo("orders.fifo")
	b.subscribe(topic, "sqs", b.queue("work"), nil)
	out, err := b.Publish(t.Context(), &awssns.PublishInput{
		TopicArn: &topic, Message: aws.String("m"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	})
	require.NoError(t, err)
	var e map[string]string
	got := b.receive("work")
	require.Empty(t, got[0].Group, "the queue keeps no order")
	require.NoError(t, json.Unmarshal(got[0].Body, &e))
	require.Contains(t, e["UnsubscribeURL"], "Action=Unsubscribe")
	delete(e, "UnsubscribeURL")
	require.NotEmpty(t, e["Timestamp"])
	delete(e, "Timestamp")
	require.Equal(t, map[string]string{
		"Type": "Notification", "MessageId": *out.MessageId, "SequenceNumber": *out.SequenceNumber, "TopicArn": topic, "Message": "m",
	}, e)
}

func TestWordsForWhatIsEmpty(t *testing.T) {
	t.Parallel()
	b := start(t)
	_, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Topic Name")
	_, err = b.Publish(t.Context(), &awssns.PublishInput{Message: aws.String("m"), TopicArn: aws.String("")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not 1")
	_, err = b.Publish(t.Context(), &awssns.PublishInput{Message: aws.String("m")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter")
	arn := b.subscribe(b.topic("alerts"), "sqs", queueARN, nil)
	_, err = b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{
		SubscriptionArn: &arn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String(""),
	})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: RawMessageDelivery: Invalid value []. Must be true or false.")
}

// TestStructureIsReadBeforeTheGroup: of two faults AWS tells this one.
func TestStructureIsReadBeforeTheGroup(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.fifo("orders.fifo")
	_, err := b.PublishBatch(t.Context(), &awssns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{
		{Id: aws.String("1"), Message: aws.String(`{"sqs":"m"}`), MessageStructure: aws.String("json")},
	}})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Message Structure - No default entry in JSON message body")
}

func TestPhoneNumbersAsSNSTakesThem(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "sms", "+1/500-555.0006", nil)
	require.Equal(t, "+15005550006", b.stored(arn).Endpoint)
	require.Equal(t, "+1/500-555.0006", b.attributes(arn)["Endpoint"])
	for _, bad := range []string{"+15--551234567", "NAA+15551234567", "+15551234567.", "/+15551234567", "15551234567", "+", "+1 500 555 0006"} {
		_, err := b.trySubscribe(topic, "sms", bad, nil)
		refused(t, err, "InvalidParameter", 400, "Invalid SMS endpoint: "+bad)
	}
}

func TestNextTokensArePaddedBase64(t *testing.T) {
	t.Parallel()
	b := start(t)
	for n := range 101 {
		b.topic(fmt.Sprintf("t%d", 1000+n))
	}
	out, err := b.ListTopics(t.Context(), &awssns.ListTopicsInput{})
	require.NoError(t, err)
	_, err = base64.StdEncoding.DecodeString(*out.NextToken)
	require.NoError(t, err)
	out, err = b.ListTopics(t.Context(), &awssns.ListTopicsInput{NextToken: out.NextToken})
	require.NoError(t, err)
	require.Len(t, out.Topics, 1)
}

func TestRemovingAPermissionThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	_, err := b.RemovePermission(t.Context(), &awssns.RemovePermissionInput{TopicArn: &topic, Label: aws.String("none")})
	require.NoError(t, err)
}

// TestLinksSayTheirRegionByTheTopic: a token that is of no subscription in
// another region is the topic's fault, as at AWS's address for this region.
func TestLinksSayTheirRegionByTheTopic(t *testing.T) {
	t.Parallel()
	b := start(t)
	token := b.tokenOf(b.subscribe(b.topic("alerts"), "https", "https://a.example/x", nil))
	for topic, fault := range map[string]string{
		"arn:aws:sns:eu-west-1:000000000000:alerts": "Topic", "alerts": "Topic", "arn:aws:sns:us-east-1:000000000001:alerts": "Token",
	} {
		status, answer := fetch(t, http.MethodGet, b.url+"/?"+url.Values{"Action": {"ConfirmSubscription"}, "TopicArn": {topic}, "Token": {token}}.Encode())
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, answer, "<Message>Invalid parameter: "+fault+"</Message>")
	}
}

// TestTracesGoOn: the trace of the call is beside the message in the queue.
func TestTracesGoOn(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	b.subscribe(topic, "sqs", b.queue("work"), map[string]string{"RawMessageDelivery": "true"})
	const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
	for _, form := range []url.Values{
		{"Action": {"Publish"}, "TopicArn": {topic}, "Message": {"m"}},
		{
			"Action": {"PublishBatch"}, "TopicArn": {topic}, "PublishBatchRequestEntries.member.1.Id": {"1"},
			"PublishBatchRequestEntries.member.1.Message": {"m"},
		},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/?"+form.Encode(), nil)
		require.NoError(t, err)
		r.Header.Set("X-Amzn-Trace-Id", trace)
		res, _ := wiretest.Send(t, r)
		require.Equal(t, http.StatusOK, res.StatusCode)
		got := b.receive("work")
		require.Len(t, got, 1)
		require.JSONEq(t, `{"x":{"DataType":"String","StringValue":"`+trace+`"}}`, string(got[0].Attributes))
	}
}

// TestLoginsInWebEndpoints: what stands before the host is a header and no part
// of the address, and nobody is shown the password again.
func TestLoginsInWebEndpoints(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "https", "https://al%40ice:s3cret@a.example/x?y=1", nil)
	const login = "Basic YWxAaWNlOnMzY3JldA=="
	asked := b.sent["webhook"].next(t)
	require.Equal(t, "https://a.example/x?y=1", asked.Endpoint)
	require.Equal(t, login, asked.Content.Headers["Authorization"])
	require.Equal(t, "https://al%40ice:****@a.example/x?y=1", b.attributes(arn)["Endpoint"])
	var e map[string]string
	require.NoError(t, json.Unmarshal(asked.Content.Payload, &e))
	status, answer := fetch(t, http.MethodGet, e["SubscribeURL"])
	require.Equal(t, http.StatusOK, status, answer)
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("m")})
	require.Equal(t, login, b.sent["webhook"].next(t).Content.Headers["Authorization"])
}

func TestFunctionsAndTextsThatAreNone(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	for _, bad := range []string{
		"f", "arn:aws:sqs:us-east-1:000000000000:f", "arn:aws:lambda:us-east-1:000000000000:f", "arn:aws:lambda:us-east-1:000000000000:function:",
	} {
		_, err := b.trySubscribe(topic, "lambda", bad, nil)
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: Lambda endpoint ARN")
	}
	text := strings.Repeat("ü", 1600)
	b.say(&awssns.PublishInput{PhoneNumber: aws.String("+15005550006"), Message: &text})
	_, err := b.Publish(t.Context(), &awssns.PublishInput{PhoneNumber: aws.String("+15005550006"), Message: aws.String(text + "x")})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Message Reason: a text message must be at most 1600 characters")
}
