package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"topic":                    `did you mean "fanfare topics"?`,
		"topics lst":               `did you mean "fanfare topics list"?`,
		"qwertz":                   `see "fanfare --help"`,
		"completion tcsh":          `no command "tcsh"`,
		"topics show":              "usage: fanfare topics show TOPIC",
		"topics show a b":          "accepts 1 arg(s), received 2",
		"topics delete ":           "an argument is empty",
		"topics list --limit -1":   "--limit must not be negative",
		"topics list --output xml": "must be text or json",
		"topics list x":            "usage: fanfare topics list",
		"topics create a --tag x":  "--tag must be NAME=VALUE",
		"subscriptions create alerts +15005550101":                 "PROTOCOL:ENDPOINT",
		"subscriptions create alerts sms:":                         "PROTOCOL:ENDPOINT",
		"subscriptions import alerts /nowhere/x":                   "no such file",
		"queues create a --dead-letter b":                          "max-receives",
		"queues send a":                                            `required flag(s) "body" not set`,
		"accounts pause twilio":                                    "PROVIDER/NAME",
		"publish --message x":                                      "topic to",
		"publish --topic a":                                        "message template",
		"publish --topic a --to b --message x":                     "topic to",
		"publish --to sms --message x":                             "PROTOCOL:ENDPOINT",
		"publish --topic a --message x --attribute b":              "--attribute must be NAME=VALUE",
		"publish --topic a --message x --send-at now":              "--send-at",
		"publish --topic a --message x --expires-in -5m":           "--expires-in must not be negative",
		"publish --topic a --template x --template-data [1]":       "--template-data must be a JSON object",
		"publish --topic a --message x --expires-in 5m --wait=who": "--wait",
		"dlq redrive --protocol sms":                               `required flag(s) "kind" not set`,
		"dlq redrive --protocol sms --kind x --rate fast":          "--rate",
		"backup":                      "usage: fanfare backup DEST",
		"backup d --data a --admin b": "admin data",
		"backup d --admin here":       "must be a URL",
		"restore":                     "name the backup",
		"restore b":                   "--data",
		"restore b --release":         "takes no backup",
		"restore b --data d --admin http://127.0.0.1:1": "--admin goes with --release only",
		"serve here":       "unknown command",
		"version --output": "flag needs an argument",
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := command(t, strings.Split(line, " ")...)
			require.Equal(t, exitUsage, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, says)
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := command(t)
	require.Zero(t, code)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "fanfare demo")
	code, stdout, _ = command(t, "queues")
	require.Zero(t, code)
	require.Contains(t, stdout, "receive")
	root := rootCommand()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		require.Contains(t, cmd.Example, "  "+cmd.CommandPath(), "an example of it")
		require.NotEmpty(t, cmd.Short, cmd.CommandPath())
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	for _, sub := range root.Commands() {
		walk(sub)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, stdout, _ := command(t, "completion", shell)
		require.Zero(t, code)
		require.Contains(t, stdout, "fanfare", shell)
	}
	for line, want := range map[string]string{
		"top":                   "topics",
		"queues ":               "receive",
		"publish --lane ":       "critical",
		"topics list --output ": "json",
	} {
		_, stdout, _ := command(t, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		require.Contains(t, stdout, want, line)
	}
}

func TestChecksAsJSON(t *testing.T) {
	t.Parallel()
	var found struct {
		OK       bool
		Problems []struct {
			Source, Key, Text string
			Line              int
		}
		Unused []string
	}
	file := filepath.Join(t.TempDir(), "fanfare.yaml")
	require.NoError(t, os.WriteFile(file, []byte("store:\n  shards: 1000\n"), 0o600))
	code, stdout, stderr := command(t, "config", "check", "--config", file, "--output", "json")
	require.Equal(t, exitProblems, code)
	require.Contains(t, stderr, "problems: 1")
	require.NoError(t, json.Unmarshal([]byte(stdout), &found))
	require.False(t, found.OK)
	require.Len(t, found.Problems, 1)
	require.Equal(t, "store.shards", found.Problems[0].Key)
	require.Equal(t, file, found.Problems[0].Source)
	require.Equal(t, 2, found.Problems[0].Line)

	code, stdout, _ = command(t, "config", "check", "--output", "json")
	require.Zero(t, code)
	require.NoError(t, json.Unmarshal([]byte(stdout), &found))
	require.True(t, found.OK)
	require.Empty(t, found.Problems)

	code, stdout, _ = command(t, "version", "--output", "json")
	require.Zero(t, code)
	require.Contains(t, stdout, `"version":"dev"`)
}
