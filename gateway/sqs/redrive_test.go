package sqs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

func arn(name string) string { return "arn:aws:sqs:us-east-1:000000000000:" + name }

func redrive(target string, most any) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%v}`, target, most)
}

func TestRedrivePolicyIsChecked(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	f.create(t, "dead.fifo", "FifoQueue", "true")
	f.create(t, "closed", "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
	f.create(t, "chosen", "RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["`+arn("work")+`"]}`)
	for policy, reason := range map[string]string{
		`{"maxReceiveCount":3}`:                                "mandatory attribute: deadLetterTargetArn",
		`{"maxReceiveCount":3,"deadLetterTargetArn":3}`:        "Invalid value for deadLetterTargetArn.",
		`{"maxReceiveCount":"many","deadLetterTargetArn":3}`:   "Invalid value for maxReceiveCount: many, valid values are from 1 to 1000 both inclusive.",
		`{"maxReceiveCount":3,"deadLetterTargetArn":"","a":1}`: "Only following attributes are supported: [maxReceiveCount, deadLetterTargetArn].",
		redrive("arn:aws:sns:us-east-1:000000000000:topic", 3): "Only SQS queues are valid resources for deadLetterTargetArn.",
		`{"deadLetterTargetArn":"` + arn("a") + `"}`:           "mandatory attribute: maxReceiveCount",
		redrive("dummy", 42):                                   "Invalid value for deadLetterTargetArn.",
		redrive(arn("none"), 0):                                "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
		redrive(arn("none"), 3):                                "Dead letter target does not exist.",
		redrive(arn("work"), 3):                                "Invalid value for deadLetterTargetArn.",
		redrive(arn("dead.fifo"), 3):                           "Dead-letter queue must be same type of queue as the source.",
		redrive(arn("closed"), 3):                              "RedriveAllowPolicy",
	} {
		refused(t, f.trySet(t, work, "RedrivePolicy", policy), "InvalidParameterValue", "Value "+policy+" for parameter RedrivePolicy is invalid. Reason: ")
		refused(t, f.trySet(t, work, "RedrivePolicy", policy), "InvalidParameterValue", reason)
	}
	f.set(t, work, "RedrivePolicy", redrive(arn("chosen"), `"5"`))
	require.Equal(t, redrive(arn("chosen"), 5), f.attribute(t, work, "RedrivePolicy"))
	refused(t, f.trySet(t, f.create(t, "other"), "RedrivePolicy", redrive(arn("chosen"), 5)), "InvalidParameterValue", "RedriveAllowPolicy")
	f.set(t, work, "RedrivePolicy", "")
	require.Empty(t, f.attribute(t, work, "RedrivePolicy"))
	for _, policy := range []string{"no JSON", "[]", "null", "{"} {
		refused(t, f.trySet(t, work, "RedrivePolicy", policy), "InvalidAttributeValue", "Invalid value for the parameter RedrivePolicy. Reason: Redrive policy is not a valid JSON map.")
	}
}

func TestRedriveAllowPolicyIsChecked(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	for _, policy := range []string{"444", "no JSON", "[]", "{}", "null", `{"redrivePermission":"some"}`, `{"redrivePermission":"allowAll","a":1}`, `{"redrivePermission":"byQueue","sourceQueueArns":"x"}`} {
		refused(t, f.trySet(t, work, "RedriveAllowPolicy", policy), "InvalidAttributeValue", "Invalid value for the parameter RedriveAllowPolicy. Reason: Amazon SQS can't create the redrive allow policy, as it’s in an unsupported format.")
	}
	eleven := `["` + strings.Join(slices.Repeat([]string{arn("a")}, 11), `","`) + `"]`
	for policy, reason := range map[string]string{
		`{"redrivePermission":"byQueue"}`:                                  "you must also specify one or more sourceQueueArns values.",
		`{"redrivePermission":"byQueue","sourceQueueArns":` + eleven + `}`: "The maximum number of source queue ARNs you can specify is 10.",
		`{"redrivePermission":"denyAll","sourceQueueArns":["a"]}`:          "you must set redrivePermission to byQueue.",
	} {
		refused(t, f.trySet(t, work, "RedriveAllowPolicy", policy), "InvalidParameterValue", "Value "+policy+" for parameter RedriveAllowPolicy is invalid. Reason: Amazon SQS can't create the redrive allow policy.")
		refused(t, f.trySet(t, work, "RedriveAllowPolicy", policy), "InvalidParameterValue", reason)
	}
}

// buried makes two queues with the same dead-letter queue, and lets messages of
// both be received once too often.
func buried(t *testing.T, f *face, count int) (dead *string, sources []*string) {
	t.Helper()
	dead = f.create(t, "dead")
	for _, name := range []string{"one", "two"} {
		url := f.create(t, name, "RedrivePolicy", redrive(arn("dead"), 1), "VisibilityTimeout", "0")
		sources = append(sources, url)
		for i := range count {
			f.send(t, url, fmt.Sprint(name, i))
		}
		require.Len(t, f.receive(t, url), count)
	}
	require.Eventually(t, func() bool { return f.attribute(t, dead, "ApproximateNumberOfMessages") == fmt.Sprint(2*count) }, 20*time.Second, 5*time.Millisecond)
	return dead, sources
}

func TestDeadLettersMoveBack(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	dead, sources := buried(t, f, 2)
	list, err := f.ListDeadLetterSourceQueues(t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
	require.NoError(t, err)
	require.Equal(t, []string{*sources[0], *sources[1]}, list.QueueUrls)
	page, err := f.ListDeadLetterSourceQueues(t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead, MaxResults: aws.Int32(1)})
	require.NoError(t, err)
	page, err = f.ListDeadLetterSourceQueues(t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead, MaxResults: aws.Int32(1), NextToken: page.NextToken})
	require.NoError(t, err)
	require.Equal(t, []string{*sources[1]}, page.QueueUrls)

	one := f.receive(t, dead)
	require.Len(t, one, 4)
	require.Equal(t, arn("one"), one[0].Attributes["DeadLetterQueueSourceArn"])
	require.Equal(t, "2", one[0].Attributes["ApproximateReceiveCount"], "received before in its source")
	for _, m := range one {
		_, err := f.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: dead, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0})
		require.NoError(t, err)
	}
	_, err = f.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dead"))})
	require.NoError(t, err)
	var shown types.ListMessageMoveTasksResultEntry
	require.Eventually(t, func() bool {
		out, err := f.ListMessageMoveTasks(t.Context(), &awssqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn("dead"))})
		require.NoError(t, err)
		require.Len(t, out.Results, 1)
		shown = out.Results[0]
		return aws.ToString(shown.Status) == "COMPLETED"
	}, 20*time.Second, 5*time.Millisecond)
	require.EqualValues(t, 4, shown.ApproximateNumberOfMessagesMoved)
	require.EqualValues(t, 4, *shown.ApproximateNumberOfMessagesToMove)
	require.Nil(t, shown.DestinationArn)
	require.Nil(t, shown.TaskHandle)
	for _, url := range sources {
		f.set(t, url, "RedrivePolicy", "")
		got := f.receive(t, url)
		require.Len(t, got, 2)
		require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
	}
}

func TestMoveIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	buried(t, f, 10)
	f.create(t, "target")
	in := &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dead")), DestinationArn: aws.String(arn("target")), MaxNumberOfMessagesPerSecond: aws.Int32(1)}
	started, err := f.StartMessageMoveTask(t.Context(), in)
	require.NoError(t, err)
	_, err = f.StartMessageMoveTask(t.Context(), in)
	refused(t, err, "InvalidParameterValue", "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	list, err := f.ListMessageMoveTasks(t.Context(), &awssqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn("dead"))})
	require.NoError(t, err)
	require.Equal(t, "RUNNING", *list.Results[0].Status)
	require.Equal(t, started.TaskHandle, list.Results[0].TaskHandle)
	require.Equal(t, arn("target"), *list.Results[0].DestinationArn)
	require.EqualValues(t, 1, *list.Results[0].MaxNumberOfMessagesPerSecond)
	done, err := f.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	require.NoError(t, err)
	require.Less(t, done.ApproximateNumberOfMessagesMoved, int64(20))
	_, err = f.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	refused(t, err, "ResourceNotFoundException", "Task does not exist.")
}

func TestMoveFailsWithItsDestination(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	buried(t, f, 10)
	target := f.create(t, "target")
	_, err := f.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{
		SourceArn: aws.String(arn("dead")), DestinationArn: aws.String(arn("target")), MaxNumberOfMessagesPerSecond: aws.Int32(1), // it is not over soon
	})
	require.NoError(t, err)
	_, err = f.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: target})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		out, err := f.ListMessageMoveTasks(t.Context(), &awssqs.ListMessageMoveTasksInput{SourceArn: aws.String(arn("dead"))})
		return err == nil && aws.ToString(out.Results[0].Status) == "FAILED" &&
			aws.ToString(out.Results[0].FailureReason) == "AWS.SimpleQueueService.NonExistentQueue"
	}, 10*time.Second, 20*time.Millisecond)
}

func TestBadMovesAreRefused(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	buried(t, f, 1)
	for _, c := range []struct {
		in            awssqs.StartMessageMoveTaskInput
		code, message string
	}{
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("one"))}, "InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."},
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("none"))}, "ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."},
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dead")), DestinationArn: aws.String(arn("none"))}, "ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist."},
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String("dead")}, "InvalidParameterValue", "SourceArn"},
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String("arn:aws:sqs:us-east-1:111111111111:dead")}, "AccessDenied", ""},
		{awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dead")), MaxNumberOfMessagesPerSecond: aws.Int32(501)}, "InvalidParameterValue", "MaxNumberOfMessagesPerSecond"},
	} {
		_, err := f.StartMessageMoveTask(t.Context(), &c.in)
		refused(t, err, c.code, c.message)
	}
	_, err := f.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: aws.String("foobared")})
	refused(t, err, "InvalidParameterValue", "Value for parameter TaskHandle is invalid.")
}
