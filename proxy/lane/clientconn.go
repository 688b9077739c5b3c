package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/rawio"
)

// ClientConn is an accepted connection of a client, below TLS. Its writes can be corked.
type ClientConn struct {
	*rawio.Corked
	once   sync.Once
	closed func()
	turns  Turns
	client *net.TCPAddr // as a load balancer names it; nil without one
}

// Turns lets a client's handshake compute only when it is its turn. Waiting for the client is
// not computing.
type Turns interface {
	// Acquire waits for a turn.
	Acquire() error
	// Release ends a turn.
	Release()
}

// TakeTurns makes the connection release its turn during each read, and acquire one for what was
// read; nil ends that. It must not be called concurrently with a read.
func (c *ClientConn) TakeTurns(t Turns) { c.turns = t }

// Read reads what has arrived.
func (c *ClientConn) Read(p []byte) (int, error) {
	if c.turns == nil {
		return c.Corked.Read(p)
	}
	c.turns.Release()
	n, err := c.Corked.Read(p)
	if err == nil {
		err = c.turns.Acquire()
	}
	return n, err
}

// NewClientConn wraps an accepted connection. raw selects the system calls of package
// rawio. closed is called once, when the connection is closed.
func NewClientConn(c net.Conn, raw bool, closed func()) *ClientConn {
	return &ClientConn{Corked: rawio.NewCorked(rawio.New(c, raw)), closed: closed}
}

// SetClient replaces the address of the peer, a load balancer, by that of the client. It must be
// called before the connection is handed to others.
func (c *ClientConn) SetClient(addr netip.AddrPort) { c.client = net.TCPAddrFromAddrPort(addr) }

// RemoteAddr returns the address of the client.
func (c *ClientConn) RemoteAddr() net.Addr {
	if c.client != nil {
		return c.client
	}
	return c.Corked.RemoteAddr()
}

// maxControl is the largest TLS record, in bytes, that is taken for one that crypto/tls
// sends on its own: an alert or the answer to a KeyUpdate. Records of answers are larger,
// except for ends of streamed ones.
const maxControl = 64

// Write writes p. crypto/tls answers a KeyUpdate while a lane waits for the next request.
// The deadline in force is then that of the last answer, and may have passed. Removing it
// after each answer would cost as much as a part of the answer, so it is renewed here.
func (c *ClientConn) Write(p []byte) (int, error) {
	n, err := c.Corked.Write(p)
	if n > 0 || len(p) > maxControl || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := c.SetWriteDeadline(time.Now().Add(LingerTimeout)); err != nil {
		return 0, err
	}
	return c.Corked.Write(p)
}

// Close closes the connection.
func (c *ClientConn) Close() error {
	err := c.Corked.Close()
	c.once.Do(c.closed)
	return err
}

// WatchPeer calls gone with [ErrGone] when the client has closed the connection, unless ctx
// ends before. It notices that at the next of its intervals.
func (c *ClientConn) WatchPeer(ctx context.Context, every time.Duration, gone context.CancelCauseFunc) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.PeerClosed() {
				gone(ErrGone)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// Wire returns the client's connection below TLS.
func Wire(t *tls.Conn) *ClientConn { return t.NetConn().(*ClientConn) }

// Cut closes a TLS connection above a ClientConn, whatever it is doing.
func Cut(t *tls.Conn) {
	wire := Wire(t)
	if wire.Blocked() {
		_ = wire.Close() // close_notify would wait behind the blocked bytes
		return
	}
	_ = t.Close()
}

// FullRecord is the largest amount of data in one TLS record.
const FullRecord = 16 << 10
