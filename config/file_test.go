package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
)

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
