package sqs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
)

func attributeNames(names ...string) (out []types.QueueAttributeName) {
	for _, n := range names {
		out = append(out, types.QueueAttributeName(n))
	}
	return out
}

func TestQueueIsCreatedOnce(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	first := f.create(t, "work", "DelaySeconds", "5")
	require.Equal(t, f.url+"/000000000000/work", *first)
	require.Equal(t, first, f.create(t, "work"), "attributes that are not named are not compared")
	require.Equal(t, first, f.create(t, "work", "DelaySeconds", "5", "VisibilityTimeout", "30"))
	_, err := f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("work"), Attributes: pairs([]string{"DelaySeconds", "6"})})
	refused(t, err, "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute DelaySeconds")

	got, err := f.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("work")})
	require.NoError(t, err)
	require.Equal(t, first, got.QueueUrl)
	_, err = f.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("none")})
	refused(t, err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
	_, err = f.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("work"), QueueOwnerAWSAccountId: aws.String("111111111111")})
	refused(t, err, "AccessDenied", "")
}

func TestQueueNames(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	for name, fifo := range map[string]bool{"": false, "a b": false, "a.fifo": false, strings.Repeat("a", 81): false, "a": true, strings.Repeat("a", 76) + ".fifo": true} {
		in := &awssqs.CreateQueueInput{QueueName: &name}
		if fifo {
			in.Attributes = map[string]string{"FifoQueue": "true"}
		}
		_, err := f.CreateQueue(t.Context(), in)
		code, message := "InvalidParameterValue", "an only include alphanumeric characters, hyphens, or underscores"
		if name == "" {
			message = "Queue name cannot be empty"
		}
		refused(t, err, code, message)
	}
	f.create(t, strings.Repeat("a", 80))
	f.create(t, strings.Repeat("a", 75)+".fifo", "FifoQueue", "true")
}

func TestAttributesHaveDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	all, err := f.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: work, AttributeNames: attributeNames("All")})
	require.NoError(t, err)
	for _, name := range []string{"CreatedTimestamp", "LastModifiedTimestamp"} {
		require.Regexp(t, `^\d{10}$`, all.Attributes[name])
		delete(all.Attributes, name)
	}
	require.Equal(t, map[string]string{
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesDelayed": "0", "ApproximateNumberOfMessagesNotVisible": "0",
		"DelaySeconds": "0", "MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600", "ReceiveMessageWaitTimeSeconds": "0",
		"VisibilityTimeout": "30", "SqsManagedSseEnabled": "true", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:work",
	}, all.Attributes)
	for _, c := range []struct{ name, least, most, under, over string }{
		{"DelaySeconds", "0", "900", "-1", "901"},
		{"MaximumMessageSize", "1024", "1048576", "1023", "1048577"},
		{"MessageRetentionPeriod", "60", "1209600", "59", "1209601"},
		{"ReceiveMessageWaitTimeSeconds", "0", "20", "-1", "21"},
		{"VisibilityTimeout", "0", "43200", "-1", "43201"},
		{"KmsDataKeyReusePeriodSeconds", "60", "86400", "59", "86401"},
	} {
		for _, good := range []string{c.most, c.least} {
			f.set(t, work, c.name, good)
			require.Equal(t, good, f.attribute(t, work, c.name))
		}
		for _, bad := range []string{c.under, c.over, "x", ""} {
			err := f.trySet(t, work, c.name, bad)
			if bad == "" && c.name == "KmsDataKeyReusePeriodSeconds" {
				require.NoError(t, err)
				continue
			}
			refused(t, err, "InvalidAttributeValue", "Invalid value for the parameter "+c.name+".")
		}
	}
	refused(t, f.trySet(t, work, "Colour", "red"), "InvalidAttributeName", "Unknown Attribute Colour.")
	refused(t, f.trySet(t, work, "FifoQueue", "true"), "InvalidAttributeName", "Unknown Attribute FifoQueue.")
	refused(t, f.trySet(t, work, "ContentBasedDeduplication", "true"), "InvalidAttributeName", "Unknown Attribute ContentBasedDeduplication.")
	_, err = f.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: work, AttributeNames: attributeNames("Colour")})
	refused(t, err, "InvalidAttributeName", "Unknown Attribute Colour.")
	for _, name := range []string{"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"} {
		_, err = f.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: work, AttributeNames: attributeNames(name)})
		refused(t, err, "InvalidAttributeName", "Unknown Attribute "+name+".")
	}
	_, err = f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("other"), Attributes: pairs([]string{"FifoQueue", "false"})})
	refused(t, err, "InvalidAttributeName", "Unknown Attribute FifoQueue.")
}

func TestEncryptionIsOneOfTwo(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work", "KmsMasterKeyId", "alias/mine")
	require.Equal(t, "false", f.attribute(t, work, "SqsManagedSseEnabled"))
	require.Equal(t, "300", f.attribute(t, work, "KmsDataKeyReusePeriodSeconds"))
	refused(t, f.trySet(t, work, "SqsManagedSseEnabled", "true"), "InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time.")
	f.set(t, work, "KmsMasterKeyId", "")
	f.set(t, work, "SqsManagedSseEnabled", "true")
	require.Equal(t, "true", f.attribute(t, work, "SqsManagedSseEnabled"))
}

func TestAttributesOfFIFOQueues(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	orders := f.create(t, "orders.fifo", "FifoQueue", "true")
	for name, want := range map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"} {
		require.Equal(t, want, f.attribute(t, orders, name))
	}
	f.set(t, orders, "FifoQueue", "true")
	refused(t, f.trySet(t, orders, "FifoQueue", "false"), "InvalidAttributeValue", "Modifying queue type is not supported.")
	refused(t, f.trySet(t, orders, "FifoThroughputLimit", "perMessageGroupId"), "InvalidAttributeValue", "DeduplicationScope is messageGroup")
	f.set(t, orders, "FifoThroughputLimit", "perMessageGroupId", "DeduplicationScope", "messageGroup", "ContentBasedDeduplication", "true")
	require.Equal(t, "messageGroup", f.attribute(t, orders, "DeduplicationScope"))
	require.Equal(t, "perMessageGroupId", f.attribute(t, orders, "FifoThroughputLimit"))
	require.Equal(t, "true", f.attribute(t, orders, "ContentBasedDeduplication"))
}

func (f *face) trySet(t testing.TB, queueURL *string, attrs ...string) error {
	t.Helper()
	_, err := f.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: queueURL, Attributes: pairs(attrs)})
	return err
}

func (f *face) set(t testing.TB, queueURL *string, attrs ...string) {
	t.Helper()
	require.NoError(t, f.trySet(t, queueURL, attrs...))
}

func TestQueuesAreListedInPages(t *testing.T) {
	t.Parallel()
	f := newFace(t, lax)
	var want []string
	for i := range 7 {
		want = append(want, *f.create(t, fmt.Sprintf("work-%d", i)))
	}
	f.create(t, "other")
	var got []string
	in := &awssqs.ListQueuesInput{QueueNamePrefix: aws.String("work-"), MaxResults: aws.Int32(3)}
	for page := 1; ; page++ {
		out, err := f.ListQueues(t.Context(), in)
		require.NoError(t, err)
		got = append(got, out.QueueUrls...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			require.Equal(t, 3, page)
			break
		}
	}
	require.Equal(t, want, got)
	out, err := f.ListQueues(t.Context(), &awssqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Len(t, out.QueueUrls, 8)
	_, err = f.ListQueues(t.Context(), &awssqs.ListQueuesInput{MaxResults: aws.Int32(1001)})
	refused(t, err, "InvalidParameterValue", "MaxResults")
}

func TestDeletedQueueKeepsItsName(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		f := newFace(t, sqs.Options{RecreateAtOnce: atOnce})
		work := f.create(t, "work")
		_, err := f.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: work})
		require.NoError(t, err)
		_, err = f.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: work})
		refused(t, err, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
		_, err = f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("work")})
		if atOnce {
			require.NoError(t, err)
			continue
		}
		refused(t, err, "AWS.SimpleQueueService.QueueDeletedRecently", "You must wait 60 seconds")
		f.create(t, "another")
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		f := newFace(t, sqs.Options{RecreateAtOnce: atOnce})
		work := f.create(t, "work")
		f.send(t, work, "one", "two")
		_, err := f.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: work})
		require.NoError(t, err)
		require.Empty(t, f.receive(t, work))
		_, err = f.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: work})
		if atOnce {
			require.NoError(t, err)
			continue
		}
		refused(t, err, "AWS.SimpleQueueService.PurgeQueueInProgress", "Only one PurgeQueue operation on work is allowed every 60 seconds.")
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	out, err := f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("work"), Tags: map[string]string{"team": "red"}})
	require.NoError(t, err)
	work := out.QueueUrl
	_, err = f.TagQueue(t.Context(), &awssqs.TagQueueInput{QueueUrl: work, Tags: map[string]string{"team": "blue", "cost": ""}})
	require.NoError(t, err)
	f.set(t, work, "DelaySeconds", "1") // keeps them
	list, err := f.ListQueueTags(t.Context(), &awssqs.ListQueueTagsInput{QueueUrl: work})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"team": "blue", "cost": ""}, list.Tags)
	_, err = f.UntagQueue(t.Context(), &awssqs.UntagQueueInput{QueueUrl: work, TagKeys: []string{"team", "none"}})
	require.NoError(t, err)
	list, err = f.ListQueueTags(t.Context(), &awssqs.ListQueueTagsInput{QueueUrl: work})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"cost": ""}, list.Tags)
	many := make(map[string]string)
	for i := range 50 {
		many[fmt.Sprint(i)] = "x"
	}
	_, err = f.TagQueue(t.Context(), &awssqs.TagQueueInput{QueueUrl: work, Tags: many})
	refused(t, err, "InvalidParameterValue", "Too many tags")
	many["one more"] = "x"
	_, err = f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("other"), Tags: many})
	refused(t, err, "InvalidParameterValue", "Too many tags")
	_, err = f.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("other")})
	refused(t, err, "AWS.SimpleQueueService.NonExistentQueue", "does not exist")
}

func TestPoliciesHaveASize(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	set := func(policy string) error {
		_, err := f.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: work, Attributes: map[string]string{"Policy": policy}})
		return err
	}
	add := func(n, accounts int) error {
		_, err := f.AddPermission(t.Context(), &awssqs.AddPermissionInput{
			QueueUrl: work, Label: aws.String(fmt.Sprint(n)), AWSAccountIds: slices.Repeat([]string{"111111111111"}, accounts), Actions: []string{"*"},
		})
		return err
	}
	policy := func(padding int) string { return `{"Id":"` + strings.Repeat("x", padding) + `"}` }
	require.NoError(t, set(policy(8192-len(policy(0)))))
	refused(t, set(policy(8193-len(policy(0)))), "InvalidAttributeValue", "Invalid value for the parameter Policy.")
	require.NoError(t, set(""))
	refused(t, add(0, 300), "OverLimit", "maximum allowed is 8192.")
	for n := range 20 {
		require.NoError(t, add(n, 1))
	}
	refused(t, add(20, 1), "OverLimit", "21 Statements were found, maximum allowed is 20.")
}

func TestPermissionsAreKeptInThePolicy(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	add := func(label string, actions ...string) error {
		_, err := f.AddPermission(t.Context(), &awssqs.AddPermissionInput{
			QueueUrl: work, Label: &label, AWSAccountIds: []string{"111111111111", "222222222222"}, Actions: actions,
		})
		return err
	}
	require.NoError(t, add("readers", "ReceiveMessage"))
	require.JSONEq(t, `{"Version": "2008-10-17", "Id": "arn:aws:sqs:us-east-1:000000000000:work/SQSDefaultPolicy", "Statement": [{
		"Sid": "readers", "Effect": "Allow", "Action": "SQS:ReceiveMessage", "Resource": "arn:aws:sqs:us-east-1:000000000000:work",
		"Principal": {"AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"]}}]}`, f.attribute(t, work, "Policy"))
	refused(t, add("readers", "SendMessage"), "InvalidParameterValue", "Value readers for parameter Label is invalid. Reason: Already exists.")
	refused(t, add("others", "Fly"), "InvalidParameterValue", "Value Fly for parameter ActionName is invalid.")
	refused(t, add("others", "DeleteQueue"), "InvalidParameterValue", "Value SQS:DeleteQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to invoke this action.")
	refused(t, add("others", slices.Repeat([]string{"SendMessage"}, 8)...), "OverLimit", "8 Actions were found, maximum allowed is 7.")
	remove := &awssqs.RemovePermissionInput{QueueUrl: work, Label: aws.String("readers")}
	_, err := f.RemovePermission(t.Context(), remove)
	require.NoError(t, err)
	require.Empty(t, f.attribute(t, work, "Policy"))
	_, err = f.RemovePermission(t.Context(), remove)
	refused(t, err, "InvalidParameterValue", "Value readers for parameter Label is invalid. Reason: can't find label.")
}

func TestQueueURLs(t *testing.T) {
	t.Parallel()
	strict, open := newFace(t, sqs.Options{}), newFace(t, lax)
	for _, f := range []*face{strict, open} {
		f.create(t, "work")
		f.send(t, aws.String("http://elsewhere:1/000000000000/work"), "the host does not matter")
	}
	open.send(t, aws.String("work"), "one")
	open.send(t, aws.String("http://localhost/queue/work"), "two")
	ask := func(f *face, at string) error {
		_, err := f.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &at})
		return err
	}
	refused(t, ask(strict, "work"), "InvalidAddress", "The address work is not valid for this endpoint.")
	refused(t, ask(strict, strict.url+"/111111111111/work"), "AccessDenied", "")
	refused(t, ask(open, open.url+"/111111111111/work"), "AWS.SimpleQueueService.NonExistentQueue", "")
	refused(t, ask(open, "nothing"), "AWS.SimpleQueueService.NonExistentQueue", "")
}

// A form may go to a queue's own URL, for what a queue does.
func TestFormsAtQueueURLs(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	f.create(t, "work")
	for _, c := range []struct{ action, want string }{
		{"SendMessage&MessageBody=x", "<SendMessageResult>"},
		{"ReceiveMessage", "<Body>x</Body>"},
		{"GetQueueUrl&QueueName=work", "/work</QueueUrl>"},
		{"CreateQueue&QueueName=second", "<Code>InvalidAction</Code><Message>The action CreateQueue is not valid for this endpoint."},
		{"ListQueues", "<Code>InvalidAction</Code><Message>The action ListQueues is not valid for this endpoint."},
	} {
		_, _, answer := f.post(t, "/000000000000/work", "application/x-www-form-urlencoded", "", "Action="+c.action)
		require.Contains(t, answer, c.want)
	}
	_, _, answer := f.post(t, "/", "application/x-www-form-urlencoded", "", "Action=ListQueues")
	require.NotContains(t, answer, "second")
	status, _, answer := f.post(t, "/000000000000/work", "application/x-www-form-urlencoded", "", "")
	require.Equal(t, 404, status)
	require.Equal(t, "<UnknownOperationException/>\n", answer)
}

func TestNativeQueuesAreSeen(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	_, err := f.store.CreateQueue(t.Context(), "sqs/000000000000/local/native", queue.Settings{})
	require.NoError(t, err)
	out, err := f.ListQueues(t.Context(), &awssqs.ListQueuesInput{})
	require.NoError(t, err)
	require.True(t, slices.Equal([]string{f.url + "/000000000000/native"}, out.QueueUrls))
	f.set(t, &out.QueueUrls[0], "Policy", `{"Statement":[]}`)
	require.Equal(t, "1209600", f.attribute(t, &out.QueueUrls[0], "MessageRetentionPeriod"), "it keeps messages for ever")
}
