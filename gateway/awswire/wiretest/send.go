package wiretest

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// Send sends a request and gives its answer, with the body read to its end.
func Send(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(text)
}
