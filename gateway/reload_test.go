package gateway_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/gateway"
)

// text is a log that may be read while it is written.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestReloadNamesWhatNeedsARestart: what looks taken is.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	cfg := configOf(t.TempDir())
	var log text
	g, _ := serveOptions(t, gateway.Options{Config: cfg, Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	cfg.Listen, cfg.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store.MinFree, cfg.Store.MaxUsed = 0, 1
	cfg.Limits.Request = 2 << 10
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	require.NotContains(t, log.String(), "restart")
	status, _ := call(t, http.MethodPost, g.URL()+"/v1/topics", `{"name": "`+string(make([]byte, 3<<10))+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)

	cfg.Limits.Message, cfg.Guard = 2<<10, config.Guard{Only: []string{"*@example.com"}}
	require.NoError(t, g.Reload(t.Context(), loading(cfg)))
	require.Contains(t, log.String(), `"parts":["limits","guard"]`)
}
