package sqs_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

func entries(ids ...string) (out []types.SendMessageBatchRequestEntry) {
	for _, id := range ids {
		out = append(out, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: aws.String("body " + id)})
	}
	return out
}

func TestBatchesOfOneQueue(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	in := entries("a", "b", "c")
	in[1].MessageBody = aws.String("\x00")
	in[2].DelaySeconds = 901
	in[0].MessageAttributes = map[string]types.MessageAttributeValue{"k": {DataType: aws.String("Number"), StringValue: aws.String("1")}}
	sent, err := f.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: work, Entries: in})
	require.NoError(t, err)
	require.Len(t, sent.Successful, 1)
	require.Equal(t, "a", *sent.Successful[0].Id)
	require.NotEmpty(t, *sent.Successful[0].MD5OfMessageAttributes)
	require.Len(t, sent.Failed, 2)
	require.Equal(t, []string{"b", "InvalidMessageContents", "c", "InvalidParameterValue"},
		[]string{*sent.Failed[0].Id, *sent.Failed[0].Code, *sent.Failed[1].Id, *sent.Failed[1].Code})
	require.True(t, sent.Failed[0].SenderFault)

	got := f.receive(t, work)
	require.Equal(t, []string{"body a"}, bodies(got))
	hidden, err := f.ChangeMessageVisibilityBatch(t.Context(), &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: work, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 60}, {Id: aws.String("b"), ReceiptHandle: aws.String("x"), VisibilityTimeout: 60},
		{Id: aws.String("c"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 43201},
	}})
	require.NoError(t, err)
	require.Equal(t, "a", *hidden.Successful[0].Id)
	require.Equal(t, "ReceiptHandleIsInvalid", *hidden.Failed[0].Code)
	require.Equal(t, "InvalidParameterValue", *hidden.Failed[1].Code)

	gone, err := f.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: work, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("b"), ReceiptHandle: aws.String("x")}, {Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle},
	}})
	require.NoError(t, err)
	require.Equal(t, "a", *gone.Successful[0].Id)
	require.Equal(t, "ReceiptHandleIsInvalid", *gone.Failed[0].Code)
	require.Equal(t, "0", f.attribute(t, work, "ApproximateNumberOfMessagesNotVisible"))
}

func TestBadBatchesAreRefusedWhole(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work, orders := f.create(t, "work"), f.create(t, "orders.fifo", "FifoQueue", "true")
	many := make([]string, 20)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	long := entries("a", "b")
	long[0].MessageBody, long[1].MessageBody = aws.String(strings.Repeat("a", 1<<20-1)), aws.String("ab")
	const code = "AWS.SimpleQueueService."
	for _, c := range []struct {
		url           *string
		in            []types.SendMessageBatchRequestEntry
		code, message string
	}{
		{work, []types.SendMessageBatchRequestEntry{}, code + "EmptyBatchRequest", "There should be at least one SendMessageBatchRequestEntry in the request."},
		{work, entries(many...), code + "TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 20."},
		{work, entries("a", "a"), code + "BatchEntryIdsNotDistinct", "Id a repeated."},
		{work, entries("a:b"), code + "InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."},
		{work, entries(strings.Repeat("a", 81)), code + "InvalidBatchEntryId", ""},
		{work, long, code + "BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."},
		{orders, entries("a"), "InvalidParameterValue", "The request must contain the parameter MessageGroupId."},
	} {
		_, err := f.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: c.url, Entries: c.in})
		refused(t, err, c.code, c.message)
	}
	require.Empty(t, f.receive(t, work))
}
