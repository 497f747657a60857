package sns_test

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/topics"
)

// TestFunctionsGetSNSsEvent: nothing of ours is in it, and it is signed.
func TestFunctionsGetSNSsEvent(t *testing.T) {
	t.Parallel()
	b := start(t)
	topic := b.topic("alerts")
	arn := b.subscribe(topic, "lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", nil)
	type notification struct {
		Records []struct {
			EventSource, EventVersion, EventSubscriptionArn string
			Sns                                             map[string]any
		}
	}
	next := func(in *awssns.PublishInput) (id string, sns map[string]any) {
		in.TopicArn = &topic
		id = b.say(in)
		var got notification
		require.NoError(t, json.Unmarshal(b.sent[topics.Lambda].next(t).Content.Payload, &got))
		require.Len(t, got.Records, 1)
		require.Equal(t, "aws:sns", got.Records[0].EventSource)
		require.Equal(t, "1.0", got.Records[0].EventVersion)
		require.Equal(t, arn, got.Records[0].EventSubscriptionArn)
		return id, got.Records[0].Sns
	}
	id, got := next(&awssns.PublishInput{Message: aws.String("<m>")})
	key := certificate(t, got["SigningCertUrl"].(string))
	require.NotNil(t, key)
	require.NotEmpty(t, got["Signature"])
	require.Contains(t, got["UnsubscribeUrl"], arn)
	require.NotEmpty(t, got["Timestamp"])
	for _, checked := range []string{"Signature", "SigningCertUrl", "UnsubscribeUrl", "Timestamp"} {
		delete(got, checked)
	}
	require.Equal(t, map[string]any{
		"Type": "Notification", "MessageId": id, "TopicArn": topic, "Subject": nil, "Message": "<m>", "SignatureVersion": "1",
		"MessageAttributes": map[string]any{},
	}, got)
	_, got = next(&awssns.PublishInput{
		Message: aws.String("m"), Subject: aws.String("s"), MessageAttributes: map[string]types.MessageAttributeValue{"a": text("x")},
	})
	require.Equal(t, "s", got["Subject"])
	require.Equal(t, map[string]any{"a": map[string]any{"Type": "String", "Value": "x"}}, got["MessageAttributes"])
}
