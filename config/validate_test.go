package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

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
