package gateway_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// rsaPair is a key with a certificate it signed, both PEM.
func rsaPair() (config.Secret, config.PEM) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		panic(err)
	}
	secret := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return config.Secret(secret), config.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// signingPair is one for all tests that are not about it: a store makes its own,
// which takes longer than the rest of a start.
var signingPair = sync.OnceValues(rsaPair)

// signedMessage publishes to a topic of SignatureVersion 2 and gives what its
// queue gets.
func signedMessage(t *testing.T, g *gateway.Gateway) map[string]string {
	t.Helper()
	c := snsClient(g)
	topic, err := c.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("alerts"), Attributes: map[string]string{"SignatureVersion": "2"}})
	require.NoError(t, err)
	_, err = c.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:work")})
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("m")})
	require.NoError(t, err)
	_, got := call(t, "POST", g.URL()+"/v1/queues/work/receive", `{}`)
	text, err := json.Marshal(got["messages"])
	require.NoError(t, err)
	var messages []struct{ Body string }
	require.NoError(t, json.Unmarshal(text, &messages))
	require.Len(t, messages, 1)
	var e map[string]string
	require.NoError(t, json.Unmarshal([]byte(messages[0].Body), &e))
	return e
}

// verify checks a message by the certificate its URL leads to, at the address
// the gateway has now, and gives the certificate's path.
func verify(t *testing.T, g *gateway.Gateway, e map[string]string) string {
	t.Helper()
	u, err := url.Parse(e["SigningCertURL"])
	require.NoError(t, err)
	require.Regexp(t, `^/SimpleNotificationService-[0-9a-f]{32}\.pem$`, u.Path)
	status, answer := call(t, http.MethodGet, g.URL()+u.Path, "")
	require.Equal(t, http.StatusOK, status)
	text, _ := answer["text"].(string)
	block, rest := pem.Decode([]byte(text))
	require.NotNil(t, block)
	require.Empty(t, rest, "the certificate alone")
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	signed := ""
	for _, name := range []string{"Message", "MessageId", "Timestamp", "TopicArn", "Type"} {
		signed += name + "\n" + e[name] + "\n"
	}
	signature, err := base64.StdEncoding.DecodeString(e["Signature"])
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(signed))
	require.NoError(t, rsa.VerifyPKCS1v15(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], signature))
	return u.Path
}

// TestSigningKeyIsRotatedByReload: what an earlier key signed stays verifiable,
// over restarts too.
func TestSigningKeyIsRotatedByReload(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	cfg := configOf(t.TempDir())
	cfg.AWS.SigningKey, cfg.AWS.SigningCertificate = "", ""
	g, stop := serveConfig(t, cfg, sb)
	status, made := call(t, "POST", g.URL()+"/v1/queues", `{"name": "work"}`)
	require.Less(t, status, 300, made)
	own := signedMessage(t, g)
	first := verify(t, g, own)

	rotated := cfg
	rotated.AWS.SigningKey, rotated.AWS.SigningCertificate = rsaPair()
	require.NoError(t, g.Reload(t.Context(), loading(rotated)))
	configured := signedMessage(t, g)
	second := verify(t, g, configured)
	require.NotEqual(t, first, second)
	verify(t, g, own)

	third := cfg
	third.AWS.SigningKey, third.AWS.SigningCertificate = rsaPair()
	require.NoError(t, g.Reload(t.Context(), loading(third)))
	later := signedMessage(t, g)
	require.NoError(t, g.Reload(t.Context(), loading(rotated)))

	bad := rotated
	bad.AWS.SigningKey, _ = rsaPair()
	require.ErrorContains(t, g.Reload(t.Context(), loading(bad)), "aws.signing_key")
	require.Equal(t, second, verify(t, g, signedMessage(t, g)), "as it was")

	stop()
	g, _ = serveConfig(t, cfg, sb)
	require.Equal(t, first, verify(t, g, signedMessage(t, g)), "without a configured key it is the store's own again")
	verify(t, g, configured)
	verify(t, g, later)
	status, _ = call(t, http.MethodGet, g.URL()+"/SimpleNotificationService-00000000000000000000000000000000.pem", "")
	require.Equal(t, http.StatusNotFound, status)
}
