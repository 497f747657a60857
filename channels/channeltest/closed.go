package channeltest

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Closed returns a loopback address, host:port, that refuses connections. It is
// the near end of an open connection, bound before it was made: nobody listens
// there, and the system gives its port to nobody else, as it may the port of a
// listener that was closed, nor to other connections, as it may one it chose
// itself. After free, or at the test's end, one may listen there.
func Closed(t *testing.T) (address string, free func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}).Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	free = sync.OnceFunc(func() {
		_ = conn.(*net.TCPConn).SetLinger(0) // no TIME_WAIT holds the port
		_ = conn.Close()
		_ = l.Close()
	})
	t.Cleanup(free)
	return conn.LocalAddr().String(), free
}
