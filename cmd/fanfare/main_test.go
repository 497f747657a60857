package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(append([]string{}, args...), &out, &errs) // of nil cobra makes this process's arguments
	return code, out.String(), errs.String()
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "fanfare.yaml")
	require.NoError(t, os.WriteFile(file, []byte("listen: 127.0.0.1:1\nstore:\n  shards: 1000\n"), 0o600))
	code, _, stderr := command(t, "config", "check", "--config", file)
	require.Equal(t, exitProblems, code)
	require.Contains(t, stderr, "store.shards")
	code, stdout, _ := command(t, "config", "print", "--output", "json")
	require.Zero(t, code)
	require.Contains(t, stdout, `"admin_listen": "127.0.0.1:9090"`)
	require.True(t, json.Valid([]byte(stdout)), stdout)
	code, stdout, _ = command(t, "config", "schema")
	require.Zero(t, code)
	require.Contains(t, stdout, "admin_listen")
	code, _, _ = command(t, "serve", "--nonsense")
	require.Equal(t, exitUsage, code)
	code, _, stderr = command(t, "serve", "--listen", "0.0.0.0:8080")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "must be a loopback address as long as there is no key")
	code, stdout, _ = command(t, "version")
	require.Zero(t, code)
	require.Equal(t, "dev\n", stdout)
}
