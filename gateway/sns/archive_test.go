package sns_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/queue/queuetest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// archive sets a topic's archive policy.
func (b *bench) archive(topic, policy string) error {
	_, err := b.SetTopicAttributes(b.t.Context(), &awssns.SetTopicAttributesInput{
		TopicArn: &topic, AttributeName: aws.String("ArchivePolicy"), AttributeValue: &policy,
	})
	return err
}

// begins is from when on a topic's archive can be replayed.
func (b *bench) begins(topic string) string {
	b.t.Helper()
	got, err := b.GetTopicAttributes(b.t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &topic})
	require.NoError(b.t, err)
	return got.Attributes["BeginningArchiveTime"]
}

// later waits until the store's time, which counts milliseconds, is behind the
// one it returns, and that is behind what was done before.
func (b *bench) later() time.Time {
	b.t.Helper()
	end := b.store.Now().Add(2 * time.Millisecond).UTC()
	require.Eventually(b.t, func() bool { return b.store.Now().After(end) }, time.Minute, time.Millisecond)
	return end
}

// from is the attributes of a subscription to what was published since then.
func from(start string) map[string]string {
	return map[string]string{"ReplayPolicy": fmt.Sprintf(`{"PointType":"Timestamp","StartingPoint":%q}`, start)}
}

func (b *bench) completed(subscription string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		return b.attributes(subscription)["ReplayStatus"] == "Completed"
	}, 20*queuetest.Slowdown*time.Second, 5*time.Millisecond)
}

// envelopes takes notifications out of a queue.
func (b *bench) envelopes(name string) (all []map[string]any) {
	b.t.Helper()
	for {
		got := b.receive(name)
		if len(got) == 0 {
			return all
		}
		for _, m := range got {
			var e map[string]any
			require.NoError(b.t, json.Unmarshal(m.Body, &e))
			all = append(all, e)
			require.NoError(b.t, b.store.Delete(b.t.Context(), m.Queue, m.Handle)[0])
		}
	}
}

func TestArchivePolicies(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	require.Empty(t, b.begins(topic))
	for policy, why := range map[string]string{
		"": "Unable to parse JSON", "{": "Unable to parse JSON", "[]": "JSON is missing required fields", "null": "JSON is missing required fields",
		`{"Days":1}`: "JSON is missing required fields", `{"MessageRetentionPeriod":"0"}`: "MessageRetentionPeriod value is invalid",
		`{"MessageRetentionPeriod":366}`: "MessageRetentionPeriod value is invalid", `{"MessageRetentionPeriod":{}}`: "MessageRetentionPeriod value is invalid",
	} {
		refused(t, b.archive(topic, policy), "InvalidParameter", 400, "Invalid parameter: ArchivePolicy: "+why)
	}
	for _, policy := range []string{`{"MessageRetentionPeriod":"1"}`, `{"MessageRetentionPeriod": 365}`} {
		require.NoError(t, b.archive(topic, policy))
		got, err := b.GetTopicAttributes(t.Context(), &awssns.GetTopicAttributesInput{TopicArn: &topic})
		require.NoError(t, err)
		require.Equal(t, policy, got.Attributes["ArchivePolicy"])
		require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, got.Attributes["BeginningArchiveTime"])
	}
	remove := func() error {
		_, err := b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &topic})
		return err
	}
	refused(t, remove(), "InvalidState", 400, "Invalid state: Cannot delete a topic with an ArchivePolicy")
	require.NoError(t, b.archive(topic, "{}"))
	require.Empty(t, b.begins(topic))
	require.NoError(t, remove())

	made, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("kept"), Attributes: map[string]string{"ArchivePolicy": `{"MessageRetentionPeriod":"7"}`}})
	require.NoError(t, err)
	require.NotEmpty(t, b.begins(*made.TopicArn))
	_, err = b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("bad"), Attributes: map[string]string{"ArchivePolicy": "x"}})
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: ArchivePolicy: Unable to parse JSON")
}

func TestReplayPoliciesThatCannotBe(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic, plain := b.topic("alerts"), b.topic("plain")
	require.NoError(t, b.archive(topic, `{"MessageRetentionPeriod":"1"}`))
	begins := b.begins(topic)
	queue := b.queue("work")
	arn := b.subscribe(topic, "sqs", queue, nil)
	const early, late = "2001-01-01T00:00:00Z", "2901-01-01T00:00:00.000Z"
	for policy, why := range map[string]string{
		"{": "Unable to parse JSON", "[]": "JSON is missing required fields", `{"PointType":"Timestamp"}`: "JSON is missing required fields",
		`{"PointType":"Time","StartingPoint":"` + begins + `"}`:                                    "Invalid PointType",
		`{"PointType":"Timestamp","StartingPoint":"yesterday"}`:                                    "Invalid StartingPoint value",
		`{"PointType":"Timestamp","StartingPoint":"` + early + `"}`:                                "Invalid StartingPoint value",
		`{"PointType":"Timestamp","StartingPoint":"` + late + `"}`:                                 "Invalid StartingPoint value",
		`{"PointType":"Timestamp","StartingPoint":"` + begins + `","EndingPoint":"` + early + `"}`: "Invalid EndingPoint value",
		`{"PointType":"Timestamp","StartingPoint":"` + begins + `","EndingPoint":"` + late + `"}`:  "Invalid EndingPoint value",
		`{"PointType":"Timestamp","StartingPoint":"` + begins + `","EndingPoint":""}`:              "Invalid EndingPoint value",
	} {
		_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{
			SubscriptionArn: &arn, AttributeName: aws.String("ReplayPolicy"), AttributeValue: &policy,
		})
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: ReplayPolicy: "+why)
		_, err = b.trySubscribe(topic, "sms", "+15005550006", map[string]string{"ReplayPolicy": policy})
		refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: ReplayPolicy: "+why)
	}
	require.NotContains(t, b.attributes(arn), "ReplayStatus")
	_, err := b.trySubscribe(plain, "sqs", queue, from(begins))
	refused(t, err, "InvalidParameter", 400, "Invalid parameter: Attributes Reason: ReplayPolicy: Topic does not have an ArchivePolicy")
}

// A replayed notification is the original one, and says what it is.
func TestReplayedNotifications(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	require.NoError(t, b.archive(topic, `{"MessageRetentionPeriod":"1"}`))
	b.subscribe(topic, "sqs", b.queue("live"), nil)
	for _, color := range []string{"red", "blue"} {
		b.say(&awssns.PublishInput{TopicArn: &topic, Message: &color, Subject: aws.String("Hello"), MessageAttributes: map[string]types.MessageAttributeValue{"color": text(color)}})
	}
	live := b.envelopes("live")
	require.Len(t, live, 2)

	red := from(b.begins(topic))
	red["FilterPolicy"] = `{"color":["red"]}`
	arn := b.subscribe(topic, "sqs", b.queue("late"), red)
	b.completed(arn)
	require.Equal(t, red["ReplayPolicy"], b.attributes(arn)["ReplayPolicy"])
	late := b.envelopes("late")
	require.Len(t, late, 1)
	require.Equal(t, "true", late[0]["Replayed"])
	for _, e := range live {
		require.NotContains(t, e, "Replayed")
		if e["Message"] == "red" {
			for _, same := range []string{"MessageId", "Timestamp", "Subject", "Message", "MessageAttributes", "TopicArn", "Signature"} {
				require.Equal(t, e[same], late[0][same], same)
			}
		}
	}
	raw := from(b.begins(topic))
	raw["RawMessageDelivery"] = "true"
	b.completed(b.subscribe(topic, "sqs", b.queue("raw"), raw))
	for _, m := range b.receive("raw") {
		require.Contains(t, []string{"red", "blue"}, string(m.Body))
		require.JSONEq(t, `{"a":{"color":{"DataType":"String","StringValue":"`+string(m.Body)+`"}}}`, string(m.Attributes))
	}

	lambda := b.subscribe(topic, "lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", from(b.begins(topic)))
	ids := map[any]bool{live[0]["MessageId"]: true, live[1]["MessageId"]: true}
	for range 2 {
		d := b.sent[topics.Lambda].next(t)
		require.True(t, ids[d.Publish.String()])
		delete(ids, d.Publish.String())
	}
	b.completed(lambda)

	empty := "{}"
	_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: aws.String("ReplayPolicy"), AttributeValue: &empty})
	require.NoError(t, err)
	require.NotContains(t, b.attributes(arn), "ReplayPolicy")
	require.NotContains(t, b.attributes(arn), "ReplayStatus")
}

func TestFIFOTopicsReplayInOrder(t *testing.T) {
	t.Parallel()
	b := start(t)
	made, err := b.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("orders.fifo"), Attributes: map[string]string{
		"FifoTopic": "true", "ContentBasedDeduplication": "true", "ArchivePolicy": `{"MessageRetentionPeriod":"1"}`,
	}})
	require.NoError(t, err)
	topic := *made.TopicArn
	const groups, each = 4, 25
	sequence := map[string]string{}
	for i := range each {
		for g := range groups {
			message := fmt.Sprintf("%d %d", g, i)
			out, err := b.Publish(t.Context(), &awssns.PublishInput{TopicArn: &topic, Message: &message, MessageGroupId: aws.String(fmt.Sprint(g))})
			require.NoError(t, err)
			sequence[message] = *out.SequenceNumber
		}
	}
	_, err = b.store.CreateQueue(t.Context(), topics.QueueName(owner, "work.fifo"), queue.Settings{FIFO: true})
	require.NoError(t, err)
	b.completed(b.subscribe(topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:work.fifo", from(b.begins(topic))))
	next := map[string]int{}
	for {
		got := b.receive("work.fifo")
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			var e map[string]any
			require.NoError(t, json.Unmarshal(m.Body, &e))
			message := fmt.Sprintf("%s %d", m.Group, next[m.Group])
			require.Equal(t, message, e["Message"])
			require.Equal(t, sequence[message], e["SequenceNumber"])
			require.Equal(t, "true", e["Replayed"])
			next[m.Group]++
			require.NoError(t, b.store.Delete(t.Context(), m.Queue, m.Handle)[0])
		}
	}
	require.Equal(t, map[string]int{"0": each, "1": each, "2": each, "3": each}, next)
}

// A replay of an archive that was ended has nothing to bring: it fails, and its
// subscription goes on with what is published. The topic can be deleted then.
func TestAReplayOfAnEndedArchiveFails(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	require.NoError(t, b.archive(topic, `{"MessageRetentionPeriod":"1"}`))
	b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("old")})
	b.later() // what is published as it is asked for belongs to the replay
	arn := b.subscribe(topic, "http", "http://one/", from(b.begins(topic)))
	require.Equal(t, "Pending", b.attributes(arn)["ReplayStatus"])
	require.NoError(t, b.archive(topic, "{}"))
	_, err := b.ConfirmSubscription(t.Context(), &awssns.ConfirmSubscriptionInput{TopicArn: &topic, Token: aws.String(b.tokenOf(arn))})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return b.attributes(arn)["ReplayStatus"] == "Failed"
	}, 20*queuetest.Slowdown*time.Second, 5*time.Millisecond)
	id := b.say(&awssns.PublishInput{TopicArn: &topic, Message: aws.String("new")})
	for {
		d := b.sent[topics.Webhook].next(t)
		if d.Publish.String() == id {
			break
		}
		require.NotContains(t, string(d.Content.Payload), `"old"`)
	}
	_, err = b.DeleteTopic(t.Context(), &awssns.DeleteTopicInput{TopicArn: &topic})
	require.NoError(t, err)
}

// A replay with an end brings what lies before it, and nothing comes behind,
// until the policy is taken away.
func TestAReplayStaysAtItsEnd(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	require.NoError(t, b.archive(topic, `{"MessageRetentionPeriod":"1"}`))
	say := func(message string) { b.say(&awssns.PublishInput{TopicArn: &topic, Message: &message}) }
	say("old")
	end := b.later()
	say("behind")
	policy := fmt.Sprintf(`{"PointType":"Timestamp","StartingPoint":%q,"EndingPoint":%q}`, b.begins(topic), end.Format("2006-01-02T15:04:05.000Z"))
	arn := b.subscribe(topic, "sqs", b.queue("work"), map[string]string{"ReplayPolicy": policy})
	b.completed(arn)
	say("new")
	got := b.envelopes("work")
	require.Len(t, got, 1)
	require.Equal(t, "old", got[0]["Message"])
	require.Equal(t, policy, b.attributes(arn)["ReplayPolicy"])

	_, err := b.SetSubscriptionAttributes(t.Context(), &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &arn, AttributeName: aws.String("ReplayPolicy"), AttributeValue: aws.String("{}")})
	require.NoError(t, err)
	say("newer")
	got = b.envelopes("work")
	require.Len(t, got, 1)
	require.Equal(t, "newer", got[0]["Message"])
	require.NotContains(t, got[0], "Replayed")
}
