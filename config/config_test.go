package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

// file writes a configuration file and returns its name.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fanfare.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// load loads a file of the text; what is wrong comes without the file's folder.
func load(t testing.TB, text string, env ...string) (config.Config, string) {
	t.Helper()
	path := file(t, text)
	c, err := config.Load(path, env, nil)
	if err == nil {
		return c, ""
	}
	var all config.Problems
	require.ErrorAs(t, err, &all)
	return c, strings.ReplaceAll(err.Error(), filepath.Dir(path)+"/", "")
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	c, err := config.Load("", nil, nil)
	require.NoError(t, err)
	require.Equal(t, config.Default(), c)
	require.Equal(t, "127.0.0.1:8080", c.Listen)
	require.Equal(t, config.Size(1<<30), c.Store.MinFree)
}

func TestEmptyFiles(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "store:\nlog: {}\naccounts:\n", "---\n"} {
		c, problems := load(t, text)
		require.Empty(t, problems, text)
		require.Equal(t, config.Default(), c)
	}
}

const whole = `
listen: ":8443"
public_url: https://notify.example.com/x
drain_timeout: 1m30s
log: {level: debug, format: text}
store:
  shards: 4
  cache: 512MiB
  min_free: 5GB
  max_used: 0.8
egress:
  allow: [10.0.0.0/8, "fd00::/8"]
guard:
  only: ["+1555*", "*@example.com"]
  redirect:
    sms: +15550100
keys:
  - name: ci
    hash: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    scopes: [publish, read]
accounts:
  - &texts
    name: main
    provider: twilio
    rate: 2.5
    timeout: 10s
    twilio: {account_sid: AC1, auth_token: "0123", from: +15550100}
  - name: hooks
    provider: webhook
`

func TestFile(t *testing.T) {
	t.Parallel()
	c, problems := load(t, whole)
	require.Empty(t, problems)
	require.Equal(t, ":8443", c.Listen)
	require.Equal(t, 90*time.Second, c.DrainTimeout)
	require.Equal(t, config.Store{Shards: 4, Cache: 512 << 20, MemTable: 64 << 20, MinFree: 5e9, MaxUsed: 0.8}, c.Store)
	require.Equal(t, []string{"10.0.0.0/8", "fd00::/8"}, c.Egress.Allow)
	require.Equal(t, map[string]string{"sms": "+15550100"}, c.Guard.Redirect)
	require.Equal(t, "000000000000", c.Keys[0].Account)
	main := c.Accounts[0]
	require.Equal(t, "sms", main.Protocol())
	require.Equal(t, config.Twilio{AccountSID: "AC1", AuthToken: "0123", From: "+15550100"}, *main.Twilio)
	require.Equal(t, 16, main.Concurrency, "defaults hold within a list")
	require.InDelta(t, 2.5, main.Rate, 0)
	require.Equal(t, &config.Webhook{}, c.Accounts[1].Webhook, "an account has its block")
}

func TestFlagsWin(t *testing.T) {
	t.Parallel()
	path := file(t, whole)
	c, err := config.Load(path, []string{"FANFARE_LISTEN=:1"}, map[string]string{"listen": ":2", "store.cache": "1GiB"})
	require.NoError(t, err)
	require.Equal(t, ":2", c.Listen)
	require.Equal(t, config.Size(1<<30), c.Store.Cache)
	_, err = config.Load("", nil, map[string]string{"admin_listen": "x", "store": "x", "store.cash": "1", "data.x": "1", "store.shards": "many"})
	require.EqualError(t, err, `--data.x: data.x: unknown key
--store: store: cannot be set from a text
--store.cash: store.cash: unknown key
--store.shards: store.shards: must be a whole number, not "many"
--admin-listen: admin_listen: must be host:port such as 127.0.0.1:8080, not "x"`)
}

func TestUnitStopsLaterThanTheGateway(t *testing.T) {
	t.Parallel()
	unit, err := os.ReadFile("fanfare.service")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(unit)
	require.NotNil(t, m)
	stop, err := time.ParseDuration(string(m[1]) + "s")
	require.NoError(t, err)
	require.Greater(t, stop, config.Default().DrainTimeout)
}

func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add("store: {shards: 1}\nlog: &a {level: info}\nlimits: *a\n")
	f.Add("accounts:\n- name: x\n  provider: smtp\n  smtp: {host: a, dkim: {key: |\n    x\n}}")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, err := config.Load(path, nil, nil)
		if err == nil {
			require.Empty(t, c.Validate())
		}
	})
}
