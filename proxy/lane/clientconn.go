package lane

import (
	"crypto/tls"
	"net"
	"sync"

	"etcd-tlsproxy/proxy/rawio"
)

// ClientConn is an accepted connection of a client, below TLS. Its writes can be corked.
type ClientConn struct {
	*rawio.Corked
	once   sync.Once
	closed func()
}

// NewClientConn wraps an accepted connection. raw selects the system calls of package
// rawio. closed is called once, when the connection is closed.
func NewClientConn(c net.Conn, raw bool, closed func()) *ClientConn {
	return &ClientConn{Corked: rawio.NewCorked(rawio.New(c, raw)), closed: closed}
}

// Close closes the connection.
func (c *ClientConn) Close() error {
	err := c.Corked.Close()
	c.once.Do(c.closed)
	return err
}

// Cut closes a TLS connection above a ClientConn, whatever it is doing.
func Cut(t *tls.Conn) {
	wire := t.NetConn().(*ClientConn)
	if wire.Blocked() {
		_ = wire.Close() // close_notify would wait behind the blocked bytes
		return
	}
	_ = t.Close()
}

// FullRecord is the largest amount of data in one TLS record.
const FullRecord = 16 << 10
