package sqs_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

// TestTheFirstOfSeveralFaultsIsNamed: whoever asks again is told the same.
func TestTheFirstOfSeveralFaultsIsNamed(t *testing.T) {
	t.Parallel()
	f := newFace(t, sqs.Options{})
	work := f.create(t, "work")
	long, text := strings.Repeat("x", 257), types.MessageSystemAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
	for range 50 {
		_, err := f.TagQueue(t.Context(), &awssqs.TagQueueInput{QueueUrl: work, Tags: map[string]string{"a": long, "b": long, "c": long, "": "x", "d": long}})
		refused(t, err, "InvalidParameterValue", "A tag key must be")
		_, err = f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: work, MessageBody: aws.String("x"), MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": text, "C": text, "B": text, "D": text,
		}})
		refused(t, err, "InvalidParameterValue", "Message system attribute name 'B' is invalid")
		_, _, answer := f.post(t, "/", "application/x-amz-json-1.0", "CreateQueue", `{"QueueName":"q","Attributes":{"C":null,"B":null,"A":null}}`)
		require.Contains(t, answer, "The value of A must not be null.")
	}
}
