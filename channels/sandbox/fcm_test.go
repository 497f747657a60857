package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2/jwt"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
)

const fcmDevice = "dEviCe-0001:APA91bFanfare"

// fcmConfig signs assertions with the sandbox's key.
func fcmConfig(t *testing.T, f *sandbox.FCM) *jwt.Config {
	t.Helper()
	var file map[string]string
	require.NoError(t, json.Unmarshal(f.CredentialsJSON(), &file))
	return &jwt.Config{
		Email: file["client_email"], PrivateKey: []byte(file["private_key"]), PrivateKeyID: file["private_key_id"],
		TokenURL: file["token_uri"], Scopes: []string{"https://www.googleapis.com/auth/firebase.messaging"},
	}
}

// fcmPost sends a body and returns status and the whole answer.
func fcmPost(t *testing.T, address, token, media, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", media)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(bytes.TrimSpace(text))
}

func startFCM(t *testing.T) *sandbox.Server {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	return sb
}

func TestFCMToken(t *testing.T) {
	t.Parallel()
	f := startFCM(t).FCM
	good := fcmConfig(t, f)
	_, err := good.TokenSource(t.Context()).Token()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(*jwt.Config)
		want   string
	}{
		"account":  {func(c *jwt.Config) { c.Email = "somebody@else" }, "account not found"},
		"key id":   {func(c *jwt.Config) { c.PrivateKeyID = "0" }, "Invalid JWT Signature"},
		"audience": {func(c *jwt.Config) { c.Audience = "https://oauth2.googleapis.com/token" }, "audience"},
		"lifetime": {func(c *jwt.Config) { c.Expires = 3 * 3600e9 }, "short-lived"},
		"scope":    {func(c *jwt.Config) { c.Scopes = []string{"email"} }, "invalid_scope"},
	} {
		config := *good
		c.change(&config)
		_, err := config.TokenSource(t.Context()).Token()
		require.ErrorContains(t, err, c.want, name)
	}
	form := url.Values{"grant_type": {"password"}}.Encode()
	status, text := fcmPost(t, f.URL+"/token", "", "application/x-www-form-urlencoded", form)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "unsupported_grant_type")
	status, text = fcmPost(t, f.URL+"/token", "", "application/json", "{}")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, text, "invalid_request")
}

func TestFCMRefusals(t *testing.T) {
	t.Parallel()
	sb := startFCM(t)
	f := sb.FCM
	signed, err := fcmConfig(t, f).TokenSource(t.Context()).Token()
	require.NoError(t, err)
	token, address := signed.AccessToken, f.URL+"/v1/projects/"+f.ProjectID+"/messages:send"
	message := func(rest string) string { return `{"message":{"token":"` + fcmDevice + `"` + rest + `}}` }

	status, text := fcmPost(t, address, token, "application/json", message(""))
	require.Equal(t, http.StatusOK, status, text)
	status, text = fcmPost(t, address, token, "application/json", `{"validateOnly":true,"message":{"token":"`+fcmDevice+`"}}`)
	require.Equal(t, http.StatusOK, status, text)
	require.Contains(t, text, "/messages/fake_message_id")
	require.Len(t, sb.Inbox(sandbox.ProviderFCM, fcmDevice), 1, "a validated message is not sent")

	for name, c := range map[string]struct {
		address, token, media, body string
		status                      int
		want                        string
	}{
		"no token":     {address, "", "", message(""), 401, `"UNAUTHENTICATED"`},
		"wrong token":  {address, "ya29.x", "", message(""), 401, `"UNAUTHENTICATED"`},
		"project":      {f.URL + "/v1/projects/other/messages:send", token, "", message(""), 403, `"PERMISSION_DENIED"`},
		"media type":   {address, token, "text/plain", message(""), 400, "Invalid JSON payload"},
		"no JSON":      {address, token, "", `{"message":`, 400, "Invalid JSON payload"},
		"huge":         {address, token, "", message(strings.Repeat(" ", 70_000)), 400, "exceeds the limit"},
		"no target":    {address, token, "", `{"message":{}}`, 400, "Recipient of the message is not set"},
		"two targets":  {address, token, "", message(`,"topic":"news"`), 400, "already set"},
		"short token":  {address, token, "", `{"message":{"token":"x"}}`, 400, `"field":"message.token"`},
		"unknown name": {address, token, "", message(`,"key":"x"`), 400, "Cannot find field"},
		"android name": {address, token, "", message(`,"android":{"colapse":"x"}`), 400, "Cannot find field"},
		"number":       {address, token, "", message(`,"data":{"k":12}`), 400, "(TYPE_STRING), 12"},
		"reserved key": {address, token, "", message(`,"data":{"from":"x"}`), 400, "Invalid data payload key"},
		"ttl":          {address, token, "", message(`,"android":{"ttl":"soon"}`), 400, "message.android.ttl"},
		"long ttl":     {address, token, "", message(`,"android":{"ttl":"2419201s"}`), 400, "message.android.ttl"},
		"priority":     {address, token, "", message(`,"android":{"priority":"urgent"}`), 400, "message.android.priority"},
		"too big":      {address, token, "", message(`,"data":{"k":"` + strings.Repeat("x", 4096) + `"}`), 400, "INVALID_ARGUMENT"},
	} {
		if c.media == "" {
			c.media = "application/json; charset=utf-8"
		}
		status, text := fcmPost(t, c.address, c.token, c.media, c.body)
		require.Equal(t, c.status, status, name)
		require.Contains(t, text, c.want, name)
	}
	require.Len(t, sb.Inbox(sandbox.ProviderFCM, ""), 1)

	f.Revoke()
	status, _ = fcmPost(t, address, token, "application/json", message(""))
	require.Equal(t, http.StatusUnauthorized, status)
}
