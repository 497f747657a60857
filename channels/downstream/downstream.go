// Package downstream delivers to SQS queues of other systems: AWS itself, or
// anything that speaks its protocol at an endpoint of its own. One attempt is
// one SendMessage, or one SendMessageBatch for up to ten deliveries.
package downstream

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
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/fanfare-gateway/fanfare/channels"
)

// Provider is the channel's name in the error book.
const Provider = "sqs"

// maxAnswer bounds what is read of an answer: ten results of a batch have less.
const maxAnswer = 1 << 20

// Options configure New.
type Options struct {
	// Region requests are signed for; required. A queue of AWS in another
	// region is signed for its own.
	Region string
	// AccessKeyID and SecretAccessKey are the account's credentials; required.
	AccessKeyID, SecretAccessKey string
	// SessionToken belongs to temporary credentials; "" for none.
	SessionToken string
	// Endpoint is the base URL (scheme and host) of a service that speaks the
	// SQS protocol; "" means AWS. Queues elsewhere are refused, since their
	// owners would get requests signed by this account, and their answers could
	// pause it.
	Endpoint string
	// RootCAs verify the service's certificate; nil means the system's.
	RootCAs *x509.CertPool
	// Control refuses addresses when they are dialled; nil allows all.
	Control func(network, address string, c syscall.RawConn) error
	// Book classifies failures; required.
	Book *channels.ErrorBook
}

// String names the account without its secrets.
func (o Options) String() string {
	return fmt.Sprintf("sqs account (region %s, access key %s, secret <secret>)", o.Region, o.AccessKeyID)
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// LogValue is String.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Channel is a channels.Channel for queues.
type Channel struct {
	book      *channels.ErrorBook
	client    *sqs.Client
	base      string // normal form of Options.Endpoint, "" for AWS
	closeIdle func()
}

var (
	_ channels.BatchDeliverer = (*Channel)(nil)
	_ channels.Prober         = (*Channel)(nil)
)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	switch {
	case o.Region == "":
		return nil, errors.New("downstream: Region is required")
	case o.AccessKeyID == "":
		return nil, errors.New("downstream: AccessKeyID is required")
	case o.SecretAccessKey == "":
		return nil, errors.New("downstream: SecretAccessKey is required")
	case o.Book == nil:
		return nil, errors.New("downstream: Book is required")
	}
	base, err := normalBase(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("downstream: Endpoint %w", err)
	}
	credentials := aws.Credentials{
		AccessKeyID: o.AccessKeyID, SecretAccessKey: o.SecretAccessKey, SessionToken: o.SessionToken,
	}
	client := channels.NewHTTPClient(channels.HTTPOptions{
		TLS:     &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		Control: o.Control, MaxBody: maxAnswer,
	})
	c := &Channel{book: o.Book, base: base, closeIdle: client.CloseIdleConnections}
	c.client = sqs.New(sqs.Options{
		AppID:   "fanfare",
		Region:  o.Region,
		Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
		HTTPClient: client,
	})
	return c, nil
}

// CloseIdleConnections closes the connections no attempt is using.
func (c *Channel) CloseIdleConnections() { c.closeIdle() }

// normalBase checks Options.Endpoint.
func normalBase(endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || !plainURL(u) || strings.Trim(u.Path, "/") != "" {
		return "", errors.New("must be http(s)://host[:port] without a path")
	}
	return normalHost(u), nil
}

// Probe tests the credentials by listing one queue. That the account may not
// list queues is no fault: AWS knows it then, and sending needs other rights.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
func (c *Channel) Probe(ctx context.Context) error {
	ctx, wire := channels.WatchRequest(ctx)
	_, err := c.client.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)}, func(o *sqs.Options) {
		if c.base != "" {
			o.BaseEndpoint = &c.base
		}
	})
	if err == nil {
		return nil
	}
	failure := c.failure(err, wire)
	if strings.HasPrefix(failure.Code, "AccessDenied") {
		return nil
	}
	return failure
}
