package function_test

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
	"github.com/fanfare-gateway/fanfare/channels/function"
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
func account(t *testing.T) function.Options {
	t.Helper()
	book, err := channels.NewErrorBook(nil)
	require.NoError(t, err)
	return function.Options{Account: amazon.Account{Region: "eu-west-1", AccessKeyID: "key", SecretAccessKey: "hush", Book: book}}
}

// options are those for the sandbox, to call functions and wait for them.
func options(t *testing.T, sb *sandbox.Server) function.Options {
	t.Helper()
	o := account(t)
	o.Region, o.Endpoint, o.InvocationType = sb.Lambda.Region, sb.Lambda.URL, function.RequestResponse
	o.AccessKeyID, o.SecretAccessKey = sb.Lambda.AccessKeyID, sb.Lambda.SecretAccessKey
	return o
}

func open(t *testing.T, o function.Options) *function.Channel {
	t.Helper()
	c, err := function.New(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// answers is the table of what Lambda may say of an invocation.
func answers() []channeltest.Case {
	var all []channeltest.Case
	add := func(kind channels.Kind, codes ...string) {
		for _, code := range codes {
			all = append(all, channeltest.Case{Name: code, Answer: sandbox.Answer{Code: code}, Kind: kind, Code: code})
		}
	}
	add(channels.EndpointGone, "ResourceNotFoundException")
	add(channels.Rejected, "RequestTooLargeException", "SerializedRequestEntityTooLargeException", "InvalidRequestContentException",
		"InvalidParameterValueException", "UnsupportedMediaTypeException", "RecursiveInvocationException", "ModeNotSupportedException")
	add(channels.Throttled, "TooManyRequestsException", "ThrottlingException")
	add(channels.AccountFault, "UnrecognizedClientException", "InvalidSignatureException",
		"MissingAuthenticationTokenException", "IncompleteSignatureException", "ExpiredTokenException", "OptInRequired")
	add(channels.Temporary, "AccessDeniedException", "ServiceException", "ServiceUnavailable", "ResourceNotReadyException", "ResourceConflictException",
		"EC2ThrottledException", "EC2UnexpectedException", "EC2AccessDeniedException", "ENILimitReachedException",
		"ENINotReadyException", "SubnetIPAddressLimitReachedException", "NoPublishedVersionException",
		"InvalidRuntimeException", "InvalidSecurityGroupIDException", "InvalidSubnetIDException", "InvalidZipFileException",
		"KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException", "KMSNotFoundException",
		"EFSIOException", "EFSMountConnectivityException", "EFSMountFailureException", "EFSMountTimeoutException",
		"S3FilesMountConnectivityException", "S3FilesMountFailureException", "S3FilesMountTimeoutException",
		"SnapStartException", "SnapStartNotReadyException", "SnapStartTimeoutException",
		"CodeArtifactUserDeletedException", "CodeArtifactUserFailedException", "CodeArtifactUserPendingException")
	for _, failed := range []string{"Unhandled", "Handled"} {
		all = append(all, channeltest.Case{
			Name: failed, Answer: sandbox.Answer{Status: 200, Code: failed},
			Kind: channels.Temporary, Code: "function_error:" + failed,
		})
	}
	return append(all,
		channeltest.Case{
			Name: "Retry-After", Answer: sandbox.Answer{Status: 429, RetryAfter: 9},
			Kind: channels.Throttled, Code: "TooManyRequestsException", RetryAfter: 9 * time.Second,
		},
		channeltest.Case{Name: "403 of another name", Answer: sandbox.Answer{Status: 403, Code: "NotYou"}, Kind: channels.AccountFault},
		channeltest.Case{Name: "504", Answer: sandbox.Answer{Status: 504}, Kind: channels.Temporary},
	)
}

func TestChannel(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{function.RequestResponse, function.Event} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			channeltest.Run(t, channeltest.Suite{
				Provider: sandbox.ProviderLambda,
				New: func(t *testing.T, sb *sandbox.Server) channels.Channel {
					o := options(t, sb)
					o.InvocationType = kind
					return open(t, o)
				},
				Endpoint: func(sb *sandbox.Server, n int) string {
					if n%2 == 0 {
						return fmt.Sprintf("arn:aws:lambda:%s:123456789012:function:orders-%d:live", sb.Lambda.Region, n)
					}
					return fmt.Sprintf("orders-%d", n)
				},
				Bad: []string{
					"a name", "path/../up", "arn:aws:sqs:eu-west-1:123456789012:orders", "name:", "name:a:b",
					"arn:aws:lambda:eu-west-1:12:function:name", "arn:aws:lambda:evil.example/:123456789012:function:name",
					strings.Repeat("n", 65),
				},
				Answers:   answersOf(kind),
				Delivered: true,
				Secrets:   []string{"sandbox/secret/access/key"},
			})
		})
	}
}

// answersOf leaves out what an invocation nobody waits for cannot learn.
func answersOf(kind string) []channeltest.Case {
	var all []channeltest.Case
	for _, c := range answers() {
		if kind == function.RequestResponse || c.Answer.Status != 200 {
			all = append(all, c)
		}
	}
	return all
}

func TestFunctionErrorIsBounded(t *testing.T) {
	t.Parallel()
	sb := start(t)
	sb.Script(sandbox.ProviderLambda, "orders", sandbox.Answer{Status: 200, Code: "Unhandled", Message: "leak"})
	_, err := open(t, options(t, sb)).Deliver(t.Context(), channeltest.Delivery("orders", 1))
	got := requireKind(t, channels.Temporary, err)
	require.Equal(t, 3, got.MaxTries)
	require.NotContains(t, err.Error(), "leak")
	require.Empty(t, sb.Inbox(sandbox.ProviderLambda, "orders"))

	o := options(t, sb)
	o.InvocationType = function.Event
	receipt, err := open(t, o).Deliver(t.Context(), channeltest.Delivery("orders", 2))
	require.NoError(t, err)
	require.True(t, receipt.Delivered)
	require.Equal(t, 202, sb.Inbox(sandbox.ProviderLambda, "orders")[0].Status)
}

func TestNew(t *testing.T) {
	t.Parallel()
	good := account(t)
	for name, change := range map[string]func(*function.Options){
		"Region":          func(o *function.Options) { o.Region = "" },
		"AccessKeyID":     func(o *function.Options) { o.AccessKeyID = "" },
		"SecretAccessKey": func(o *function.Options) { o.SecretAccessKey = "" },
		"Book":            func(o *function.Options) { o.Book = nil },
		"Endpoint":        func(o *function.Options) { o.Endpoint = "127.0.0.1:4566" },
		"InvocationType":  func(o *function.Options) { o.InvocationType = "DryRun" },
	} {
		o := good
		change(&o)
		_, err := function.New(o)
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
	c := open(t, account(t))
	for endpoint, group := range map[string]string{
		"orders":         "orders",
		"orders:live":    "orders",
		"orders:$LATEST": "orders",
		"arn:aws:lambda:us-east-1:123456789012:function:orders":       "arn:aws:lambda:us-east-1:123456789012:function:orders",
		"arn:aws-cn:lambda:cn-north-1:123456789012:function:orders:7": "arn:aws-cn:lambda:cn-north-1:123456789012:function:orders",
	} {
		got, err := c.CheckEndpoint(endpoint)
		require.NoError(t, err, endpoint)
		require.Equal(t, channels.Endpoint{Address: endpoint, Group: group}, got)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	sb := start(t)
	o := options(t, sb)
	good := open(t, o)
	require.NoError(t, good.Probe(t.Context()))

	sb.Script(sandbox.ProviderLambda, "GetAccountSettings", sandbox.Answer{Code: "AccessDeniedException", Times: 1}, sandbox.Answer{Status: 503, Times: 1})
	require.NoError(t, good.Probe(t.Context()), "the credentials are known, which is what was asked")
	requireKind(t, channels.Temporary, good.Probe(t.Context()))

	for _, change := range []func(*function.Options){
		func(o *function.Options) { o.SecretAccessKey = "another" },
		func(o *function.Options) { o.AccessKeyID = "another" },
		func(o *function.Options) { o.Region = "eu-west-3" },
		func(o *function.Options) { o.SessionToken = "token" },
	} {
		wrong := o
		change(&wrong)
		requireKind(t, channels.AccountFault, open(t, wrong).Probe(t.Context()))
	}
	require.Empty(t, sb.Requests(sandbox.ProviderLambda, ""), "nothing was invoked")
}

func requireKind(t *testing.T, want channels.Kind, err error) *channels.Error {
	t.Helper()
	var got *channels.Error
	require.ErrorAs(t, err, &got)
	require.Equal(t, want.String(), got.Kind.String(), "%v", err)
	require.False(t, got.Unknown, "the error book has no row: %v", err)
	return got
}
