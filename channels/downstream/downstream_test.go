package downstream_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/channels/amazon"
	"github.com/fanfare-gateway/fanfare/channels/channeltest"
	"github.com/fanfare-gateway/fanfare/channels/downstream"
	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

// account are options for no service in particular.
func account(t *testing.T) downstream.Options {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return downstream.Options{Account: amazon.Account{Region: "eu-west-1", AccessKeyID: "key", SecretAccessKey: "hush", Book: book}}
}

// options are those for the sandbox.
func options(t *testing.T, sb *sandbox.Server) downstream.Options {
	t.Helper()
	o := account(t)
	o.Region, o.Endpoint = sb.SQS.Region, sb.SQS.URL
	o.AccessKeyID, o.SecretAccessKey = sb.SQS.AccessKeyID, sb.SQS.SecretAccessKey
	return o
}

func open(t *testing.T, o downstream.Options) *downstream.Channel {
	t.Helper()
	c, err := downstream.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// answers is the table of what SQS may say: one request, one message.
func answers() []channeltest.Case {
	code := func(name string, kind channels.Kind, want string) channeltest.Case {
		return channeltest.Case{Name: name, Answer: sandbox.Answer{Code: name}, Kind: kind, Code: want}
	}
	own := "AWS.SimpleQueueService."
	return []channeltest.Case{
		code("QueueDoesNotExist", channels.EndpointGone, own+"NonExistentQueue"),
		code("InvalidAddress", channels.EndpointGone, "InvalidAddress"),
		code("InvalidMessageContents", channels.Rejected, "InvalidMessageContents"),
		code("UnsupportedOperation", channels.Rejected, own+"UnsupportedOperation"),
		code("InvalidParameterValue", channels.Rejected, "InvalidParameterValue"),
		code("MissingParameter", channels.Rejected, "MissingParameter"),
		code("RequestEntityTooLargeException", channels.Rejected, "RequestEntityTooLargeException"),
		{
			Name: "RequestThrottled", Answer: sandbox.Answer{Code: "RequestThrottled", RetryAfter: 7},
			Kind: channels.Throttled, Code: "RequestThrottled", RetryAfter: 7 * time.Second,
		},
		code("ThrottlingException", channels.Throttled, "ThrottlingException"),
		code("OverLimit", channels.Throttled, "OverLimit"),
		{Name: "429", Answer: sandbox.Answer{Status: 429, Code: "SlowDown"}, Kind: channels.Throttled, Code: "SlowDown"},
		code("KmsThrottled", channels.Temporary, "KMS.ThrottlingException"),
		code("KmsAccessDenied", channels.Temporary, "KMS.AccessDeniedException"),
		code("KmsDisabled", channels.Temporary, "KMS.DisabledException"),
		code("KmsInvalidKeyUsage", channels.Temporary, "KMS.InvalidKeyUsageException"),
		code("KmsInvalidState", channels.Temporary, "KMS.InvalidStateException"),
		code("KmsNotFound", channels.Temporary, "KMS.NotFoundException"),
		code("KmsOptInRequired", channels.Temporary, "KMS.OptInRequired"),
		code("AccessDenied", channels.Temporary, "AccessDenied"),
		code("InvalidSecurity", channels.AccountFault, "InvalidSecurity"),
		code("InvalidClientTokenId", channels.AccountFault, "InvalidClientTokenId"),
		code("SignatureDoesNotMatch", channels.AccountFault, "SignatureDoesNotMatch"),
		code("IncompleteSignature", channels.AccountFault, "IncompleteSignature"),
		code("MissingAuthenticationToken", channels.AccountFault, "MissingAuthenticationToken"),
		code("ExpiredToken", channels.AccountFault, "ExpiredToken"),
		code("RequestExpired", channels.AccountFault, "RequestExpired"),
		code("OptInRequired", channels.AccountFault, "OptInRequired"),
		code("InternalFailure", channels.Temporary, "InternalFailure"),
		code("ServiceUnavailable", channels.Temporary, "ServiceUnavailable"),
		{Name: "502", Answer: sandbox.Answer{Status: 502}, Kind: channels.Temporary},
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	var secret string
	channeltest.Run(t, channeltest.Suite{
		Provider: sandbox.ProviderSQS,
		New: func(t *testing.T, sb *sandbox.Server) channels.Channel {
			secret = sb.SQS.SecretAccessKey
			return open(t, options(t, sb))
		},
		Endpoint: func(sb *sandbox.Server, n int) string { return sb.SQS.AddQueue(fmt.Sprintf("orders-%d", n)) },
		Bad: []string{
			"justaname", "ftp://127.0.0.1/1/orders", "http://127.0.0.1/orders", "http://127.0.0.1/1/2/orders",
			"http://127.0.0.1/1/orders?x=1", "http://user@127.0.0.1/1/orders", "arn:aws:sns:eu-central-1:1:orders",
			"https://sqs.eu-central-1.amazonaws.com/123456789012/orders", // not this account's service
		},
		Answers:   answers(),
		Delivered: true,
		Secrets:   []string{"sandbox/secret/access/key"},
	})
	require.Contains(t, secret, "sandbox/secret/access/key")
}

func TestNew(t *testing.T) {
	t.Parallel()
	good := account(t)
	for name, change := range map[string]func(*downstream.Options){
		"Region":          func(o *downstream.Options) { o.Region = "" },
		"AccessKeyID":     func(o *downstream.Options) { o.AccessKeyID = "" },
		"SecretAccessKey": func(o *downstream.Options) { o.SecretAccessKey = "" },
		"Book":            func(o *downstream.Options) { o.Book = nil },
		"Endpoint":        func(o *downstream.Options) { o.Endpoint = "http://127.0.0.1/path" },
	} {
		o := good
		change(&o)
		_, err := downstream.New(o)
		require.ErrorContains(t, err, name)
		require.NotContains(t, err.Error(), good.SecretAccessKey)
	}
}

func TestOptionsHideSecrets(t *testing.T) {
	t.Parallel()
	o := account(t)
	o.SessionToken = "hush, too"
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("account", "options", o)
	for _, text := range []string{fmt.Sprint(o), fmt.Sprintf("%+v %#v %s", o, o, o), log.String()} {
		require.NotContains(t, text, "hush")
		require.Contains(t, text, "eu-west-1")
	}
}

func TestCheckEndpoint(t *testing.T) {
	t.Parallel()
	o := account(t)
	at := func(endpoint string) *downstream.Channel {
		o.Endpoint = endpoint
		return open(t, o)
	}
	amazon, own := at(""), at("HTTP://Queues.Example:80/")
	for _, c := range []struct {
		channel                  *downstream.Channel
		endpoint, address, group string
	}{
		{amazon, "https://SQS.eu-west-1.amazonaws.com:443/123456789012/Orders", "https://sqs.eu-west-1.amazonaws.com/123456789012/Orders", "sqs.eu-west-1.amazonaws.com/123456789012"},
		{amazon, "https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/a.fifo", "https://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/a.fifo", "sqs-fips.us-gov-west-1.amazonaws.com/123456789012"},
		{amazon, "arn:aws:sqs:us-east-1:123456789012:orders", "https://sqs.us-east-1.amazonaws.com/123456789012/orders", "sqs.us-east-1.amazonaws.com/123456789012"},
		{amazon, "arn:aws-cn:sqs:cn-north-1:123456789012:orders", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders", "sqs.cn-north-1.amazonaws.com.cn/123456789012"},
		{own, "http://queues.example/queue/orders", "http://queues.example/queue/orders", "queues.example/queue"},
		{own, "arn:aws:sqs:us-east-1:123456789012:orders", "http://queues.example/123456789012/orders", "queues.example/123456789012"},
	} {
		got, err := c.channel.CheckEndpoint(c.endpoint)
		require.NoError(t, err, c.endpoint)
		require.Equal(t, channels.Endpoint{Address: c.address, Group: c.group}, got)
	}
	for _, bad := range []string{
		"http://sqs.eu-west-1.amazonaws.com/123456789012/orders", "https://sqs.eu-west-1.amazonaws.com.evil.example/1/orders",
		"https://evil.example/123456789012/orders", "https://sqs.eu-west-1.amazonaws.com:8443/123456789012/orders",
		"arn:aws:sqs:us-east-1:123456789012:bad name", "arn:other:sqs:us-east-1:123456789012:orders",
		"arn:aws:sqs:evil.example/:123456789012:orders", "https://sqs.eu-west-1.amazonaws.com/123456789012/orders#x",
	} {
		_, err := amazon.CheckEndpoint(bad)
		require.Error(t, err, bad)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	good := open(t, o)
	require.NoError(t, good.Probe(t.Context()))

	sb.Script(sandbox.ProviderSQS, "ListQueues", sandbox.Answer{Code: "AccessDenied", Times: 1}, sandbox.Answer{Status: 503, Times: 1})
	require.NoError(t, good.Probe(t.Context()), "the credentials are known, which is what was asked")
	requireKind(t, channels.Temporary, good.Probe(t.Context()))

	for _, change := range []func(*downstream.Options){
		func(o *downstream.Options) { o.SecretAccessKey = "another" },
		func(o *downstream.Options) { o.AccessKeyID = "another" },
		func(o *downstream.Options) { o.Region = "eu-west-3" },
		func(o *downstream.Options) { o.SessionToken = "token" },
	} {
		wrong := o
		change(&wrong)
		requireKind(t, channels.AccountFault, open(t, wrong).Probe(t.Context()))
	}
	require.Empty(t, sb.Requests(sandbox.ProviderSQS, ""), "nothing was sent")
}

func requireKind(t *testing.T, want channels.Kind, err error) *channels.Error {
	t.Helper()
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, want.String(), got.Kind.String(), "%v", err)
	require.False(t, got.Unknown, "the error book has no row: %v", err)
	return got
}
