package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

func TestEnvironment(t *testing.T) {
	t.Parallel()
	c, problems := load(t, whole,
		"PATH=/bin", "FANFARE_LISTEN=:1", "FANFARE_STORE_SHARDS=8", "FANFARE_LOG_LEVEL=", "FANFARE_LEDGER_RETENTION=2h",
		"FANFARE_EGRESS_ALLOW=10.0.0.0/8, 192.168.0.0/16", "FANFARE_GUARD_REDIRECT_EMAIL=a@example.com",
		"FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN=other", "FANFARE_ACCOUNTS_MAIN_RATE=7",
		"FANFARE_ACCOUNTS_THE_RELAY_PROVIDER=smtp", "FANFARE_ACCOUNTS_THE_RELAY_HOST=smtp.example.com", "FANFARE_ACCOUNTS_THE_RELAY_FROM=a@example.com",
		"FANFARE_ACCOUNTS_THE_RELAY_DKIM_DOMAIN=example.com", "FANFARE_ACCOUNTS_THE_RELAY_DKIM_SELECTOR=s", "FANFARE_ACCOUNTS_THE_RELAY_DKIM_KEY=-----BEGIN X",
		"FANFARE_KEYS_OPS_HASH=sha256:"+strings.Repeat("0", 64), "FANFARE_KEYS_OPS_SCOPES=admin,read",
	)
	require.Empty(t, problems)
	require.Equal(t, ":1", c.Listen)
	require.Equal(t, 8, c.Store.Shards)
	require.Equal(t, "debug", c.Log.Level, "an empty variable is none")
	require.Equal(t, 2*time.Hour, c.Ledger.Retention)
	require.Equal(t, []string{"10.0.0.0/8", "192.168.0.0/16"}, c.Egress.Allow)
	require.Equal(t, map[string]string{"sms": "+15550100", "email": "a@example.com"}, c.Guard.Redirect)
	require.Equal(t, config.Secret("other"), c.Accounts[0].Twilio.AuthToken)
	require.InDelta(t, 7, c.Accounts[0].Rate, 0)
	require.Equal(t, "AC1", c.Accounts[0].Twilio.AccountSID)
	relay := c.Accounts[2]
	require.Equal(t, "the-relay", relay.Name)
	require.Equal(t, config.SMTP{Host: "smtp.example.com", Port: 587, TLS: "starttls", From: "a@example.com",
		DKIM: config.DKIM{Domain: "example.com", Selector: "s", Key: "-----BEGIN X"}}, *relay.SMTP)
	require.Equal(t, "ops", c.Keys[1].Name)
	require.Equal(t, []string{"admin", "read"}, c.Keys[1].Scopes)
}

func TestEnvironmentProblems(t *testing.T) {
	t.Parallel()
	_, problems := load(t, whole,
		"FANFARE_STORE_SHARDS=-1", "FANFARE_LOG_FORMAT=xml", "FANFARE_DRAIN_TIMEOUT=1", "FANFARE_EGRESS_ALLOW=all",
		"FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN_FILE=/nowhere/x", "FANFARE_ACCOUNTS_APP_PROVIDER=fcm",
	)
	for _, want := range []string{
		"FANFARE_STORE_SHARDS: store.shards: must be 0 to 256, not -1",
		`FANFARE_LOG_FORMAT: log.format: must be one of json, text, not "xml"`,
		`FANFARE_DRAIN_TIMEOUT: drain_timeout: must be a duration such as 30s or 5m, not "1"`,
		`FANFARE_EGRESS_ALLOW: egress.allow[0]: must be a network such as 10.0.0.0/8, not "all"`,
		"FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN_FILE: accounts[0].twilio.auth_token: cannot read /nowhere/x: no such file or directory",
		"FANFARE_ACCOUNTS_APP_PROVIDER: accounts[2].fcm.credentials: is required",
	} {
		require.Contains(t, strings.Split(problems, "\n"), want)
	}
	require.Len(t, strings.Split(problems, "\n"), 6)
}

func TestUnusedVariables(t *testing.T) {
	t.Parallel()
	got := config.Unused(file(t, whole), []string{"FANFARE_LISTEN=:1", "FANFARE_STORE_SHARD=1", "FANFARE_SERVICE_HOST=10.0.0.1", "FANFARE_ACCOUNTS_MAIN_FROM=x", "FANFARE_ACCOUNTS_MAIN_TOPIC=x", "HOME=/"})
	require.Equal(t, []string{"FANFARE_STORE_SHARD", "FANFARE_SERVICE_HOST", "FANFARE_ACCOUNTS_MAIN_TOPIC"}, got)
}
