package awswire_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
)

// TestSDKClient: an unmodified client gets in with its secret, and reads the
// refusals it has names for.
func TestSDKClient(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(locked())
	defer server.Close()
	client := func(id, secret string) *sqs.Client {
		return sqs.New(sqs.Options{
			BaseEndpoint: &server.URL, Region: "eu-west-1", RetryMaxAttempts: 1,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
			}),
		})
	}
	message := &sqs.SendMessageInput{QueueUrl: aws.String(server.URL + "/123456789012/orders"), MessageBody: aws.String("hello")}
	out, err := client(keyID, secret).SendMessage(t.Context(), message)
	require.NoError(t, err)
	require.Equal(t, "0195d3f0-0000-8000-8000-000000000000", *out.MessageId)

	for code, err := range map[string]error{
		"SignatureDoesNotMatch": second(client(keyID, "wrong").SendMessage(t.Context(), message)),
		"InvalidClientTokenId":  second(client("AKIDOTHER", secret).SendMessage(t.Context(), message)),
		"InvalidAction":         second(client(keyID, secret).ListQueues(t.Context(), nil)),
	} {
		var api smithy.APIError
		require.ErrorAs(t, err, &api)
		require.Equal(t, code, api.ErrorCode())
		require.Equal(t, smithy.FaultClient, api.ErrorFault())
	}
}

func second[T any](_ T, err error) error { return err }
