package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// running is a gateway in this process, with every provider simulated.
type running struct {
	*gateway.Gateway
	t    *testing.T
	sb   *sandbox.Server
	stop func()
}

// serving runs a gateway on a folder until the test or stop ends it.
func serving(t *testing.T, dir string, change func(*config.Config)) *running {
	t.Helper()
	sb, err := sandbox.Start(sandbox.Options{CallbackDelay: time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sb.Close()) })
	cfg := config.Default()
	cfg.Listen, cfg.AdminListen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	cfg.Store.MinFree, cfg.Store.MaxUsed = 0, 1
	if change != nil {
		change(&cfg)
	}
	g, err := gateway.New(t.Context(), gateway.Options{Config: cfg, Version: "test", Sandbox: sb})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx, context.Background()) }()
	r := &running{Gateway: g, t: t, sb: sb}
	r.stop = func() {
		if ctx.Err() == nil {
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// ask runs a command against the gateway.
func (r *running) ask(args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	return command(r.t, append(args, "--server", r.URL())...)
}

// do is ask for a command that must succeed.
func (r *running) do(args ...string) string {
	r.t.Helper()
	code, stdout, stderr := r.ask(args...)
	require.Zero(r.t, code, "%q: %s%s", args, stdout, stderr)
	return stdout
}

// docs is do as JSON, one document a line.
func (r *running) docs(args ...string) []map[string]any {
	r.t.Helper()
	var out []map[string]any
	for line := range strings.Lines(r.do(append(args, "--output", "json")...)) {
		var doc map[string]any
		require.NoError(r.t, json.Unmarshal([]byte(line), &doc), line)
		out = append(out, doc)
	}
	return out
}

// fails is ask for a command that must fail and say so.
func (r *running) fails(code int, says string, args ...string) {
	r.t.Helper()
	got, stdout, stderr := r.ask(args...)
	require.Equal(r.t, code, got, "%q: %s%s", args, stdout, stderr)
	require.Contains(r.t, stderr, says)
}

// withInput runs a command with a standard input.
func (r *running) withInput(input string, args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	var out, errs bytes.Buffer
	code = execute(r.t.Context(), append(args, "--server", r.URL()), strings.NewReader(input), &out, &errs)
	return code, out.String(), errs.String()
}

// await waits for what a provider accepts for a recipient.
func (r *running) await(provider, recipient string) sandbox.Item {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 10*time.Second)
	defer cancel()
	items, err := r.sb.Await(ctx, provider, recipient, 1)
	require.NoError(r.t, err)
	return items[0]
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestKeyOfTheClient(t *testing.T) {
	sum := sha256.Sum256([]byte("secret-key"))
	g := serving(t, t.TempDir(), func(c *config.Config) {
		c.Keys = []config.Key{{Name: "ops", Hash: "sha256:" + hex.EncodeToString(sum[:]), Scopes: []string{"admin"}, Account: "000000000000"}}
	})
	g.fails(exitFailed, "--key-file", "topics", "list")
	file := writeFile(t, "key", "secret-key\n")
	require.Contains(t, g.do("topics", "create", "alerts", "--key-file", file), "alerts")
	g.fails(exitUsage, "no such file", "topics", "list", "--key-file", file+"x")

	t.Setenv("FANFARE_SERVER", g.URL())
	t.Setenv("FANFARE_API_KEY", "secret-key")
	code, stdout, stderr := command(t, "topics", "list")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "alerts\t")
	code, stdout, stderr = command(t, "config", "check")
	require.Zero(t, code)
	require.Equal(t, "ok\n", stdout)
	require.Empty(t, stderr, "these two are no misspelt keys of the configuration")
	t.Setenv("FANFARE_API_KEYS", "x")
	_, _, stderr = command(t, "config", "check")
	require.Contains(t, stderr, "FANFARE_API_KEYS")
}

func TestNoGateway(t *testing.T) {
	t.Parallel()
	g := serving(t, t.TempDir(), func(c *config.Config) { c.Listen = freeAddress(t) })
	g.stop()
	g.fails(exitFailed, "nothing listens at "+g.URL()+": start a gateway there with \"fanfare serve\"", "topics", "list")
	for _, address := range []string{"127.0.0.1:8080", "ftp://127.0.0.1", "http://", "::"} {
		code, _, stderr := command(t, "topics", "list", "--server", address)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "must be a URL such as http://127.0.0.1:8080")
	}
	code, _, stderr := command(t, "topics", "list", "--server", g.sb.URL)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no answer of a gateway")
}
