package gateway_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// subscriber is a webhook of the sandbox that confirmed its subscription to a
// topic, with a dead-letter queue.
type subscriber struct {
	*sns.Client
	t          *testing.T
	sb         *sandbox.Server
	queues     *sqs.Client
	dead       string // URL of the queue
	topic, arn string
	hook       string
}

func subscribed(t *testing.T, attributes map[string]string) *subscriber {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, _ := serve(t, t.TempDir(), sb)
	s := &subscriber{
		t: t, sb: sb, queues: sqsClient(g.URL(), "us-east-1", "test", "test"), hook: sb.Webhook.URL + "/sns",
	}
	s.Client = sns.New(sns.Options{Region: "us-east-1", BaseEndpoint: aws.String(g.URL()), Credentials: s.queues.Options().Credentials})
	made, err := s.queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("dead")})
	require.NoError(t, err)
	s.dead = *made.QueueUrl
	topic, err := s.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts")})
	require.NoError(t, err)
	s.topic = *topic.TopicArn
	attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`
	sub, err := s.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: &s.topic, Protocol: aws.String("http"), Endpoint: &s.hook, Attributes: attributes, ReturnSubscriptionArn: true,
	})
	require.NoError(t, err)
	s.arn = *sub.SubscriptionArn
	asked, err := sb.Await(t.Context(), sandbox.ProviderWebhook, s.hook, 1)
	require.NoError(t, err)
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(asked[0].Body), &e))
	status, _ := call(t, http.MethodGet, e["SubscribeURL"], "")
	require.Equal(t, http.StatusOK, status)
	return s
}

// say publishes a text and gives its message id.
func (s *subscriber) say(text string) string {
	s.t.Helper()
	out, err := s.Publish(s.t.Context(), &sns.PublishInput{TopicArn: &s.topic, Message: &text})
	require.NoError(s.t, err)
	return *out.MessageId
}

// buried waits for the next message in the dead-letter queue and takes it out.
func (s *subscriber) buried() types.Message {
	s.t.Helper()
	out, err := s.queues.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &s.dead, WaitTimeSeconds: 20, MessageAttributeNames: []string{"All"}, MaxNumberOfMessages: 10,
	})
	require.NoError(s.t, err)
	require.Len(s.t, out.Messages, 1)
	_, err = s.queues.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &s.dead, ReceiptHandle: out.Messages[0].ReceiptHandle})
	require.NoError(s.t, err)
	return out.Messages[0]
}

// attempts are the requests the webhook got of a message.
func (s *subscriber) attempts(id string) (found []sandbox.Item) {
	for _, item := range s.sb.Requests(sandbox.ProviderWebhook, s.hook) {
		if item.Fields["x-amz-sns-message-id"] == id {
			found = append(found, item)
		}
	}
	return found
}

const atOnce = `{"healthyRetryPolicy":{"numRetries":2,"numNoDelayRetries":2},"requestPolicy":{"headerContentType":"application/json"}}`

func TestSNSRetriesServerErrorsUnderTheSameID(t *testing.T) {
	t.Parallel()
	s := subscribed(t, map[string]string{"DeliveryPolicy": atOnce})
	s.sb.Script(sandbox.ProviderWebhook, s.hook, sandbox.Answer{Status: 503, Times: 1}, sandbox.Answer{Drop: sandbox.DropBefore, Times: 1})
	id := s.say("hi")
	_, err := s.sb.Await(t.Context(), sandbox.ProviderWebhook, s.hook, 2)
	require.NoError(t, err)
	tries := s.attempts(id)
	require.Len(t, tries, 3)
	for _, try := range tries {
		require.Equal(t, "application/json", try.Fields["content-type"])
		require.Equal(t, tries[0].Body, try.Body)
	}
}

func TestSNSDeadLetters(t *testing.T) {
	t.Parallel()
	s := subscribed(t, map[string]string{"DeliveryPolicy": atOnce})
	for _, c := range []struct {
		status   int
		code     string
		attempts int
	}{{404, "404", 1}, {500, "500", 3}, {410, "410", 1}, {301, "301", 3}, {429, "429", 1}} { // the breaker stays shut
		s.sb.Script(sandbox.ProviderWebhook, s.hook, sandbox.Answer{Status: c.status})
		id := s.say("hi")
		got := s.buried()
		require.Len(t, s.attempts(id), c.attempts, c.code)
		require.Equal(t, s.attempts(id)[0].Body, *got.Body, "in the form it would have had")
		require.Equal(t, c.code, *got.MessageAttributes["ErrorCode"].StringValue)
		require.NotEmpty(t, *got.MessageAttributes["ErrorMessage"].StringValue)
		require.NotEmpty(t, *got.MessageAttributes["RequestID"].StringValue)
	}
	s.sb.Script(sandbox.ProviderWebhook, s.hook)
	s.say("hi")
	_, err := s.sb.Await(t.Context(), sandbox.ProviderWebhook, s.hook, 2)
	require.NoError(t, err, "failures do not end the subscription")
}

func TestSNSThrottle(t *testing.T) {
	t.Parallel()
	s := subscribed(t, map[string]string{"DeliveryPolicy": `{"throttlePolicy":{"maxReceivesPerSecond":10}}`})
	began := time.Now()
	for range 15 {
		s.say("hi")
	}
	got, err := s.sb.Await(t.Context(), sandbox.ProviderWebhook, s.hook, 16)
	require.NoError(t, err)
	for i, item := range got[1:] { // the first is the confirmation
		require.GreaterOrEqual(t, item.At.Sub(began), time.Duration(i-1)*100*time.Millisecond, "the %d.", i+1)
	}
}

func TestSNSTopicsPolicyHoldsForItsSubscriptions(t *testing.T) {
	t.Parallel()
	s := subscribed(t, map[string]string{"RawMessageDelivery": "true"})
	set := func(name, value string) {
		_, err := s.SetTopicAttributes(t.Context(), &sns.SetTopicAttributesInput{TopicArn: &s.topic, AttributeName: &name, AttributeValue: &value})
		require.NoError(t, err)
	}
	s.sb.Script(sandbox.ProviderWebhook, s.hook, sandbox.Answer{Status: 500})
	for _, retries := range []string{"0", "2"} {
		set("DeliveryPolicy", `{"http":{"defaultHealthyRetryPolicy":{"numRetries":`+retries+`,"numNoDelayRetries":`+retries+`}}}`)
		id := s.say("hi")
		got := s.buried()
		require.Equal(t, "hi", *got.Body)
		require.Len(t, s.attempts(id), int(retries[0]-'0')+1)
	}
}
