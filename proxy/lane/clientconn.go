package lane

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/rawio"
)

// NewClientConn wraps an accepted connection. closed is called once, when it is closed.
func NewClientConn(c net.Conn, closed func()) *ClientConn {
	return &ClientConn{Conn: c, raw: rawio.New(c), closed: closed}
}

// FullRecord is the largest amount of data in one TLS record.
const FullRecord = 16 << 10

// countedConn tells once that it was closed.
type ClientConn struct {
	net.Conn
	raw    *rawio.Conn // the same
	once   sync.Once
	closed func()

	mu     sync.Mutex // a connection that is cut says goodbye at any time
	corked *[]byte    // what is written while the connection is corked; nil if it is not
	trying bool       // what is not written at once is corked
}

func (c *ClientConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.closed)
	return err
}

// CloseWrite lets TLS and lingering closes end one direction.
func (c *ClientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// left reports whether the client has ended its side, or is gone. Bytes of its that
// nobody has read do not hide that.
func (c *ClientConn) PeerClosed() bool {
	access := c.raw.RawConn()
	if access == nil {
		return false
	}
	n := 0
	err := access.Control(func(fd uintptr) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 0)
	})
	return err != nil || n > 0 // an error means that it is closed here
}

// MaxCorked is what a corked connection holds back, in bytes.
const MaxCorked = 128 << 10

var corks = sync.Pool{New: func() any {
	b := make([]byte, 0, MaxCorked+FullRecord+256) // and the record that exceeds it
	return &b
}}

// cork holds written bytes back until uncork: crypto/tls writes each record on its
// own, and a large answer has many.
func (c *ClientConn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked != nil {
		panic("BUG: what was held back is forgotten")
	}
	c.corked = corks.Get().(*[]byte)
}

// uncork writes what was held back.
func (c *ClientConn) Uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.raw.Write(*c.corked)
	c.release()
	return err
}

// attempt lets a small write go as far as the client takes it at once. If that is not
// all, the rest is held back and uncork has to follow, which may wait. Where somebody
// writes, and may wait for the client, it is not begun: TLS answers some of what a client
// sends by itself.
func (c *ClientConn) TryWrite(write func() error) (begun, all bool, err error) {
	if !c.mu.TryLock() {
		return false, false, nil
	}
	c.trying = true
	c.mu.Unlock()
	err = write()
	c.mu.Lock() // nobody waits who writes meanwhile
	defer c.mu.Unlock()
	c.trying = false
	return true, c.corked == nil, err
}

// stuck reports whether something that was written waits for the client.
func (c *ClientConn) Blocked() bool {
	if !c.mu.TryLock() {
		return true
	}
	defer c.mu.Unlock()
	return c.corked != nil
}

// release gives back the memory of what was written; c.mu is held.
func (c *ClientConn) release() {
	held := c.corked
	c.corked = nil
	if cap(*held) >= MaxCorked {
		*held = (*held)[:0]
		corks.Put(held)
	}
}

// Read reads what there is, or waits for something.
func (c *ClientConn) Read(p []byte) (int, error) { return c.raw.Read(p) }

// Write writes, or holds back.
func (c *ClientConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked == nil {
		if c.trying {
			return c.writeSome(p)
		}
		return c.raw.Write(p)
	}
	*c.corked = append(*c.corked, p...)
	if len(*c.corked) > MaxCorked {
		_, err := c.raw.Write(*c.corked)
		*c.corked = (*c.corked)[:0]
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// writeSome writes what the client takes at once and holds back the rest; c.mu is held.
func (c *ClientConn) writeSome(p []byte) (int, error) {
	n, err := c.raw.WriteSome(p)
	if err != nil {
		return n, err
	}
	if n < len(p) {
		rest := bytes.Clone(p[n:])
		c.corked = &rest
	}
	return len(p), nil
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

// LingerTimeout is how long a client whose request was malformed may still send. Unread
// bytes would cause a reset, which could destroy the answer on its way.
const LingerTimeout = 500 * time.Millisecond

// Linger ends the sending side of a connection and drops what the client still sends.
func Linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(LingerTimeout))
	_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
}
