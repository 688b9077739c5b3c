package proxy

import (
	"net"
	"sync"
	"syscall"

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

// drained reports whether the client has taken everything that was written: the
// kernel then has room for more.
func (c *countedConn) drained() bool {
	sys, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	left := -1
	err = raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err == nil {
			left = n
		}
	})
	return err == nil && left == 0
}

// left reports whether the client has ended its side, or is gone. Bytes of its that
// nobody has read do not hide that.
func (c *countedConn) left() bool {
	sys, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) {
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
	c.corked = corks.Get().(*[]byte)
}

// uncork writes what was held back.
func (c *countedConn) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.corked
	c.corked = nil
	_, err := c.raw.Write(*held)
	*held = (*held)[:0]
	corks.Put(held)
	return err
}

// Read reads what there is, or waits for something.
func (c *countedConn) Read(p []byte) (int, error) { return c.raw.Read(p) }

// Write writes, or holds back.
func (c *countedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.corked == nil {
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
