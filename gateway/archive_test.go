package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
)

// notified takes notifications out of a queue until there are n, by number.
func notified(t *testing.T, c *sqs.Client, queueURL string, n int) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for waits := 0; len(all) < n; {
		got, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
		require.NoError(t, err)
		if len(got.Messages) == 0 {
			waits++
			require.Less(t, waits, 6, "%d of %d came", len(all), n)
			continue
		}
		done := &sqs.DeleteMessageBatchInput{QueueUrl: &queueURL}
		for i, m := range got.Messages {
			var e map[string]any
			require.NoError(t, json.Unmarshal([]byte(*m.Body), &e))
			number, ok := e["Message"].(string)
			require.True(t, ok)
			require.NotContains(t, all, number, "each comes once")
			all[number] = e
			done.Entries = append(done.Entries, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		_, err = c.DeleteMessageBatch(t.Context(), done)
		require.NoError(t, err)
	}
	return all
}

// TestArchivesAreReplayed: an SDK's topic keeps 600 messages; who comes later
// gets them, by a queue and by a webhook, also when the gateway is stopped
// meanwhile; and then what is new.
func TestArchivesAreReplayed(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	dir := t.TempDir()
	g, stop := serve(t, dir, sb)
	c, q := snsClient(g), sqsClient(g.URL(), "us-east-1", "test", "test")
	made, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{"ArchivePolicy": `{"MessageRetentionPeriod":"30"}`}})
	require.NoError(t, err)
	topic := made.TopicArn
	shown, err := c.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: topic})
	require.NoError(t, err)
	begins := shown.Attributes["BeginningArchiveTime"]

	const n = 600 / queuetest.Slowdown
	var mu sync.Mutex
	var wg sync.WaitGroup
	ids := map[string]string{}
	for from := 0; from < n; from += 10 {
		wg.Go(func() {
			in := &sns.PublishBatchInput{TopicArn: topic}
			for i := from; i < from+10; i++ {
				number := strconv.Itoa(i)
				in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, types.PublishBatchRequestEntry{
					Id: &number, Message: &number, MessageAttributes: map[string]types.MessageAttributeValue{
						"tens": {DataType: aws.String("Number"), StringValue: aws.String(strconv.Itoa(i % 10))},
					},
				})
			}
			out, err := c.PublishBatch(t.Context(), in)
			if err != nil || len(out.Failed) > 0 {
				t.Error("publish:", err, out)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, e := range out.Successful {
				ids[*e.Id] = *e.MessageId
			}
		})
	}
	wg.Wait()
	require.Len(t, ids, n)

	replay := fmt.Sprintf(`{"PointType":"Timestamp","StartingPoint":%q}`, begins)
	subscribe := func(protocol, endpoint, filter string) *string {
		attributes := map[string]string{"ReplayPolicy": replay}
		if filter != "" {
			attributes["FilterPolicy"] = filter
		}
		out, err := c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes, ReturnSubscriptionArn: true})
		require.NoError(t, err)
		return out.SubscriptionArn
	}
	work, err := q.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work")})
	require.NoError(t, err)
	hook := sb.Webhook.URL + "/late"
	web := subscribe("http", hook, `{"tens":[7]}`)
	asked, err := sb.Await(t.Context(), sandbox.ProviderWebhook, hook, 1)
	require.NoError(t, err)
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(asked[0].Body), &e))
	status, _ := call(t, http.MethodGet, e["SubscribeURL"], "")
	require.Equal(t, http.StatusOK, status)
	queued := subscribe("sqs", "arn:aws:sqs:us-east-1:000000000000:work", "")
	stop() // in the middle, or after it

	g, _ = serve(t, dir, sb)
	c, q = snsClient(g), sqsClient(g.URL(), "us-east-1", "test", "test")
	url := g.URL() + "/000000000000/work"
	require.NotEmpty(t, *work.QueueUrl)
	for number, e := range notified(t, q, url, n) {
		require.Equal(t, ids[number], e["MessageId"])
		require.Equal(t, "true", e["Replayed"])
	}
	for _, arn := range []*string{queued, web} {
		require.Eventually(t, func() bool {
			got, err := c.GetSubscriptionAttributes(t.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: arn})
			require.NoError(t, err)
			return got.Attributes["ReplayStatus"] == "Completed"
		}, time.Minute, 10*time.Millisecond)
	}
	got, err := sb.Await(t.Context(), sandbox.ProviderWebhook, hook, 1+n/10)
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, it := range got[1:] {
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(it.Body), &e))
		number, ok := e["Message"].(string)
		require.True(t, ok)
		require.Equal(t, ids[number], e["MessageId"])
		require.Equal(t, ids[number], it.Fields["x-amz-sns-message-id"])
		require.Equal(t, byte('7'), number[len(number)-1])
		seen[number] = true
	}
	require.Len(t, seen, n/10)

	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: aws.String("new")})
	require.NoError(t, err)
	require.NotContains(t, notified(t, q, url, 1)["new"], "Replayed")
}
