package sandbox_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

// awsSandbox starts all fakes for the tests of those of AWS.
func awsSandbox(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

func credentials(key, secret string) aws.CredentialsProviderFunc {
	return func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
	}
}

func sqsClient(sb *sandbox.Server) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: sb.SQS.Region, BaseEndpoint: &sb.SQS.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials(sb.SQS.AccessKeyID, sb.SQS.SecretAccessKey),
	})
}

func requireCode(t *testing.T, code string, err error) {
	t.Helper()
	var got smithy.APIError
	require.ErrorAs(t, err, &got)
	require.Equal(t, code, got.ErrorCode())
}

func TestSQSAnswersDigests(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	client, queue := sqsClient(sb), sb.SQS.AddQueue("orders")
	// Digests AWS has given for these attributes, by the tests of moto:
	// https://github.com/getmoto/moto/blob/master/tests/test_sqs/test_sqs.py
	for value, digest := range map[string]string{
		"1493147359900": "235c5c510d26fb653d073faed50ae77c", "1493147359901": "994258b45346a2cc3f9cbb611aa7af30",
	} {
		out, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: &queue, MessageBody: aws.String("hello world"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"timestamp": {DataType: aws.String("Number"), StringValue: &value},
			},
		})
		require.NoError(t, err)
		require.Equal(t, "5eb63bbbe01eeed093cb22bb8f5acdc3", *out.MD5OfMessageBody)
		require.Equal(t, digest, *out.MD5OfMessageAttributes)
	}
}

func TestSQSQueues(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	client := sqsClient(sb)
	made, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("made.fifo")})
	require.NoError(t, err)
	_, err = client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("no name")})
	requireCode(t, "InvalidParameterValue", err)
	list, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
	require.NoError(t, err)
	require.Equal(t, []string{*made.QueueUrl}, list.QueueUrls)

	unknown := sb.SQS.URL + "/123456789012/unknown"
	send := func() error {
		_, err := client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &unknown, MessageBody: aws.String("x")})
		return err
	}
	err = send()
	var gone *types.QueueDoesNotExist
	require.ErrorAs(t, err, &gone)
	requireCode(t, "AWS.SimpleQueueService.NonExistentQueue", err)
	sb.Script(sandbox.ProviderSQS, unknown)
	require.NoError(t, send(), "scripted, so it exists")
}

func TestSQSRefusesMessages(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	client, queue, fifo := sqsClient(sb), sb.SQS.AddQueue("orders"), sb.SQS.AddQueue("orders.fifo")
	text, id := aws.String("x"), aws.String("id")
	attribute := func(name, kind, value string) map[string]types.MessageAttributeValue {
		return map[string]types.MessageAttributeValue{name: {DataType: &kind, StringValue: &value}}
	}
	for _, k := range []struct {
		in   sqs.SendMessageInput
		code string
	}{
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("")}, "MissingParameter"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String("\x01")}, "InvalidMessageContents"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: aws.String(strings.Repeat("x", 1<<20+1))}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageDeduplicationId: id}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageGroupId: aws.String("a b")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &fifo, MessageBody: text, MessageDeduplicationId: id}, "MissingParameter"},
		{sqs.SendMessageInput{QueueUrl: &fifo, MessageBody: text, MessageGroupId: id}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageAttributes: attribute("AWS.x", "String", "v")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageAttributes: attribute("a..b", "String", "v")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageAttributes: attribute("a", "Text", "v")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageAttributes: attribute("a", "Number", "v")}, "InvalidParameterValue"},
		{sqs.SendMessageInput{QueueUrl: &queue, MessageBody: text, MessageAttributes: attribute("a", "String", "")}, "InvalidParameterValue"},
	} {
		_, err := client.SendMessage(t.Context(), &k.in)
		requireCode(t, k.code, err)
	}
	require.Empty(t, sb.Inbox(sandbox.ProviderSQS, ""))
	require.Len(t, sb.Requests(sandbox.ProviderSQS, ""), 12)
}

func TestSQSRefusesBatches(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	client, queue := sqsClient(sb), sb.SQS.AddQueue("orders")
	entries := func(n int, text, id string) []types.SendMessageBatchRequestEntry {
		all := []types.SendMessageBatchRequestEntry{}
		for i := range n {
			all = append(all, types.SendMessageBatchRequestEntry{Id: aws.String(strings.ReplaceAll(id, "N", fmt.Sprint(i))), MessageBody: &text})
		}
		return all
	}
	send := func(all []types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
		return client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: all})
	}
	for code, all := range map[string][]types.SendMessageBatchRequestEntry{
		"EmptyBatchRequest":            entries(0, "x", "N"),
		"TooManyEntriesInBatchRequest": entries(11, "x", "N"),
		"BatchEntryIdsNotDistinct":     entries(2, "x", "same"),
		"InvalidBatchEntryId":          entries(1, "x", "a b"),
		"BatchRequestTooLong":          entries(2, strings.Repeat("x", 600<<10), "N"),
	} {
		_, err := send(all)
		requireCode(t, "AWS.SimpleQueueService."+code, err)
	}
	mixed := entries(2, "x", "N")
	mixed[0].MessageBody = aws.String("\x01")
	out, err := send(mixed)
	require.NoError(t, err)
	require.Equal(t, "InvalidMessageContents", *out.Failed[0].Code)
	require.True(t, out.Failed[0].SenderFault)
	require.Equal(t, "1", *out.Successful[0].Id)
}

// TestSQSRefusesSignatures changes a good request after it was signed.
func TestSQSRefusesSignatures(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	const body = `{"QueueName":"orders"}`
	sum := sha256.Sum256([]byte(body))
	for name, k := range map[string]struct {
		change func(*http.Request)
		at     time.Duration
		want   string
	}{
		"good":            {func(*http.Request) {}, 0, "200 "},
		"no header":       {func(r *http.Request) { r.Header.Del("Authorization") }, 0, "403 MissingAuthenticationToken;Sender"},
		"another scheme":  {func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 0, "400 IncompleteSignature;Sender"},
		"body":            {func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.ToUpper(body))) }, 0, "403 SignatureDoesNotMatch;Sender"},
		"signed header":   {func(r *http.Request) { r.Header.Set("X-Amz-Target", "AmazonSQS.ListQueues") }, 0, "403 SignatureDoesNotMatch;Sender"},
		"path":            {func(r *http.Request) { r.URL.Path = "/other" }, 0, "403 SignatureDoesNotMatch;Sender"},
		"query":           {func(r *http.Request) { r.URL.RawQuery = "a=b" }, 0, "403 SignatureDoesNotMatch;Sender"},
		"old":             {func(*http.Request) {}, -16 * time.Minute, "403 SignatureDoesNotMatch;Sender"},
		"from the future": {func(*http.Request) {}, 16 * time.Minute, "403 SignatureDoesNotMatch;Sender"},
		"unsigned header": {func(r *http.Request) { r.Header.Set("X-Other", "x") }, 0, "200 "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sb.SQS.URL+"/", strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			r.Header.Set("X-Amz-Target", "AmazonSQS.CreateQueue")
			key := aws.Credentials{AccessKeyID: sb.SQS.AccessKeyID, SecretAccessKey: sb.SQS.SecretAccessKey}
			require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), key, r, hex.EncodeToString(sum[:]), "sqs", sb.SQS.Region, time.Now().Add(k.at)))
			k.change(r)
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, k.want, fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("X-Amzn-Query-Error")))
		})
	}
}
