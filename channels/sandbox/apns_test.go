package sandbox_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v4"
	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

func startAPNs(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

// apnsClient speaks to the fake as any HTTP/2 client would.
type apnsClient struct {
	*http.Client
	fake *sandbox.APNs
}

func newAPNsClient(t *testing.T, fake *sandbox.APNs, protocol string, certs ...tls.Certificate) apnsClient {
	t.Helper()
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(fake.CAPEM))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certs, NextProtos: []string{protocol}}}
	transport.ForceAttemptHTTP2 = protocol == "h2"
	t.Cleanup(transport.CloseIdleConnections)
	return apnsClient{&http.Client{Transport: transport}, fake}
}

// bearer signs a provider token.
func (c apnsClient) bearer(t *testing.T, edit func(header, claims map[string]any)) string {
	t.Helper()
	key, err := jwt.ParseECPrivateKeyFromPEM(c.fake.KeyPEM)
	require.NoError(t, err)
	return c.signed(t, key, edit)
}

func (c apnsClient) signed(t *testing.T, key *ecdsa.PrivateKey, edit func(header, claims map[string]any)) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": c.fake.TeamID, "iat": time.Now().Unix()}
	token := &jwt.Token{
		Header: map[string]any{"alg": "ES256", "kid": c.fake.KeyID}, Claims: claims, Method: jwt.SigningMethodES256,
	}
	if edit != nil {
		edit(token.Header, claims)
	}
	text, err := token.SignedString(key)
	require.NoError(t, err)
	return "bearer " + text
}

const apnsDevice = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

// request is a good one.
func (c apnsClient) request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.fake.URL+"/3/device/"+apnsDevice,
		strings.NewReader(`{"aps":{"alert":{"title":"T","body":"B"}}}`))
	require.NoError(t, err)
	for name, value := range map[string]string{
		"authorization": c.bearer(t, nil), "apns-topic": c.fake.Topic, "apns-push-type": "alert", "apns-priority": "10",
		"apns-expiration": "0", "apns-collapse-id": "one", "apns-id": "eabeae54-14a8-11e5-b60b-1697f925ec7b",
	} {
		r.Header.Set(name, value)
	}
	return r
}

// do sends a request and returns status and reason.
func (c apnsClient) do(t *testing.T, r *http.Request) (status int, reason string) {
	t.Helper()
	resp, err := c.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.NotEmpty(t, resp.Header.Get("apns-id"))
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.StatusCode == http.StatusOK {
		require.Empty(t, raw)
		return resp.StatusCode, ""
	}
	var body struct{ Reason string }
	require.NoError(t, json.Unmarshal(raw, &body))
	return resp.StatusCode, body.Reason
}

func apnsPayload(text string) func(*http.Request) {
	return func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	}
}

func apnsHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
}

func apnsPath(text string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = text } }

func TestAPNsRefusesWhatAppleRefuses(t *testing.T) {
	t.Parallel()
	sb := startAPNs(t)
	c := newAPNsClient(t, sb.APNs, "h2")
	for name, tc := range map[string]struct {
		edit   func(*http.Request)
		status int
		reason string
	}{
		"good":                {func(*http.Request) {}, 200, ""},
		"no id":               {apnsHeader("apns-id", ""), 200, ""},
		"largest":             {apnsPayload(`{"a":"` + strings.Repeat("x", 4096-8) + `"}`), 200, ""},
		"method":              {func(r *http.Request) { r.Method = http.MethodPut }, 405, "MethodNotAllowed"},
		"path":                {apnsPath("/2/device/" + apnsDevice), 404, "BadPath"},
		"no device":           {apnsPath("/3/device/"), 400, "MissingDeviceToken"},
		"short device":        {apnsPath("/3/device/abcd"), 400, "BadDeviceToken"},
		"zero device":         {apnsPath("/3/device/" + strings.Repeat("0", 64)), 400, "BadDeviceToken"},
		"no topic":            {apnsHeader("apns-topic", ""), 400, "MissingTopic"},
		"other topic":         {apnsHeader("apns-topic", "com.example"), 400, "TopicDisallowed"},
		"topic of other type": {apnsHeader("apns-push-type", "voip"), 400, "TopicDisallowed"},
		"push type":           {apnsHeader("apns-push-type", "shout"), 400, "InvalidPushType"},
		"priority":            {apnsHeader("apns-priority", "7"), 400, "BadPriority"},
		"background at once":  {apnsHeader("apns-push-type", "background"), 400, "BadPriority"},
		"expiration":          {apnsHeader("apns-expiration", "soon"), 400, "BadExpirationDate"},
		"collapse id":         {apnsHeader("apns-collapse-id", strings.Repeat("c", 65)), 400, "BadCollapseId"},
		"id":                  {apnsHeader("apns-id", "17"), 400, "BadMessageId"},
		"twice":               {func(r *http.Request) { r.Header.Add("apns-topic", c.fake.Topic) }, 400, "DuplicateHeaders"},
		"empty":               {apnsPayload(""), 400, "PayloadEmpty"},
		"no object":           {apnsPayload("[1]"), 400, "PayloadEmpty"},
		"too large":           {apnsPayload(`{"a":"` + strings.Repeat("x", 4097-8) + `"}`), 413, "PayloadTooLarge"},
	} {
		r := c.request(t)
		tc.edit(r)
		status, reason := c.do(t, r)
		require.Equal(t, tc.status, status, name)
		require.Equal(t, tc.reason, reason, name)
	}
	for _, it := range sb.Requests("apns", "") {
		require.Equal(t, it.Code == "", it.Accepted)
	}
	require.Len(t, sb.Inbox("apns", apnsDevice), 3)
}

func TestAPNsSignIn(t *testing.T) {
	t.Parallel()
	sb := startAPNs(t)
	c := newAPNsClient(t, sb.APNs, "h2")
	issued := func(d time.Duration) string {
		return c.bearer(t, func(_, claims map[string]any) { claims["iat"] = time.Now().Add(d).Unix() })
	}
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	none := "bearer eyJhbGciOiJub25lIn0.e30."
	for name, tc := range map[string]struct{ auth, reason string }{
		"good":        {c.bearer(t, nil), ""},
		"old":         {issued(-59 * time.Minute), ""},
		"too old":     {issued(-61 * time.Minute), "ExpiredProviderToken"},
		"future":      {issued(time.Hour), "ExpiredProviderToken"},
		"missing":     {"", "MissingProviderToken"},
		"basic":       {"Basic dTpw", "MissingProviderToken"},
		"garbage":     {"bearer abc", "InvalidProviderToken"},
		"not signed":  {none, "InvalidProviderToken"},
		"other key":   {c.signed(t, foreign, nil), "InvalidProviderToken"},
		"changed":     {c.bearer(t, nil) + "A", "InvalidProviderToken"},
		"no iat":      {c.bearer(t, func(_, claims map[string]any) { delete(claims, "iat") }), "InvalidProviderToken"},
		"other team":  {c.bearer(t, func(_, claims map[string]any) { claims["iss"] = "TEAM000000" }), "InvalidProviderToken"},
		"other keyid": {c.bearer(t, func(h, _ map[string]any) { h["kid"] = "KEY0000000" }), "InvalidProviderToken"},
	} {
		r := c.request(t)
		apnsHeader("authorization", tc.auth)(r)
		status, reason := c.do(t, r)
		require.Equal(t, tc.reason, reason, name)
		require.Equal(t, tc.reason == "", status == http.StatusOK, name)
		require.True(t, status == http.StatusOK || status == http.StatusForbidden, name)
	}
	sb.APNs.Revoke()
	_, reason := c.do(t, c.request(t))
	require.Equal(t, "InvalidProviderToken", reason)
	sb.APNs.Restore()
	status, _ := c.do(t, c.request(t))
	require.Equal(t, http.StatusOK, status)

	cert, err := tls.X509KeyPair(sb.APNs.ClientCertPEM, sb.APNs.ClientKeyPEM)
	require.NoError(t, err)
	byCert := newAPNsClient(t, sb.APNs, "h2", cert)
	r := byCert.request(t)
	apnsHeader("authorization", "")(r)
	apnsHeader("apns-topic", "")(r)
	status, _ = byCert.do(t, r)
	require.Equal(t, http.StatusOK, status)
}

func TestAPNsSpeaksHTTP2Only(t *testing.T) {
	t.Parallel()
	sb := startAPNs(t)
	c := newAPNsClient(t, sb.APNs, "http/1.1")
	resp, err := c.Do(c.request(t))
	if err == nil {
		resp.Body.Close()
	}
	require.Error(t, err)
	require.Empty(t, sb.Requests("apns", ""))
}

func TestAPNsItem(t *testing.T) {
	t.Parallel()
	sb := startAPNs(t)
	c := newAPNsClient(t, sb.APNs, "h2")
	status, _ := c.do(t, c.request(t))
	require.Equal(t, http.StatusOK, status)
	it := sb.Inbox("apns", apnsDevice)[0]
	require.Equal(t, "T", it.Subject)
	require.Equal(t, "B", it.Body)
	require.Equal(t, "eabeae54-14a8-11e5-b60b-1697f925ec7b", it.Delivery)
	for name, want := range map[string]string{
		"apns-topic": sb.APNs.Topic, "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "0",
		"apns-collapse-id": "one", "auth": "token", "payload": `{"aps":{"alert":{"title":"T","body":"B"}}}`,
	} {
		require.Equal(t, want, it.Fields[name], name)
	}
	plain := c.request(t)
	apnsPayload(`{"aps":{"alert":"only text"}}`)(plain)
	_, _ = c.do(t, plain)
	require.Equal(t, "only text", sb.Inbox("apns", apnsDevice)[1].Body)
	require.Len(t, sb.APNs.Shown(apnsDevice), 1, "same collapse id")
}
