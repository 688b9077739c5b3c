package proxy

import (
	"bytes"
	"net"
	"sync"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/rawio"
)

// countedConn tells once that it was closed.
type countedConn struct {
	net.Conn
	raw    *rawio.Conn // the same
	once   sync.Once
	closed func()

	mu     sync.Mutex // a connection that is cut says goodbye at any time
	corked *[]byte    // what is written while the connection is corked; nil if it is not
	trying bool       // what is not written at once is corked
}

func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.closed)
	return err
}

// CloseWrite lets TLS and lingering closes end one direction.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// left reports whether the client has ended its side, or is gone. Bytes of its that
// nobody has read do not hide that.
func (c *countedConn) left() bool {
	access := c.raw.Access()
	if access == nil {
		return false
	}
	n := 0
	err := access.Control(func(fd uintptr) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}, 0)
	})
	return err != nil || n > 0 // an error means that it is closed here
}

// mostCorked is what a corked connection holds back, in bytes.
const mostCorked = 128 << 10

var corks = sync.Pool{New: func() any {
	b := make([]byte, 0, mostCorked+fullRecord+256) // and the record that exceeds it
	return &b
}}

// cork holds written bytes back until uncork: crypto/tls writes each record on its
// own, and a large answer has many.
func (c *countedConn) cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked != nil {
		panic("BUG: what was held back is forgotten")
	}
	c.corked = corks.Get().(*[]byte)
}

// uncork writes what was held back.
func (c *countedConn) uncork() error {
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
func (c *countedConn) attempt(write func() error) (begun, all bool, err error) {
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
func (c *countedConn) stuck() bool {
	if !c.mu.TryLock() {
		return true
	}
	defer c.mu.Unlock()
	return c.corked != nil
}

// release gives back the memory of what was written; c.mu is held.
func (c *countedConn) release() {
	held := c.corked
	c.corked = nil
	if cap(*held) >= mostCorked {
		*held = (*held)[:0]
		corks.Put(held)
	}
}

// Read reads what there is, or waits for something.
func (c *countedConn) Read(p []byte) (int, error) { return c.raw.Read(p) }

// Write writes, or holds back.
func (c *countedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked == nil {
		if c.trying {
			return c.writeSome(p)
		}
		return c.raw.Write(p)
	}
	*c.corked = append(*c.corked, p...)
	if len(*c.corked) > mostCorked {
		_, err := c.raw.Write(*c.corked)
		*c.corked = (*c.corked)[:0]
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// writeSome writes what the client takes at once and holds back the rest; c.mu is held.
func (c *countedConn) writeSome(p []byte) (int, error) {
	n, err := c.raw.Try(p)
	if err != nil {
		return n, err
	}
	if n < len(p) {
		rest := bytes.Clone(p[n:])
		c.corked = &rest
	}
	return len(p), nil
}
