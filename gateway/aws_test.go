package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/topics"
)

// askAWS sends an action nobody knows and gives status and answer: whoever is let
// in is told that there is none. secret "" leaves it unsigned.
func askAWS(t *testing.T, g *gateway.Gateway, secret string, header ...string) (int, string) {
	t.Helper()
	const body = "Action=Fly"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+"/", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		sum := sha256.Sum256([]byte(body))
		require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret}, r,
			hex.EncodeToString(sum[:]), "sqs", "eu-west-1", time.Now()))
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, text := wiretest.Send(t, r)
	return res.StatusCode, text
}

func withAccessKey(cfg config.Config) config.Config {
	cfg.AWS.AccessKeys = []config.AccessKey{{Name: "test", ID: "AKIDEXAMPLE", Secret: "right", Account: "123456789012"}}
	return cfg
}

func withKey(cfg config.Config) config.Config {
	sum := sha256.Sum256([]byte("right"))
	cfg.Keys = []config.Key{{Name: "test", Hash: "sha256:" + hex.EncodeToString(sum[:]), Scopes: []string{"admin"}, Account: "000000000000"}}
	return cfg
}

// TestWhoIsServed: by which keys there are, who may use which face.
func TestWhoIsServed(t *testing.T) {
	t.Parallel()
	const known = "InvalidAction" // let in, and told that there is no such action
	for name, c := range map[string]struct {
		cfg                     func(config.Config) config.Config
		sandbox                 bool
		unsigned, wrong, right  string // of the AWS faces
		native, nativeWithRight int
	}{
		"no key": {func(c config.Config) config.Config { return c }, false, known, known, known, 200, 200},
		"both": {func(c config.Config) config.Config { return withKey(withAccessKey(c)) }, false,
			"MissingAuthenticationToken", "SignatureDoesNotMatch", known, 401, 200},
		"access keys only":      {withAccessKey, false, "MissingAuthenticationToken", "SignatureDoesNotMatch", known, 401, 401},
		"API keys only":         {withKey, false, "MissingAuthenticationToken", "InvalidClientTokenId", "InvalidClientTokenId", 401, 200},
		"API keys and sandbox":  {withKey, true, known, known, known, 401, 200},
		"access keys, sandbox":  {withAccessKey, true, known, known, known, 401, 401},
		"no key, but a sandbox": {func(c config.Config) config.Config { return c }, true, known, known, known, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sb *sandbox.Server
			if c.sandbox {
				var err error
				sb, err = sandbox.Start(sandbox.Options{})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, sb.Close()) })
			}
			g, _ := serveConfig(t, c.cfg(configOf(t.TempDir())), sb)
			for secret, code := range map[string]string{"": c.unsigned, "wrong": c.wrong, "right": c.right} {
				_, text := askAWS(t, g, secret)
				require.Contains(t, text, "<Code>"+code+"</Code>", secret)
			}
			for key, status := range map[string]int{"wrong": c.native, "right": c.nativeWithRight} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL()+"/v1/topics", nil)
				require.NoError(t, err)
				r.Header.Set("Authorization", "Bearer "+key)
				res, _ := wiretest.Send(t, r)
				require.Equal(t, status, res.StatusCode, key)
			}
		})
	}
}

func TestAWSFacesWithoutKeysServeThisMachineOnly(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, t.TempDir(), nil)
	for _, target := range []string{"", "AmazonSQS.Fly"} {
		for name, value := range map[string]string{"X-Forwarded-For": "192.0.2.1", "Origin": "http://evil.example"} {
			status, text := askAWS(t, g, "any", name, value, "X-Amz-Target", target)
			require.Equal(t, http.StatusForbidden, status)
			require.Contains(t, text, "AccessDenied")
			require.Contains(t, text, name+" header")
		}
	}
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Data = "0.0.0.0:0", "127.0.0.1:0", t.TempDir()
	_, err := gateway.New(t.Context(), gateway.Options{Config: cfg})
	require.ErrorContains(t, err, "without any key (keys, aws.access_keys) only loopback is served")
	open, err := gateway.New(t.Context(), gateway.Options{Config: withAccessKey(cfg)})
	require.NoError(t, err)
	require.NoError(t, open.Close())
}

// TestFormsThatAreNotAWS: curl sends a form unless told otherwise, and providers
// call back with forms.
func TestFormsThatAreNotAWS(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, t.TempDir(), nil)
	for path, kind := range map[string]string{"/v1/topics": "application/problem+json", "/callbacks/nobody": "", "/u/x": ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL()+path, strings.NewReader(`{"name": "alerts"}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, text := wiretest.Send(t, r)
		require.NotContains(t, text, "<Code>", path)
		require.Contains(t, res.Header.Get("Content-Type"), kind)
	}
}

// TestSandboxIsLaxWithSQS: a deleted queue is made again at once, purged twice, and
// known by its bare name.
func TestSandboxIsLaxWithSQS(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	g, _ := serve(t, t.TempDir(), sb)
	client := sqsClient(g.URL(), "us-east-1", "any", "thing")
	for range 2 {
		q, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders")})
		require.NoError(t, err)
		_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: q.QueueUrl, MessageBody: aws.String("hello")})
		require.NoError(t, err)
		got, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("orders")})
		require.NoError(t, err)
		require.Len(t, got.Messages, 1)
		for range 2 {
			_, err = client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: q.QueueUrl})
			require.NoError(t, err)
		}
		_, err = client.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: q.QueueUrl})
		require.NoError(t, err)
	}
}

func TestAStopIsNotedOnBothFaces(t *testing.T) {
	t.Parallel()
	require.Equal(t, []topics.Owner{
		{Account: "000000000000", Region: "local"}, {Account: "000000000000", Region: "us-east-1"},
		{Account: "123456789012", Region: "local"}, {Account: "123456789012", Region: "us-east-1"},
	}, gateway.Owners(withKey(withAccessKey(config.Default()))))
}

func TestReloadChangesAccessKeys(t *testing.T) {
	t.Parallel()
	cfg := withAccessKey(configOf(t.TempDir()))
	g, _ := serveConfig(t, cfg, nil)
	_, text := askAWS(t, g, "right")
	require.Contains(t, text, "InvalidAction")
	cfg.AWS.AccessKeys = []config.AccessKey{{Name: "test", ID: "AKIDEXAMPLE", Secret: "rotated", Account: "123456789012"}}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	_, text = askAWS(t, g, "right")
	require.Contains(t, text, "SignatureDoesNotMatch")
	_, text = askAWS(t, g, "rotated")
	require.Contains(t, text, "InvalidAction")
}
