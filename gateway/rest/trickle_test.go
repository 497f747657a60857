package rest_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/rest"
)

func TestABodyThatTrickles(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) { o.BodyTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	_, err = io.WriteString(conn, "POST /v1/topics HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	var p rest.Problem
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
	require.Equal(t, "timeout", p.Code)
	require.Equal(t, "The body must be sent within 50ms.", p.Detail)
	_, err = io.Copy(io.Discard, in)
	require.NoError(t, err, "the connection is closed")
}

// TestWaitingOutlastsTheTimeForABody: who waits for a message has sent its own
// request long ago.
func TestWaitingOutlastsTheTimeForABody(t *testing.T) {
	t.Parallel()
	b := open(t, func(o *rest.Options) { o.BodyTimeout = time.Second })
	b.do(200, "POST /v1/queues", `{"name":"work"}`)
	require.Empty(t, list(b.do(200, "POST /v1/queues/work/receive", `{"wait":"1500ms"}`), "messages"))
}
