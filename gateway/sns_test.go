package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// TestSNSReachesQueuesAndWebhooks: an unmodified SDK publishes to a queue of the
// native API and to a webhook that confirmed by the link it was sent.
func TestSNSReachesQueuesAndWebhooks(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, _ := serve(t, t.TempDir(), sb)
	status, made := call(t, "POST", g.URL()+"/v1/queues", `{"name": "work"}`)
	require.Less(t, status, 300, made)
	c := sns.New(sns.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(g.URL()),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
	topic, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts")})
	require.NoError(t, err)
	hook := sb.Webhook.URL + "/sns"
	for protocol, endpoint := range map[string]string{"sqs": "arn:aws:sqs:us-east-1:000000000000:work", "http": hook} {
		_, err = c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: &protocol, Endpoint: &endpoint})
		require.NoError(t, err, protocol)
	}
	asked, err := sb.Await(t.Context(), sandbox.ProviderWebhook, hook, 1)
	require.NoError(t, err)
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(asked[0].Body), &e))
	require.Equal(t, "SubscriptionConfirmation", e["Type"])
	status, _ = call(t, http.MethodGet, e["SubscribeURL"], "")
	require.Equal(t, http.StatusOK, status)
	status, cert := call(t, http.MethodGet, e["SigningCertURL"], "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, cert["text"], "BEGIN CERTIFICATE")

	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("hi")})
	require.NoError(t, err)
	_, queued := call(t, "POST", g.URL()+"/v1/queues/work/receive", `{}`)
	text, err := json.Marshal(queued)
	require.NoError(t, err)
	require.Contains(t, string(text), `\"Message\":\"hi\"`)
	got, err := sb.Await(t.Context(), sandbox.ProviderWebhook, hook, 2)
	require.NoError(t, err)
	e = nil
	require.NoError(t, json.Unmarshal([]byte(got[1].Body), &e))
	require.Equal(t, "Notification", e["Type"])
	status, _ = call(t, http.MethodDelete, g.URL()+"/sandbox/inbox", "")
	require.Equal(t, http.StatusNoContent, status, "the sandbox is found below the gateway's address")
	require.Empty(t, sb.Inbox("", ""))
	require.Equal(t, "hi", e["Message"])
}
