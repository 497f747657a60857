package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHangupTakesAGoodFileAndKeepsTheOldOneInsteadOfABad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "fanfare.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	hook := "accounts:\n  - name: main\n    provider: webhook\n"
	write(hook)
	c := startChild(t, filepath.Join(dir, "data"), freeAddress(t), "--config", file)
	line, _ := c.await(t, "serving", "")
	admin, _ := line["admin"].(string)

	write(hook + "nonsense: 1\n")
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGHUP))
	line, _ = c.await(t, "configuration not taken, the old one holds", "")
	require.Contains(t, line["error"], "nonsense")
	require.Equal(t, "0", metric(t, admin, "fanfare_config_last_reload_successful"))
	require.Contains(t, get(t, c.api+"/v1/accounts"), "webhook/main")

	write(strings.Replace(hook, "main", "other", 1))
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGHUP))
	c.await(t, "configuration taken", "")
	require.Equal(t, "1", metric(t, admin, "fanfare_config_last_reload_successful"))
	require.Contains(t, get(t, c.api+"/v1/accounts"), "webhook/other")
	require.NotContains(t, get(t, c.api+"/v1/accounts"), "webhook/main")
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.cmd.Wait())
}

func TestASecondSignalEndsTheDrain(t *testing.T) {
	t.Parallel()
	c := startChild(t, t.TempDir(), freeAddress(t), "--sandbox")
	c.serving(t)
	c.script(t, `{"provider": "twilio", "recipient": "*", "answers": [{"hang": true}]}`)
	s := &send{key: "hang", body: message(0, c.webhook)}
	require.NoError(t, s.post(c.api))
	for { // until the attempt is under way
		if found, _ := settled(t, c, []*send{s}); found[0].State == "sending" {
			break
		}
	}
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	c.await(t, "draining", "")
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.cmd.Wait(), "it ends now, in order: the attempt is given up")
}

// TestAStartThatFailsLeavesNothing: the port is another program's.
func TestAStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, busy.Close()) })
	dir := t.TempDir()
	start := func(data string) {
		t.Helper()
		code, _, stderr := command(t, "serve", "--sandbox", "--data", data, "--listen", busy.Addr().String(), "--admin-listen", "127.0.0.1:0")
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "address already in use")
	}
	start(filepath.Join(dir, "a", "b"))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data", "sandbox"), 0o700))
	start(filepath.Join(dir, "data"))
	require.DirExists(t, filepath.Join(dir, "data", "sandbox"), "it was there before")
}

// metric is the value of a metric without labels.
func metric(t *testing.T, admin, name string) string {
	t.Helper()
	_, after, ok := strings.Cut(get(t, admin+"/metrics"), "\n"+name+" ")
	require.True(t, ok, name)
	value, _, _ := strings.Cut(after, "\n")
	return value
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url) //nolint:gosec // the test's own server
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s", body)
	return string(body)
}
