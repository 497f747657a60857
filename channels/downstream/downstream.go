// Package downstream delivers to SQS queues of other systems: AWS itself, or
// anything that speaks its protocol at an endpoint of its own. One attempt is
// one SendMessage, or one SendMessageBatch for up to ten deliveries.
package downstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
)

// Provider is the channel's name in the error book.
const Provider = "sqs"

// maxAnswer bounds what is read of an answer: ten results of a batch have less.
const maxAnswer = 1 << 20

// Options configure New.
type Options struct {
	// Account signs the requests; a queue of AWS in another region is signed
	// for its own.
	amazon.Account
	// Endpoint is the base URL (scheme and host) of a service that speaks the
	// SQS protocol; "" means AWS. Queues elsewhere are refused, since their
	// owners would get requests signed by this account, and their answers could
	// pause it.
	Endpoint string
}

// Channel is a channels.Channel for queues.
type Channel struct {
	client *amazon.Client
	book   *channels.ErrorBook
	sqs    *sqs.Client
	base   string // normal form of Options.Endpoint, "" for AWS
}

var (
	_ channels.BatchDeliverer = (*Channel)(nil)
	_ channels.Prober         = (*Channel)(nil)
)

// New makes the channel. The error names the option that is wrong.
func New(o Options) (*Channel, error) {
	client, err := o.Open(Provider, maxAnswer)
	if err != nil {
		return nil, fmt.Errorf("downstream: %w", err)
	}
	base, err := normalBase(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("downstream: Endpoint %w", err)
	}
	return &Channel{client: client, book: o.Book, sqs: sqs.NewFromConfig(client.Config()), base: base}, nil
}

// Close closes the connections no attempt uses.
func (c *Channel) Close() error { return c.client.Close() }

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

// Probe tests the credentials by listing one queue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListQueues.html
func (c *Channel) Probe(ctx context.Context) error {
	ctx, wire := channels.WatchRequest(ctx)
	_, err := c.sqs.ListQueues(ctx, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)}, func(o *sqs.Options) {
		if c.base != "" {
			o.BaseEndpoint = &c.base
		}
	})
	return c.client.Probed(err, wire)
}

// failure judges what the SDK returned of a send.
func (c *Channel) failure(err error, wire *channels.Wire) *channels.Error {
	if wire.Written() && amazon.Answered(err) == nil && strings.Contains(err.Error(), "checksum") {
		return c.client.Refusal("checksum_mismatch")
	}
	return c.client.Failure(err, wire)
}
