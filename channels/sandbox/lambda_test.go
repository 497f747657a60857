package sandbox_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestLambda(t *testing.T) {
	t.Parallel()
	sb := awsSandbox(t)
	client := lambda.New(lambda.Options{
		Region: sb.Lambda.Region, BaseEndpoint: &sb.Lambda.URL, Retryer: aws.NopRetryer{},
		Credentials: credentials(sb.Lambda.AccessKeyID, sb.Lambda.SecretAccessKey),
	})
	invoke := func(name string, kind types.InvocationType, payload string, o ...func(*lambda.Options)) (*lambda.InvokeOutput, error) {
		return client.Invoke(t.Context(), &lambda.InvokeInput{
			FunctionName: &name, InvocationType: kind, Payload: []byte(payload), Qualifier: aws.String("live"),
		}, o...)
	}
	for kind, status := range map[types.InvocationType]int32{
		"": 200, types.InvocationTypeRequestResponse: 200, types.InvocationTypeEvent: 202, types.InvocationTypeDryRun: 204,
	} {
		out, err := invoke("arn:aws:lambda:eu-central-1:123456789012:function:orders", kind, "{}")
		require.NoError(t, err, kind)
		require.Equal(t, status, out.StatusCode)
		require.Nil(t, out.FunctionError)
	}
	items := sb.Inbox(sandbox.ProviderLambda, "arn:aws:lambda:eu-central-1:123456789012:function:orders")
	require.Len(t, items, 3, "a dry run runs nothing")
	require.Equal(t, "live", items[0].Fields["qualifier"])

	sb.Script(sandbox.ProviderLambda, "orders", sandbox.Answer{Status: 200, Code: "Handled", Message: "no"})
	out, err := invoke("orders", types.InvocationTypeRequestResponse, "{}")
	require.NoError(t, err)
	require.Equal(t, "Handled", *out.FunctionError)
	require.JSONEq(t, `{"errorMessage": "no", "errorType": "Error"}`, string(out.Payload))

	_, err = invoke("another", "Sometimes", "{}")
	requireCode(t, "InvalidParameterValueException", err)
	_, err = invoke("a.b", "", "{}")
	requireCode(t, "InvalidParameterValueException", err)
	_, err = invoke("another", "", "{", smithyContentType("application/json"))
	requireCode(t, "InvalidRequestContentException", err)
	_, err = invoke("another", "", "{}", smithyContentType("text/plain"))
	requireCode(t, "UnsupportedMediaTypeException", err)

	sb.Script(sandbox.ProviderLambda, "busy", sandbox.Answer{Code: "TooManyRequestsException", RetryAfter: 3})
	_, err = invoke("busy", "", "{}")
	var busy *types.TooManyRequestsException
	require.ErrorAs(t, err, &busy)
	require.Equal(t, "3", *busy.RetryAfterSeconds)
	require.NotEmpty(t, busy.Reason)
}

// smithyContentType sends another content type than the SDK's.
func smithyContentType(kind string) func(*lambda.Options) {
	return lambda.WithAPIOptions(smithyhttp.SetHeaderValue("Content-Type", kind))
}
