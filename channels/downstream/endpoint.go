package downstream

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/fanfare-gateway/fanfare/channels"
)

// maxEndpoint is more than any queue URL has.
const maxEndpoint = 1024

var (
	// awsHost are the hosts of SQS at AWS that take the JSON protocol:
	// https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
	awsHost     = regexp.MustCompile(`^sqs(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)$`)
	accountName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// queueName: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
	queueName = regexp.MustCompile(`^([A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$`)
	regionID  = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
)

// awsSuffix is the domain of an ARN's partition.
var awsSuffix = map[string]string{"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn"}

var (
	errForm = errors.New("queue: want a queue URL such as https://sqs.eu-central-1.amazonaws.com/123456789012/orders, or its ARN")
	errHost = errors.New("queue: the URL must be at the account's own endpoint, or https at AWS SQS if the account has none")
)

// queueURL is a queue URL, taken apart.
type queueURL struct {
	base, account, name string
	region              string // of AWS; "" elsewhere
}

func (q queueURL) String() string { return q.base + "/" + q.account + "/" + q.name }

func (q queueURL) fifo() bool { return strings.HasSuffix(q.name, ".fifo") }

// at directs a request to the queue's own host. The SDK does not: it would ask
// the region's endpoint whatever the queue URL says.
func (q queueURL) at(o *sqs.Options) {
	o.BaseEndpoint = aws.String(q.base)
	if q.region != "" {
		o.Region = q.region
	}
}

// CheckEndpoint takes a queue URL, or a queue's ARN, of AWS or of the account's
// endpoint. The normal form is the URL, the group its host and account.
func (c *Channel) CheckEndpoint(endpoint string) (channels.Endpoint, error) {
	q, err := c.parse(endpoint)
	if err != nil {
		return channels.Endpoint{}, err
	}
	u, err := url.Parse(q.base)
	if err != nil {
		return channels.Endpoint{}, errForm
	}
	return channels.Endpoint{Address: q.String(), Group: u.Host + "/" + q.account}, nil
}

func (c *Channel) parse(endpoint string) (queueURL, error) {
	if len(endpoint) > maxEndpoint {
		return queueURL{}, errForm
	}
	if arn.IsARN(endpoint) {
		return c.parseARN(endpoint)
	}
	u, err := url.Parse(endpoint)
	if err != nil || !plainURL(u) || u.RawPath != "" {
		return queueURL{}, errForm
	}
	account, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	q := queueURL{base: normalHost(u), account: account, name: name}
	if !ok || !accountName.MatchString(account) || !queueName.MatchString(name) {
		return queueURL{}, errForm
	}
	return q, c.admit(&q)
}

// parseARN makes the URL: at the account's endpoint if it has one, else at the
// AWS region the ARN names.
func (c *Channel) parseARN(text string) (queueURL, error) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "sqs" || !accountName.MatchString(a.AccountID) || !queueName.MatchString(a.Resource) {
		return queueURL{}, errForm
	}
	q := queueURL{base: c.base, account: a.AccountID, name: a.Resource}
	if c.base == "" {
		if awsSuffix[a.Partition] == "" || !regionID.MatchString(a.Region) {
			return queueURL{}, errForm
		}
		q.base = "https://sqs." + a.Region + "." + awsSuffix[a.Partition]
	}
	return q, c.admit(&q)
}

// admit refuses queues of services that the account's credentials are not for.
func (c *Channel) admit(q *queueURL) error {
	if c.base != "" {
		if q.base != c.base {
			return errHost
		}
		return nil
	}
	host, ok := strings.CutPrefix(q.base, "https://")
	match := awsHost.FindStringSubmatch(host)
	if !ok || match == nil {
		return errHost
	}
	q.region = match[1]
	return nil
}

// plainURL tells whether a URL has a scheme and host, and nothing after its path.
func plainURL(u *url.URL) bool {
	scheme := strings.ToLower(u.Scheme)
	return (scheme == "http" || scheme == "https") && u.Hostname() != "" && u.Opaque == "" &&
		u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

// normalHost is the URL's scheme and host in lower case, without a default port.
func normalHost(u *url.URL) string {
	scheme, host, port := strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()
	if port == "" || (scheme == "http" && port == "80") || (scheme == "https" && port == "443") {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}
