package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func sqsClient(endpoint, region, key, secret string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: region, BaseEndpoint: &endpoint, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
		}),
	})
}

// TestQueueOfBothFaces: a queue the native API makes is the SDK's in the
// configured region, and no other region's or account's.
func TestQueueOfBothFaces(t *testing.T) {
	t.Parallel()
	g, _ := serveConfig(t, withAccessKey(withKey(configOf(t.TempDir()))), nil)
	client := sqsClient(g.URL(), "us-east-1", "AKIDEXAMPLE", "right")
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("work")})
	require.NoError(t, err)
	require.Equal(t, g.URL()+"/123456789012/work", *made.QueueUrl)
	_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: made.QueueUrl, MessageBody: aws.String("hello")})
	require.NoError(t, err)
	elsewhere, err := sqsClient(g.URL(), "eu-west-1", "AKIDEXAMPLE", "right").ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Empty(t, elsewhere.QueueUrls)

	cfg := configOf(t.TempDir())
	g, _ = serveConfig(t, cfg, nil)
	res, err := http.Post(g.URL()+"/v1/queues", "application/json", strings.NewReader(`{"name": "native"}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	list, err := sqsClient(g.URL(), "us-east-1", "any", "thing").ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Equal(t, []string{g.URL() + "/000000000000/native"}, list.QueueUrls)
}
