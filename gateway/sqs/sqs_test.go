package sqs_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/gateway/sqs"
	"github.com/fanfare-gateway/fanfare/queue"
)

// face is a running SQS face with an unchanged AWS SDK on it.
type face struct {
	*awssqs.Client
	url   string
	store *queue.Store
}

// lax is what a sandbox allows.
var lax = sqs.Options{RecreateAtOnce: true, BareNames: true, OtherAccounts: true}

func newFace(t testing.TB, o sqs.Options) *face {
	t.Helper()
	store, err := queue.Open("store", queue.Options{FS: vfs.NewMem(), PurgeAtOnce: o.RecreateAtOnce})
	require.NoError(t, err)
	o.Store = store
	return serve(t, o)
}

func serve(t testing.TB, o sqs.Options) *face {
	t.Helper()
	h := awswire.New(awswire.Options{
		Services: []awswire.Service{sqs.Service(o)},
		Verifier: awswire.Verifier{Open: true, Account: "000000000000", Region: "us-east-1"},
	})
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		require.NoError(t, o.Store.Close())
	})
	return &face{url: srv.URL, store: o.Store, Client: client(srv.URL, wiretest.Client)}
}

func client(endpoint string, hc awssqs.HTTPClient) *awssqs.Client {
	return awssqs.New(awssqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), Retryer: aws.NopRetryer{}, HTTPClient: hc,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})
}

// create makes a queue with attributes given as name, value, …
func (f *face) create(t testing.TB, name string, attrs ...string) *string {
	t.Helper()
	out, err := f.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: pairs(attrs)})
	require.NoError(t, err)
	return out.QueueUrl
}

func pairs(texts []string) map[string]string {
	m := make(map[string]string)
	for i := 0; i+1 < len(texts); i += 2 {
		m[texts[i]] = texts[i+1]
	}
	return m
}

func (f *face) send(t testing.TB, queueURL *string, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		_, err := f.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: queueURL, MessageBody: &body})
		require.NoError(t, err)
	}
}

// attribute reads one attribute of a queue.
func (f *face) attribute(t testing.TB, queueURL *string, name string) string {
	t.Helper()
	out, err := f.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: queueURL, AttributeNames: attributeNames(name)})
	require.NoError(t, err)
	return out.Attributes[name]
}

// refused wants AWS's error: the query code, which SDKs of a query-compatible
// service show, and a part of the message.
func refused(t testing.TB, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.ErrorCode())
	require.Contains(t, e.ErrorMessage(), message)
}

// post sends a request and gives the status, the header of the error's Query
// code, and the body.
func (f *face) post(t testing.TB, path, kind, target, body string) (status int, code, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", kind)
	if target != "" {
		req.Header.Set("X-Amz-Target", "AmazonSQS."+target)
	}
	res, text := wiretest.Send(t, req)
	return res.StatusCode, res.Header.Get("X-Amzn-Query-Error"), text
}
