package function

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
)

// The most a payload may have, waited for or not.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	maxSync  = 6 << 20
	maxAsync = 1 << 20
)

// Why a function is not even called, as codes of the error book.
const (
	badEndpoint = "bad_endpoint"
	tooLarge    = "too_large"
)

// functionName is a function's name or ARN, with a version or alias.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters
var functionName = regexp.MustCompile(
	`^((?:arn:aws[a-z-]{0,20}:lambda:([a-z0-9-]{1,32}):\d{12}:function:)?[A-Za-z0-9_-]{1,64})(?::(?:\$LATEST|[A-Za-z0-9_-]{1,128}))?$`)

var errForm = errors.New("function: want a function's name or ARN, with or without :ALIAS, such as orders or arn:aws:lambda:eu-central-1:123456789012:function:orders:live")

// CheckEndpoint takes a function's name or ARN, with or without a version or
// alias. The group is the function without that.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	match := functionName.FindStringSubmatch(endpoint)
	if match == nil {
		return channels.Endpoint{}, errForm
	}
	return channels.Endpoint{Address: endpoint, Group: match[1]}, nil
}

// Deliver invokes the function once with the payload, or else with the event
// that SNS would send. It is delivered when Lambda took the event, or, waiting
// for it, when the function returned without an error.
func (c *Channel) Deliver(ctx context.Context, d channels.Delivery) (channels.Receipt, error) {
	match := functionName.FindStringSubmatch(d.Endpoint)
	if match == nil {
		return channels.Receipt{}, c.client.Refusal(badEndpoint)
	}
	payload := d.Content.Payload
	if payload == nil {
		payload = snsEvent(d)
	}
	if len(payload) > c.limit() {
		return channels.Receipt{}, c.client.Refusal(tooLarge)
	}
	ctx, wire := channels.WatchRequest(ctx)
	out, err := c.lambda.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String(d.Endpoint), InvocationType: c.kind, Payload: payload,
	}, func(o *lambda.Options) {
		if region := match[2]; region != "" && !c.ownHost {
			o.Region = region
		}
	})
	if err != nil {
		return channels.Receipt{}, c.client.Failure(err, wire)
	}
	// An error of the function itself comes with status 200.
	if out.FunctionError != nil {
		return channels.Receipt{}, c.book.Judge(channels.Answer{
			Provider: Provider, Status: http.StatusOK, Code: "function_error:" + amazon.PlainCode(*out.FunctionError),
		})
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	return channels.Receipt{ProviderID: id, Delivered: true}, nil
}

func (c *Channel) limit() int {
	if c.kind == types.InvocationTypeEvent {
		return maxAsync
	}
	return maxSync
}
