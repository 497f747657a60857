package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
)

func TestBackupIsForThisMachine(t *testing.T) {
	t.Parallel()
	g, _ := serve(t, t.TempDir(), nil)
	dir := filepath.Join(t.TempDir(), "saved")
	send := func(path, body string, change func(*http.Request)) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.AdminURL()+path, strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		if change != nil {
			change(r)
		}
		res, text := wiretest.Send(t, r)
		return res.StatusCode, text
	}
	good := `{"dir": "` + dir + `"}`
	for _, path := range []string{"/backup", "/release"} {
		for says, change := range map[string]func(*http.Request){
			"Host header":      func(r *http.Request) { r.Host = "rebound.example:9090" },
			"Origin header":    func(r *http.Request) { r.Header.Set("Origin", "https://page.example") },
			"X-Forwarded-For":  func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") },
			"application/json": func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		} {
			status, text := send(path, good, change)
			require.Contains(t, []int{http.StatusForbidden, http.StatusUnsupportedMediaType}, status)
			require.Contains(t, text, says)
		}
	}
	for _, body := range []string{``, `{}`, `{"dir": "here"}`, `{"dir": "` + dir + `", "force": true}`, `[]`} {
		status, _ := send("/backup", body, nil)
		require.Equal(t, http.StatusUnprocessableEntity, status, body)
	}
	require.NoDirExists(t, dir)
	status, text := send("/backup", good, func(r *http.Request) { r.Host = "localhost:9090" })
	require.Equal(t, http.StatusOK, status, text)
	st, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), st.Mode().Perm(), "it holds messages and keys")
	status, _ = send("/backup", good, nil)
	require.Equal(t, http.StatusConflict, status)
}
