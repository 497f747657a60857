// Package function delivers to Lambda functions: AWS itself, or a service that
// speaks its protocol at an endpoint of its own. One attempt is one Invoke.
package function

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
)

// Provider is the channel's name in the error book.
const Provider = "lambda"

// maxAnswer bounds what is read of an answer. What a function returns is not
// used, so it is only cut off.
const maxAnswer = 64 << 10

// The values of Options.InvocationType.
const (
	// Event hands the event over and does not wait: Lambda runs the function,
	// and repeats it by itself if it fails.
	Event = "Event"
	// RequestResponse waits for the function; one that fails is a failed attempt.
	RequestResponse = "RequestResponse"
)

// Options configure New.
type Options struct {
	// Account signs the requests; its region is that of functions given by name.
	// One given by its ARN is invoked in the ARN's own.
	amazon.Account
	// Endpoint is the base URL (scheme and host) of a service that speaks the
	// Lambda protocol; "" means AWS.
	Endpoint string
	// InvocationType is RequestResponse (the default) or Event.
	InvocationType string
}

// Channel is a channels.Channel for functions.
type Channel struct {
	client  *amazon.Client
	book    *channels.ErrorBook
	lambda  *lambda.Client
	kind    types.InvocationType
	ownHost bool // Options.Endpoint is set: an ARN's region is not where to send
}

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	client, err := o.Open(Provider, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("function: %w", err)
	}
	if o.InvocationType == "" {
		o.InvocationType = RequestResponse
	}
	if o.InvocationType != Event && o.InvocationType != RequestResponse {
		return nil, fmt.Errorf("function: InvocationType must be %s or %s", Event, RequestResponse)
	}
	base, err := baseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("function: Endpoint %w", err)
	}
	return &Channel{
		client: client, book: o.Book, kind: types.InvocationType(o.InvocationType), ownHost: base != nil,
		lambda: lambda.NewFromConfig(client.Config(), func(o *lambda.Options) { o.BaseEndpoint = base }),
	}, nil
}

// Close closes the connections no attempt uses.
func (c *Channel) Close() error { return c.client.Close() }

func baseEndpoint(endpoint string) (*string, error) {
	if endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("must be http(s)://host[:port] without a path")
	}
	return aws.String(u.Scheme + "://" + u.Host), nil
}

// Probe tests the credentials by reading the account's limits.
// https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html
func (c *Channel) Probe(ctx context.Context) error {
	ctx, wire := channels.WatchRequest(ctx)
	_, err := c.lambda.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	return c.client.Probed(err, wire)
}
