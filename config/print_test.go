package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

func TestSecretsAreNeverShown(t *testing.T) {
	t.Parallel()
	c, problems := load(t, strings.ReplaceAll(whole, "0123", "hunter2"))
	require.Empty(t, problems)
	secret := c.Accounts[0].Twilio.AuthToken
	require.Equal(t, "hunter2", string(secret))
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("loaded", "secret", secret, "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("loaded", "secret", secret, "config", c)
	marshalled, err := json.Marshal(c)
	require.NoError(t, err)
	shown := []string{log.String(), string(marshalled), c.Redacted(), c.RedactedJSON(), secret.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Accounts), fmt.Sprintf(verb, c.Accounts[0].Twilio), fmt.Sprintf(verb, []config.Secret{secret}))
	}
	for _, text := range shown {
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, fmt.Sprintf("%x", "hunter2"))
	}
	require.Contains(t, c.Redacted(), "auth_token: <secret>")
	require.Empty(t, config.Secret("").String())
}

func TestRedactedCanBeLoaded(t *testing.T) {
	t.Parallel()
	c, problems := load(t, whole)
	require.Empty(t, problems)
	c.Accounts[0].Twilio.AuthToken = "<secret>"
	again, problems := load(t, c.Redacted())
	require.Empty(t, problems)
	require.Equal(t, c.Redacted(), again.Redacted())
	require.True(t, json.Valid([]byte(c.RedactedJSON())), c.RedactedJSON())
	again, problems = load(t, c.RedactedJSON()) // YAML, too
	require.Empty(t, problems)
	require.Equal(t, c.Redacted(), again.Redacted())
	require.Equal(t, c.Accounts, again.Accounts)
	require.Equal(t, c.Store, again.Store)
}
