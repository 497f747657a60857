package awswire_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestABodyThatTrickles is answered in the protocol's shape, and its connection
// closed.
func TestABodyThatTrickles(t *testing.T) {
	t.Parallel()
	h := open()
	h.BodyTimeout = 50 * time.Millisecond
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	for kind, c := range map[string]struct{ head, answer string }{
		"JSON": {
			"X-Amz-Target: AmazonSQS.SendMessage\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 100\r\n\r\n{",
			`{"__type":"com.amazon.coral.service#RequestTimeoutException","message":"The request body must be sent within 50ms."}`,
		},
		"form":   {"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nA", "<Code>RequestTimeout</Code>"},
		"chunks": {"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nA", "<Code>RequestTimeout</Code>"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, conn.Close()) })
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\n"+c.head)
			require.NoError(t, err)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			require.Contains(t, string(text), c.answer)
			_, err = in.ReadByte()
			require.ErrorIs(t, err, io.EOF, "the connection is closed")
		})
	}
}
