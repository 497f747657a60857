// Package function delivers to Lambda functions: AWS itself, or a service that
// speaks its protocol at an endpoint of its own. One attempt is one Invoke.
package function

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/fanfare-gateway/fanfare/channels"
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
	// Region of functions given by name; required. One given by its ARN is
	// invoked in the ARN's own region.
	Region string
	// AccessKeyID and SecretAccessKey are the account's credentials; required.
	AccessKeyID, SecretAccessKey string
	// SessionToken belongs to temporary credentials; "" for none.
	SessionToken string
	// Endpoint is the base URL (scheme and host) of a service that speaks the
	// Lambda protocol; "" means AWS.
	Endpoint string
	// InvocationType is Event (the default) or RequestResponse.
	InvocationType string
	// RootCAs verify the service's certificate; nil means the system's.
	RootCAs *x509.CertPool
	// Control refuses addresses when they are dialled; nil allows all.
	Control func(network, address string, c syscall.RawConn) error
	// Book classifies failures; required.
	Book *channels.ErrorBook
}

// String names the account without its secrets.
func (o Options) String() string {
	return fmt.Sprintf("lambda account (region %s, access key %s, secret <secret>)", o.Region, o.AccessKeyID)
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Channel is a channels.Channel for functions.
type Channel struct {
	book      *channels.ErrorBook
	client    *lambda.Client
	kind      types.InvocationType
	ownHost   bool // Options.Endpoint is set: an ARN's region is not where to send
	closeIdle func()
}

var (
	_ channels.Channel = (*Channel)(nil)
	_ channels.Prober  = (*Channel)(nil)
)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	switch {
	case o.Region == "":
		return nil, errors.New("function: Region is required")
	case o.AccessKeyID == "":
		return nil, errors.New("function: AccessKeyID is required")
	case o.SecretAccessKey == "":
		return nil, errors.New("function: SecretAccessKey is required")
	case o.Book == nil:
		return nil, errors.New("function: Book is required")
	}
	if o.InvocationType == "" {
		o.InvocationType = Event
	}
	if o.InvocationType != Event && o.InvocationType != RequestResponse {
		return nil, fmt.Errorf("function: InvocationType must be %s or %s", Event, RequestResponse)
	}
	base, err := baseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("function: Endpoint %w", err)
	}
	credentials := aws.Credentials{
		AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey, SessionToken: o.SessionToken,
	}
	client := channels.NewHTTPClient(channels.HTTPOptions{
		TLS:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		Control: o.Control, MaxBody: maxAnswer,
	})
	return &Channel{
		closeIdle: client.CloseIdleConnections,
		book:      o.Book, kind: types.InvocationType(o.InvocationType), ownHost: base != nil,
		client: lambda.New(lambda.Options{
			AppID:        "fanfare",
			Region:       o.Region,
			BaseEndpoint: base,
			Retryer:      aws.NopRetryer{},
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return credentials, nil
			}),
			HTTPClient: client,
		}),
	}, nil
}

// CloseIdleConnections closes the connections no attempt is using.
func (c *Channel) CloseIdleConnections() { c.closeIdle() }

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

// Probe tests the credentials by reading the account's limits. That it may not
// read them is no fault: AWS knows it then, and invoking needs other rights.
// https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html
func (c *Channel) Probe(ctx context.Context) error {
	ctx, wire := channels.WatchRequest(ctx)
	_, err := c.client.GetAccountSettings(ctx, &lambda.GetAccountSettingsInput{})
	if err == nil {
		return nil
	}
	failure := c.failure(err, wire)
	if strings.HasPrefix(failure.Code, "AccessDenied") {
		return nil
	}
	return failure
}
