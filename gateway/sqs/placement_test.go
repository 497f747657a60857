package sqs_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
)

// In a store of several shards, too, a deduplication id counts in the scope that
// the queue names.
func TestDeduplicationScopes(t *testing.T) {
	t.Parallel()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), Shards: 8})
	require.NoError(t, err)
	f := serve(t, sqs.Options{Store: store})
	for scope, kept := range map[string]int{"queue": 1, "messageGroup": 10} {
		made, err := f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{
			QueueName: aws.String(scope + ".fifo"), Attributes: map[string]string{"FifoQueue": "true", "DeduplicationScope": scope},
		})
		require.NoError(t, err)
		ids := map[string]bool{}
		for range 2 {
			for i := range 10 {
				sent, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{
					QueueUrl: made.QueueUrl, MessageBody: aws.String("x"), MessageGroupId: aws.String(fmt.Sprint("g", i)), MessageDeduplicationId: aws.String("d"),
				})
				require.NoError(t, err)
				ids[*sent.MessageId] = true
			}
		}
		require.Len(t, ids, kept, scope)
		got, err := f.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MaxNumberOfMessages: 10})
		require.NoError(t, err)
		require.Len(t, got.Messages, kept, scope)
	}
}
