package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// pusher is an SDK's user with an app.
type pusher struct {
	*sns.Client
	t *testing.T
	g *gateway.Gateway
}

func newPusher(t *testing.T, g *gateway.Gateway) *pusher {
	return &pusher{t: t, g: g, Client: sns.New(sns.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(g.URL()), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		}),
	})}
}

func (p *pusher) app(platform, name string, attributes map[string]string) string {
	p.t.Helper()
	if attributes == nil {
		attributes = map[string]string{} // the SDK wants some
	}
	out, err := p.CreatePlatformApplication(p.t.Context(), &sns.CreatePlatformApplicationInput{Name: &name, Platform: &platform, Attributes: attributes})
	require.NoError(p.t, err)
	return *out.PlatformApplicationArn
}

func (p *pusher) device(app, token string) string {
	p.t.Helper()
	out, err := p.CreatePlatformEndpoint(p.t.Context(), &sns.CreatePlatformEndpointInput{PlatformApplicationArn: &app, Token: &token})
	require.NoError(p.t, err)
	return *out.EndpointArn
}

func (p *pusher) attributes(device string) map[string]string {
	p.t.Helper()
	out, err := p.GetEndpointAttributes(p.t.Context(), &sns.GetEndpointAttributesInput{EndpointArn: &device})
	require.NoError(p.t, err)
	return out.Attributes
}

func (p *pusher) set(device string, attributes map[string]string) {
	p.t.Helper()
	_, err := p.SetEndpointAttributes(p.t.Context(), &sns.SetEndpointAttributesInput{EndpointArn: &device, Attributes: attributes})
	require.NoError(p.t, err)
}

func (p *pusher) push(target, message string) (string, error) {
	p.t.Helper()
	out, err := p.Publish(p.t.Context(), &sns.PublishInput{TargetArn: &target, Message: &message})
	if err != nil {
		return "", err
	}
	return *out.MessageId, nil
}

func (p *pusher) topic(name string) string {
	p.t.Helper()
	out, err := p.CreateTopic(p.t.Context(), &sns.CreateTopicInput{Name: &name})
	require.NoError(p.t, err)
	return *out.TopicArn
}

func (p *pusher) subscribe(topic, protocol, endpoint string) {
	p.t.Helper()
	_, err := p.Subscribe(p.t.Context(), &sns.SubscribeInput{TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint})
	require.NoError(p.t, err)
}

// ended waits until all of a publish is final and gives its ledger.
func (p *pusher) ended(id string) (ledger map[string]any) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		_, st := call(p.t, "GET", p.g.URL()+"/v1/publishes/pub_"+strings.ReplaceAll(id, "-", ""), "")
		ledger, _ = st["ledger"].(map[string]any)
		return st["phase"] == "completed"
	}, 10*time.Second, 5*time.Millisecond)
	return ledger
}

func code(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return api.ErrorCode()
}

// TestAppsOfTheSandbox: whatever an emulator's user signs in with, his app pushes
// to the sandbox's services, by every way to publish.
func TestAppsOfTheSandbox(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	g, _ := serve(t, t.TempDir(), sb)
	p := newPusher(t, g)
	for platform, provider := range map[string]string{"APNS": "apns", "APNS_SANDBOX": "apns", "GCM": "fcm", "FCM": "fcm"} {
		app := p.app(platform, "my-app."+platform, map[string]string{"PlatformCredential": "dummy"})
		require.Equal(t, "arn:aws:sns:us-east-1:000000000000:app/"+strings.Replace(platform, "FCM", "GCM", 1)+"/my-app."+platform, app)
		token := "token-of-" + strings.ToLower(platform)
		device := p.device(app, token)
		require.Regexp(t, "^"+strings.Replace(app, ":app/", ":endpoint/", 1)+"/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", device)
		_, err := p.push(device, "directly")
		require.NoError(t, err)
		topic := p.topic("news-" + platform)
		p.subscribe(topic, "application", device)
		_, err = p.push(topic, "by topic")
		require.NoError(t, err)
		got, err := sb.Await(t.Context(), provider, token, 2)
		require.NoError(t, err)
		text := fmt.Sprint(got)
		require.Contains(t, text, "directly")
		require.Contains(t, text, "by topic")
	}
	// Nothing of it is anybody's default, nor can be named with a token of one's own.
	require.Equal(t, 1.0, publish(t, g, "application", "apns/sandbox", strings.Repeat("ab", 32))["sent"], "the configured account")
	status, problem := call(t, "POST", g.URL()+"/v1/publish", `{"to": {"protocol": "application", "account": "fcm/000000000000:local:GCM:my-app.GCM", "endpoint": "`+strings.Repeat("x", 30)+`"}, "message": "x"}`)
	require.Equal(t, 422, status, problem)
	require.Equal(t, "active", account(t, g, "apns/000000000000:local:APNS:my-app.APNS")["state"])
	// A configured account goes on to be named by an ARN.
	_, err := p.push("arn:aws:sns:us-east-1:000000000000:endpoint/APNS/sandbox/"+strings.Repeat("cd", 32), "hi")
	require.NoError(t, err)
	_, err = sb.Await(t.Context(), "apns", strings.Repeat("cd", 32), 1)
	require.NoError(t, err)
}

// TestAppsOutliveRestartAndReload: an app that was created through the API is
// there again, and one deleted leaves nothing that waits for ever.
func TestAppsOutliveRestartAndReload(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	dir := t.TempDir()
	g, stop := serve(t, dir, sb)
	p := newPusher(t, g)
	device := p.device(p.app("APNS", "stays", nil), strings.Repeat("aa", 32))
	news, unused := p.topic("news"), p.app("GCM", "unused", nil)
	p.subscribe(news, "application", p.device(unused, "x"))
	_, err := p.DeletePlatformApplication(t.Context(), &sns.DeletePlatformApplicationInput{PlatformApplicationArn: &unused})
	require.NoError(t, err)
	goes := p.app("APNS", "goes", nil)
	late := p.device(goes, strings.Repeat("bb", 32))
	status, _ := call(t, "POST", g.URL()+"/v1/accounts/apns/000000000000:local:APNS:goes/pause", "")
	require.Less(t, status, 300)
	id, err := p.push(late, "waits")
	require.NoError(t, err)
	_, err = p.DeletePlatformApplication(t.Context(), &sns.DeletePlatformApplicationInput{PlatformApplicationArn: &goes})
	require.NoError(t, err)
	require.Equal(t, 1.0, p.ended(id)["failed"], "at once, although its account was paused")
	require.NoError(t, g.Reload(t.Context(), loading(configOf(dir))))
	_, err = p.push(device, "after a reload")
	require.NoError(t, err)
	_, err = sb.Await(t.Context(), "apns", strings.Repeat("aa", 32), 1)
	require.NoError(t, err)
	stop()

	g, _ = serve(t, dir, sb)
	p = newPusher(t, g)
	_, err = p.push(device, "after a restart")
	require.NoError(t, err)
	_, err = sb.Await(t.Context(), "apns", strings.Repeat("aa", 32), 2)
	require.NoError(t, err)
	require.Empty(t, sb.Requests("apns", strings.Repeat("bb", 32)))
	_, err = p.DeletePlatformApplication(t.Context(), &sns.DeletePlatformApplicationInput{PlatformApplicationArn: &unused})
	require.NoError(t, err)
	_, accounts := call(t, "GET", g.URL()+"/v1/accounts", "")
	require.NotContains(t, fmt.Sprint(accounts), "unused")
	id, err = p.push(news, "its subscription is there yet")
	require.NoError(t, err)
	require.Equal(t, 1.0, p.ended(id)["failed"])

	again := p.app("APNS", "goes", nil)
	out, err := p.ListEndpointsByPlatformApplication(t.Context(), &sns.ListEndpointsByPlatformApplicationInput{PlatformApplicationArn: &again})
	require.NoError(t, err)
	require.Empty(t, out.Endpoints, "another of the name")
	id, err = p.push(p.device(again, strings.Repeat("cc", 32)), "the earlier one was paused")
	require.NoError(t, err)
	require.Equal(t, 1.0, p.ended(id)["sent"])
	_, err = p.GetEndpointAttributes(t.Context(), &sns.GetEndpointAttributesInput{EndpointArn: &late})
	require.Equal(t, "NotFound", code(err))
}

// TestCredentialsRotate: deliveries that meet a revoked key wait, and go with the
// new one as soon as it is set. No secret is in a log or an answer.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	var log safeBuffer
	o := gateway.Options{Config: configOf(t.TempDir()), Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil))}
	o.ChangeApplications(func(a *config.Account) {
		if a.APNs != nil {
			a.APNs.Host, a.APNs.CA = sb.APNs.URL, config.PEM(sb.APNs.CAPEM)
		} else {
			a.FCM.Endpoint = sb.FCM.URL
		}
	})
	g, _ := serveOptions(t, o)
	p := newPusher(t, g)

	first := sb.FCM.CredentialsJSON()
	firebase := p.app("GCM", "app", map[string]string{"PlatformCredential": string(first)})
	device := p.device(firebase, strings.Repeat("f", 30))
	_, err := p.push(device, "with the first key")
	require.NoError(t, err)
	_, err = sb.Await(t.Context(), "fcm", strings.Repeat("f", 30), 1)
	require.NoError(t, err)
	sb.FCM.Revoke()
	id, err := p.push(device, "waits")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return account(t, g, "fcm/000000000000:local:GCM:app")["state"] == "faulted"
	}, 10*time.Second, 5*time.Millisecond)
	second, err := json.Marshal(string(sb.FCM.Rotate())) // as a string in JSON, by the way AWS recommends
	require.NoError(t, err)
	_, err = p.SetPlatformApplicationAttributes(t.Context(), &sns.SetPlatformApplicationAttributesInput{
		PlatformApplicationArn: &firebase, Attributes: map[string]string{"PlatformCredential": string(second)},
	})
	require.NoError(t, err)
	require.Equal(t, 1.0, p.ended(id)["sent"])

	byKey := p.app("APNS", "by-key", map[string]string{
		"PlatformCredential": string(sb.APNs.KeyPEM), "PlatformPrincipal": sb.APNs.KeyID, "ApplePlatformTeamID": sb.APNs.TeamID, "ApplePlatformBundleID": sb.APNs.Topic,
	})
	byCertificate := p.app("APNS_SANDBOX", "by-certificate", map[string]string{
		"PlatformCredential": string(sb.APNs.ClientKeyPEM), "PlatformPrincipal": string(sb.APNs.ClientCertPEM),
	})
	for app, want := range map[string]map[string]string{
		byKey:         {"Enabled": "true", "AuthenticationMethod": "Token", "ApplePlatformTeamID": sb.APNs.TeamID, "ApplePlatformBundleID": sb.APNs.Topic},
		byCertificate: {"Enabled": "true", "AuthenticationMethod": "Certificate"},
		firebase:      {"Enabled": "true", "AuthenticationMethod": "Token"},
	} {
		out, err := p.GetPlatformApplicationAttributes(t.Context(), &sns.GetPlatformApplicationAttributesInput{PlatformApplicationArn: &app})
		require.NoError(t, err)
		if app == byCertificate {
			require.NotEmpty(t, out.Attributes["AppleCertificateExpiryDate"])
			delete(out.Attributes, "AppleCertificateExpiryDate")
		}
		require.Equal(t, want, out.Attributes)
		if app == firebase {
			continue
		}
		id, err := p.push(p.device(app, strings.Repeat("ab", 32)), "hi")
		require.NoError(t, err)
		require.Equal(t, 1.0, p.ended(id)["sent"])
	}

	for name, attributes := range map[string]map[string]string{
		"no key file":       {"PlatformCredential": "AIzaSecret"},
		"half a key":        {"PlatformCredential": string(sb.APNs.KeyPEM), "PlatformPrincipal": sb.APNs.KeyID},
		"the wrong key":     {"PlatformCredential": string(sb.APNs.KeyPEM), "PlatformPrincipal": string(sb.APNs.ClientCertPEM)},
		"no credential":     {"PlatformPrincipal": sb.APNs.KeyID},
		"no principal":      {"PlatformCredential": string(sb.APNs.KeyPEM)},
		"a bad certificate": {"PlatformCredential": string(sb.APNs.KeyPEM), "PlatformPrincipal": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
	} {
		platform := "APNS"
		if name == "no key file" {
			platform = "GCM"
		}
		_, err := p.CreatePlatformApplication(t.Context(), &sns.CreatePlatformApplicationInput{Name: aws.String("bad"), Platform: &platform, Attributes: attributes})
		require.Equal(t, "InvalidParameter", code(err), name)
		require.NotContains(t, err.Error(), "AIza", name)
		require.NotContains(t, err.Error(), "BEGIN", name)
	}
	list, err := p.ListPlatformApplications(t.Context(), &sns.ListPlatformApplicationsInput{})
	require.NoError(t, err)
	require.Len(t, list.PlatformApplications, 3, "nothing is left of the bad ones")
	for _, secret := range []string{"PRIVATE KEY", "AIza", sb.APNs.KeyID} {
		require.NotContains(t, log.String(), secret)
	}
}

// TestATokenChangedMeanwhileIsUsed: what waits in the queue goes to the device's
// newest token.
func TestATokenChangedMeanwhileIsUsed(t *testing.T) {
	t.Parallel()
	sb := startSandbox(t)
	g, _ := serve(t, t.TempDir(), sb)
	p := newPusher(t, g)
	device := p.device(p.app("APNS", "app", nil), strings.Repeat("aa", 32))
	path := g.URL() + "/v1/accounts/apns/000000000000:local:APNS:app"
	status, _ := call(t, "POST", path+"/pause", "")
	require.Less(t, status, 300)
	_, err := p.push(device, "hi")
	require.NoError(t, err)
	p.set(device, map[string]string{"Token": strings.Repeat("bb", 32)})
	status, _ = call(t, "POST", path+"/resume", "")
	require.Less(t, status, 300)
	_, err = sb.Await(t.Context(), "apns", strings.Repeat("bb", 32), 1)
	require.NoError(t, err)
	require.Empty(t, sb.Requests("apns", strings.Repeat("aa", 32)))
}

// safeBuffer is a log that may be read while it is written.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
