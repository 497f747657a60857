package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
)

// files are the contents of a folder's files by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = string(text)
	}
	return out
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), nil)
	g.do("topics", "create", "alerts")
	g.do("queues", "create", "work")
	g.do("subscriptions", "create", "alerts", "sqs:work")
	g.do("subscriptions", "create", "alerts", "sms:+15005550101")
	g.do("accounts", "pause", "twilio/sandbox")
	id := g.docs("publish", "--topic", "alerts", "--message", "x")[0]["id"].(string)

	place := t.TempDir()
	saved := filepath.Join(place, "saved")
	code, stdout, stderr := command(t, "backup", saved, "--admin", g.AdminURL())
	require.Zero(t, code, stderr)
	require.Regexp(t, `^backed up to `+saved+`: [0-9.]+ MB in \d+`, stdout)
	before := files(t, saved)
	code, _, stderr = command(t, "backup", saved, "--admin", g.AdminURL())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "exists; name one that does not exist")
	code, _, stderr = command(t, "backup", filepath.Join(place, "none", "saved"), "--admin", g.AdminURL())
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no such file or directory")
	g.do("accounts", "resume", "twilio/sandbox")
	g.await(sandbox.ProviderTwilio, "+15005550101")
	g.stop()

	data := filepath.Join(t.TempDir(), "new", "data")
	code, stdout, stderr = command(t, "restore", saved, "--data", data)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "start held")
	require.Contains(t, stdout, "fanfare serve --data "+data)
	require.Equal(t, before, files(t, saved), "the backup stays as it is")
	for name := range before {
		was, err := os.Stat(filepath.Join(saved, name))
		require.NoError(t, err)
		if now, err := os.Stat(filepath.Join(data, name)); err == nil {
			require.False(t, os.SameFile(was, now), "%s is shared", name)
		}
	}

	g = serving(t, data, nil)
	g.do("accounts", "resume", "twilio/sandbox") // its pause was in the backup
	require.Len(t, g.docs("topics", "list"), 1)
	require.Eventually(t, func() bool {
		ledger := g.docs("publishes", "show", id)[0]["ledger"].(map[string]any)
		return ledger["held"] == 1.0 && ledger["delivered"] == 1.0
	}, 10*time.Second, 20*time.Millisecond, "people's deliveries wait, machines' do not")
	require.Empty(t, g.sb.Inbox(sandbox.ProviderTwilio, ""))
	code, stdout, stderr = command(t, "restore", "--release", "--admin", g.AdminURL())
	require.Zero(t, code, stderr)
	require.Equal(t, "released\t1\n", stdout)
	g.await(sandbox.ProviderTwilio, "+15005550101")
	code, stdout, _ = command(t, "restore", "--release", "--admin", g.AdminURL(), "--output", "json")
	require.Zero(t, code)
	require.JSONEq(t, `{"released": 0}`, stdout)
}

func TestBackupOfAStoppedGateway(t *testing.T) {
	t.Parallel()
	data, place := t.TempDir(), t.TempDir()
	saved := filepath.Join(place, "saved")
	g := serving(t, data, func(c *config.Config) { c.AdminListen = freeAddress(t) })
	g.do("topics", "create", "alerts")
	require.NoError(t, os.MkdirAll(filepath.Join(data, "sandbox"), 0o700))
	fails := func(says string, args ...string) {
		t.Helper()
		code, stdout, stderr := command(t, args...)
		require.Equal(t, exitFailed, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, says)
	}
	fails("store is in use by another process", "backup", saved, "--data", data)
	require.Empty(t, files(t, place), "nothing half-written")
	g.stop()
	fails("nothing listens at "+g.AdminURL(), "backup", saved, "--admin", g.AdminURL())
	fails("nothing listens at "+g.AdminURL(), "restore", "--release", "--admin", g.AdminURL())
	fails("there is no store in "+place, "backup", saved, "--data", place)
	require.Empty(t, files(t, place), "none is made")
	fails("there is no store in", "backup", saved, "--data", filepath.Join(place, "none"))

	code, stdout, stderr := command(t, "backup", saved, "--data", data, "--output", "json")
	require.Zero(t, code, stderr)
	var made struct {
		Dir   string
		Bytes int
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &made))
	require.Equal(t, saved, made.Dir)
	sum := 0
	for name, text := range files(t, saved) {
		require.NotEqual(t, "sandbox", name)
		sum += len(text)
	}
	require.Equal(t, sum, made.Bytes)

	restored := t.TempDir()
	fails("there is no store in "+restored, "restore", restored, "--data", filepath.Join(place, "x"))
	fails("must be empty or missing", "restore", saved, "--data", place)
	code, stdout, stderr = command(t, "restore", saved, "--data", restored, "--output", "json")
	require.Zero(t, code, stderr)
	require.JSONEq(t, `"`+restored+`"`, string(field(t, stdout, "dir")))
	serving(t, restored, nil).do("topics", "show", "alerts")

	manifests, err := filepath.Glob(filepath.Join(saved, "MANIFEST-*"))
	require.NoError(t, err)
	require.Len(t, manifests, 1)
	require.NoError(t, os.Truncate(manifests[0], 10))
	broken := t.TempDir()
	fails("restore to "+broken, "restore", saved, "--data", broken)
	require.Empty(t, files(t, broken), "nothing half-written")
}

func field(t *testing.T, document, name string) json.RawMessage {
	t.Helper()
	var fields map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(document), &fields))
	return fields[name]
}
