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

// Client is what the AWS SDK sends requests with. The SDK closes a request's body
// when the answer begins, and what it closed then fails a copy by WriteTo. Here an
// answer may begin before net/http has seen the body's end, and net/http would
// close the connection in the middle of the answer: so it sees a plain reader.
var Client = &http.Client{Transport: plainBodies{http.DefaultTransport.(*http.Transport).Clone()}}

type plainBodies struct{ http.RoundTripper }

func (p plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		plain := *r
		plain.Body = struct{ io.ReadCloser }{r.Body}
		r = &plain
	}
	return p.RoundTripper.RoundTrip(r)
}
