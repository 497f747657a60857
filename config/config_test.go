package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
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

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := load(t, `listen: nowhere
store:
  shards: 300
  shard: 1
  cache: huge
  max_used: .nan
  shards: 2
drain_timeout: 20
log:
  level: loud
limits: 5
fanout: {matches: 1.5, ahead: 0}
egress:
  allow: [10.0.0.1/8, here]
keys:
  - name: A
    scopes: [publish, fly]
accounts:
  - name: x
    provider: twilio
    rate: -1
    apns: {topic: a}
  - name: x
    provider: pigeon
  - provider: twilio
    twilio:
      from: [1]
  - 7
extra: true
`)
	require.Equal(t, `fanfare.yaml:1:9: listen: must be host:port such as 127.0.0.1:8080, not "nowhere"
fanfare.yaml:3:11: store.shards: must be 0 to 256, not 300
fanfare.yaml:4:3: store.shard: unknown key; there are shards, cache, memtable, min_free, max_used
fanfare.yaml:5:10: store.cache: must be a size such as 512KiB or 1GiB, not "huge"
fanfare.yaml:6:13: store.max_used: must be a number, not ".nan"
fanfare.yaml:7:3: store.shards: is given twice, first in line 3
fanfare.yaml:8:16: drain_timeout: must be a duration such as 30s or 5m, not "20"
fanfare.yaml:10:10: log.level: must be one of debug, info, warn, error, not "loud"
fanfare.yaml:11:9: limits: must be a section of keys
fanfare.yaml:12:19: fanout.matches: must be a whole number, not "1.5"
fanfare.yaml:12:31: fanout.ahead: must be 1 to 1000000, not 0
fanfare.yaml:14:11: egress.allow[0]: must be a network such as 10.0.0.0/8, not "10.0.0.1/8"
fanfare.yaml:14:23: egress.allow[1]: must be a network such as 10.0.0.0/8, not "here"
fanfare.yaml:16:5: keys[0].hash: is required
fanfare.yaml:16:11: keys[0].name: must be 1 to 64 of a-z, 0-9 and -, not "A"
fanfare.yaml:17:23: keys[0].scopes[1]: must be one of publish, read, manage, admin, not "fly"
fanfare.yaml:21:11: accounts[0].rate: must be 0 to 1000000, not -1
fanfare.yaml:22:5: accounts[0].apns: does not belong to an account of provider twilio
fanfare.yaml:23:11: accounts[1].name: "x" is the name of accounts[0] already
fanfare.yaml:24:15: accounts[1].provider: must be one of twilio, apns, fcm, smtp, webhook, sqs, lambda, not "pigeon"
fanfare.yaml:25:5: accounts[2].name: is required
fanfare.yaml:26:5: accounts[2].twilio.account_sid: is required
fanfare.yaml:26:5: accounts[2].twilio: needs auth_token, or api_key and api_secret
fanfare.yaml:26:5: accounts[2].twilio: needs either from or messaging_service_sid
fanfare.yaml:27:13: accounts[2].twilio.from: must be a single value
fanfare.yaml:28:5: accounts[3]: must be a section of keys
fanfare.yaml:29:1: extra: unknown key; there are listen, admin_listen, data, public_url, drain_timeout, error_book, log, store, limits, fanout, ledger, idempotency, egress, guard, keys, aws, accounts`, problems)
}

func TestAccountProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ account, want string }{
		{"provider: twilio", "accounts[0].twilio.account_sid: is required"},
		{"provider: twilio\n    twilio: {account_sid: AC1, api_key: SK1, from: X}", "twilio: needs auth_token, or api_key and api_secret"},
		{"provider: twilio\n    twilio: {account_sid: AC1, auth_token: x, from: X, messaging_service_sid: Y}", "twilio: needs either from or messaging_service_sid"},
		{"provider: twilio\n    twilio: {account_sid: AC1, auth_token: x, from: X, base_url: ftp://x}", `4:66: accounts[0].twilio.base_url: must be an http or https URL without user, query and fragment, not "ftp://x"`},
		{"provider: apns\n    apns: {topic: a}", "apns: needs either key, key_id and team_id, or certificate and certificate_key"},
		{"provider: apns\n    apns: {topic: a, key_id: b}", "apns: needs all of key, key_id and team_id"},
		{"provider: apns\n    apns: {topic: a, certificate: '-----BEGIN X'}", "apns: needs both certificate and certificate_key"},
		{"provider: apns\n    apns: {topic: a, certificate: x, certificate_key: y}", "certificate: must be PEM text: -----BEGIN …\n"},
		{"provider: fcm", "fcm.credentials: is required"},
		{"provider: smtp\n    smtp: {host: a, from: b@c.d, username: u}", "smtp: needs both username and password, or none"},
		{"provider: smtp\n    smtp: {host: a, from: b@c.d, dkim: {domain: d}}", "smtp.dkim: needs all of domain, selector and key, or none"},
		{"provider: smtp\n    smtp: {host: a, from: b, port: 0}", `smtp.from: must be a mail address, not "b"`},
		{"provider: smtp\n    smtp: {host: a, from: b, tls: maybe}", `smtp.tls: must be one of starttls, implicit, none, not "maybe"`},
		{"provider: sqs\n    lambda: {}", "accounts[0].lambda: does not belong to an account of provider sqs"},
		{"provider: lambda", "lambda.region: is required"},
		{"rate: 1", "accounts[0].provider: is required"},
	} {
		_, problems := load(t, "accounts:\n  - name: x\n    "+c.account+"\n")
		require.Contains(t, problems+"\n", c.want)
	}
}

func TestRelations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"admin_listen: 127.0.0.1:8080":                     "1:15: admin_listen: must differ from listen",
		"limits: {message: 3MiB}":                          "1:1: limits.request: must be at least limits.message (3MiB), not 2MiB",
		"fanout:\n  candidates: 10":                        "2:15: fanout.candidates: must be at least fanout.matches (64), not 10",
		"guard:\n  redirect: {fax: x, sms: ''}":            "2:19: guard.redirect.fax: unknown protocol; there are sms,",
		"guard: {redirect: {sms: ''}}":                     "guard.redirect.sms: is required",
		"guard: {only: ['']}":                              "guard.only[0]: must be 1 to 256 characters",
		"data: ''":                                         "data: is required",
		"keys: [{name: a, hash: 'sha256:00', scopes: []}]": "keys[0].scopes: is required",
	} {
		_, problems := load(t, text)
		require.Contains(t, problems, want)
	}
	_, problems := load(t, "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n")
	require.Empty(t, problems)
}

func TestAWS(t *testing.T) {
	t.Parallel()
	require.True(t, config.Default().Keyless())
	path := file(t, "aws:\n  region: eu-west-1\n  purge_at_once: true\n  access_keys:\n    - {name: a, id: AKIA0000, secret_file: secret}\n")
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(path), "secret"), []byte("s1\n"), 0o600))
	c, err := config.Load(path, []string{
		"FANFARE_AWS_RECREATE_AT_ONCE=true", "FANFARE_AWS_ACCESS_KEYS_SHOP_1_ID=AKIA0001",
		"FANFARE_AWS_ACCESS_KEYS_SHOP_1_SECRET=s2", "FANFARE_AWS_ACCESS_KEYS_SHOP_1_ACCOUNT=123456789012",
	}, nil)
	require.NoError(t, err)
	require.Equal(t, config.AWS{Region: "eu-west-1", RecreateAtOnce: true, PurgeAtOnce: true, AccessKeys: []config.AccessKey{
		{Name: "a", ID: "AKIA0000", Secret: "s1", Account: "000000000000"},
		{Name: "shop-1", ID: "AKIA0001", Secret: "s2", Account: "123456789012"},
	}}, c.AWS)
	require.False(t, c.Keyless())
	require.NotContains(t, c.Redacted(), "s2")

	_, problems := load(t, "aws:\n  region: EU\n  access_keys:\n    - {name: a, id: a/b, account: 1}\n    - {name: a, id: AKIA0, secret: s}\n    - {name: b, id: AKIA0, secret: s}\n")
	require.Equal(t, `fanfare.yaml:2:11: aws.region: must be 1 to 32 of a-z, 0-9 and -, such as us-east-1, not "EU"
fanfare.yaml:4:8: aws.access_keys[0].secret: is required
fanfare.yaml:4:21: aws.access_keys[0].id: must be 3 to 128 letters, digits, _ and -, not "a/b"
fanfare.yaml:4:35: aws.access_keys[0].account: must be an account number of 12 digits, not "1"
fanfare.yaml:5:14: aws.access_keys[1].name: "a" is the name of aws.access_keys[0] already
fanfare.yaml:6:21: aws.access_keys[2].id: "AKIA0" is the id of aws.access_keys[1] already`, problems)
}

func TestBrokenFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"auth_token: \"hunter2\nlisten: x": "fanfare.yaml:1:13: could not find end character of double-quoted text",
		"a: [1\nb: 2":                      "fanfare.yaml:2:1: ",
		"listen: *nowhere":                 "fanfare.yaml:1:9: listen: there is no such anchor before this line",
		"log: &x [*x]":                     "fanfare.yaml:1:9: log: must be a section of keys",
		"- a":                              "fanfare.yaml:1:1: must be a section of keys",
		"data: a\n---\ndata: b\n":          "fanfare.yaml:3:1: the file must hold one document, not several",
	} {
		_, problems := load(t, text)
		require.Contains(t, problems, want)
		require.NotContains(t, problems, "hunter2")
	}
	_, err := config.Load("/nowhere/fanfare.yaml", nil, nil)
	require.EqualError(t, err, "/nowhere/fanfare.yaml: cannot read /nowhere/fanfare.yaml: no such file or directory")
}

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

func TestValuesFromFiles(t *testing.T) {
	t.Parallel()
	path := file(t, `accounts:
  - name: main
    provider: twilio
    twilio: {account_sid: AC1, auth_token_file: token, from: x}
`)
	_, err := config.Load(path, nil, nil)
	require.ErrorContains(t, err, "fanfare.yaml:4:49: accounts[0].twilio.auth_token: cannot read ")
	require.Len(t, err, 1, "that it is missing too is the same problem")

	token := filepath.Join(filepath.Dir(path), "token")
	require.NoError(t, os.WriteFile(token, []byte("from-file\r\n"), 0o600))
	c, err := config.Load(path, nil, nil)
	require.NoError(t, err)
	require.Equal(t, config.Secret("from-file"), c.Accounts[0].Twilio.AuthToken)

	c, err = config.Load(file(t, whole), []string{"FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN_FILE=" + token}, nil)
	require.NoError(t, err)
	require.Equal(t, config.Secret("from-file"), c.Accounts[0].Twilio.AuthToken)

	_, err = config.Load(file(t, whole), []string{"FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN_FILE=" + token, "FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN=x"}, nil)
	require.EqualError(t, err, "FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN: accounts[0].twilio.auth_token: FANFARE_ACCOUNTS_MAIN_AUTH_TOKEN_FILE is set too")

	_, problems := load(t, "accounts:\n- name: m\n  provider: webhook\n  webhook: {ca_file: x, ca: y}")
	require.Contains(t, problems, "accounts[0].webhook.ca_file: ca is given too")
	_, problems = load(t, "listen_file: x")
	require.Contains(t, problems, "listen_file: unknown key")
}

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
	shown := []string{log.String(), string(marshalled), c.Redacted(), secret.String()}
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
	require.Equal(t, c.Accounts, again.Accounts)
	require.Equal(t, c.Store, again.Store)
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{"0": 0, "7": 7, "12B": 12, "1KiB": 1024, "2 MiB": 2 << 20, "3GB": 3e9, "10kB": 10000, "8191PiB": 8191 << 50} {
		var s config.Size
		require.NoError(t, s.UnmarshalText([]byte(text)))
		require.Equal(t, want, s)
		var again config.Size
		require.NoError(t, again.UnmarshalText([]byte(s.String())))
		require.Equal(t, s, again)
	}
	for _, text := range []string{"", "x", "-1", "1.5GiB", "1XiB", "8192PiB", "99999999999999999999", "MiB"} {
		var s config.Size
		require.Error(t, s.UnmarshalText([]byte(text)), text)
	}
	require.Equal(t, "1536MiB", config.Size(1536<<20).String())
	require.Equal(t, "1000B", config.Size(1000).String())
}

// keys are all keys of a value, elements of lists as [].
func keys(v any, key string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			keys(value, strings.TrimPrefix(key+"."+name, "."), into)
		}
	case []any:
		for _, value := range v {
			keys(value, key+"[]", into)
		}
	default:
		into[key] = true
	}
}

// schemaKeys are all keys of a schema.
func schemaKeys(s map[string]any, key string, into map[string]bool) {
	properties, section := s["properties"].(map[string]any)
	items, list := s["items"].(map[string]any)
	switch {
	case section:
		for name, p := range properties {
			schemaKeys(p.(map[string]any), strings.TrimPrefix(key+"."+name, "."), into)
		}
	case list:
		schemaKeys(items, key+"[]", into)
	case !strings.HasSuffix(key, "_file"):
		into[key] = true
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	c, err := config.Load("fanfare.example.yaml", nil, nil)
	require.NoError(t, err)
	require.Equal(t, config.Default(), c, "what is not commented out are the defaults")

	text, err := os.ReadFile("fanfare.example.yaml")
	require.NoError(t, err)
	active := regexp.MustCompile(`(?m)^#(\S|  )`).ReplaceAllString(string(text), "$1")
	_, problems := load(t, active)
	require.Empty(t, problems)

	var shown any
	require.NoError(t, yaml.Unmarshal([]byte(active), &shown))
	listed, all := map[string]bool{}, map[string]bool{}
	keys(shown, "", listed)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(config.Schema(), &schema))
	schemaKeys(schema, "", all)
	delete(all, "guard.redirect")
	all["guard.redirect.sms"] = true
	for key := range all {
		require.True(t, listed[key], "the example lacks %s", key)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	var s map[string]any
	require.NoError(t, json.Unmarshal(config.Schema(), &s))
	require.Equal(t, "https://json-schema.org/draft/2020-12/schema", s["$schema"])
	root := s["properties"].(map[string]any)
	shards := root["store"].(map[string]any)["properties"].(map[string]any)["shards"]
	require.Equal(t, map[string]any{
		"type": "integer", "minimum": 0.0, "maximum": 256.0,
		"description": "number of shards of a new store; 0: by the number of cores",
	}, shards)
	account := root["accounts"].(map[string]any)["items"].(map[string]any)
	require.Equal(t, []any{"name"}, account["required"])
	require.Equal(t, false, account["additionalProperties"])
	smtp := account["properties"].(map[string]any)["smtp"].(map[string]any)["properties"].(map[string]any)
	require.InDelta(t, 587.0, smtp["port"].(map[string]any)["default"], 0)
	require.Contains(t, smtp, "password_file")
	require.NotContains(t, smtp, "host_file")
	every := map[string]bool{}
	schemaKeys(s, "", every)
	require.Greater(t, len(every), 70)
	require.NotContains(t, string(config.Schema()), `"description": ""`)
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
