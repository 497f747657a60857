package sandbox

import (
	"net"
	"sync"
)

// trackedListener knows the connections it accepted, so that they can be
// closed at once.
type trackedListener struct {
	net.Listener
	// greet may refuse a connection: it then wrote its reply, and the
	// connection is closed. nil refuses none.
	greet func(net.Conn) bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Accept waits for the next connection that is not refused.
func (l *trackedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.greet != nil && l.greet(conn) {
			_ = conn.Close()
			continue
		}
		l.mu.Lock()
		if l.conns == nil {
			l.conns = map[net.Conn]struct{}{}
		}
		l.conns[conn] = struct{}{}
		l.mu.Unlock()
		return &trackedConn{Conn: conn, list: l}, nil
	}
}

func (l *trackedListener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *trackedListener) closeConns() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close() // closed twice is fine
	}
	clear(l.conns)
}

// trackedConn leaves its listener's list when it is closed.
type trackedConn struct {
	net.Conn
	list *trackedListener
}

// Close closes the connection.
func (c *trackedConn) Close() error {
	c.list.mu.Lock()
	delete(c.list.conns, c.Conn)
	c.list.mu.Unlock()
	return c.Conn.Close()
}
