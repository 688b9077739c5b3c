// Package rawio reads and writes sockets in system calls that Go's scheduler does not
// hear of.
//
// Before a system call that may wait, the runtime makes ready to give the processor to
// other goroutines, and its monitor does so if the call takes more than 20 microseconds.
// The kernel never waits for a socket that is not ready, it answers that it is not; but
// over loopback a write carries its packet all the way to the receiver, and often takes
// that long. The processor then changes hands in vain, which takes another thread to be
// woken, and keeps the monitor looking fifty thousand times a second: together an eighth
// of a proxy's time.
package rawio

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn is a connection that is read and written so.
type Conn struct {
	net.Conn
	access  syscall.RawConn
	in, out transfer
}

// mostAtOnce is how much a system call may carry: while it does, nothing can stop it.
const maxPerCall = 64 << 10

// transfer is one read or write under way. What the poller calls is made once.
type transfer struct {
	mu   sync.Mutex // others wait for their turn
	data []byte
	n    int
	err  error
	step func(fd uintptr) (done bool)
}

// New makes one of a connection. One that is no socket is read and written as before.
func New(c net.Conn) *Conn {
	r := &Conn{Conn: c}
	sys, ok := c.(syscall.Conn)
	if !ok {
		return r
	}
	access, err := sys.SyscallConn()
	if err != nil {
		return r
	}
	r.access = access
	r.in.step, r.out.step = r.readSome, r.writeAll
	return r
}

// Access is the socket; nil if there is none.
func (c *Conn) RawConn() syscall.RawConn { return c.access }

// Read reads what there is, or waits for something.
func (c *Conn) Read(p []byte) (int, error) {
	if c.access == nil || len(p) == 0 {
		return c.Conn.Read(p)
	}
	t := &c.in
	t.mu.Lock()
	t.data, t.n, t.err = p, 0, nil
	err := c.access.Read(t.step)
	n, callErr := t.n, t.err
	t.data = nil
	t.mu.Unlock()
	switch {
	case err != nil:
		return 0, err
	case callErr != nil:
		return 0, c.opError("read", callErr)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func (c *Conn) readSome(fd uintptr) (done bool) {
	t := &c.in
	t.n, t.err = Read(fd, t.data[:min(maxPerCall, len(t.data))])
	return t.err != syscall.EAGAIN
}

// Write writes all of p, and waits where the peer is slow.
func (c *Conn) Write(p []byte) (int, error) {
	if c.access == nil {
		return c.Conn.Write(p)
	}
	t := &c.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data, t.n, t.err = p, 0, nil
	err := c.access.Write(t.step)
	t.data = nil
	if err == nil && t.err != nil {
		err = c.opError("write", t.err)
	}
	return t.n, err
}

func (c *Conn) writeAll(fd uintptr) (done bool) {
	t := &c.out
	for t.n < len(t.data) {
		n, err := Write(fd, t.data[t.n:min(t.n+maxPerCall, len(t.data))])
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			t.err = err
			if err == syscall.EAGAIN {
				t.err = nil
				return false
			}
			return true
		}
		t.n += n
	}
	return true
}

// Try writes what the socket takes at once, which may be nothing. No deadline matters.
func (c *Conn) WriteSome(p []byte) (n int, err error) {
	if c.access == nil || !c.out.mu.TryLock() {
		return 0, nil
	}
	defer c.out.mu.Unlock()
	var failed error
	err = c.access.Control(func(fd uintptr) { n, failed = Write(fd, p[:min(maxPerCall, len(p))]) })
	if err == nil && failed != nil && failed != syscall.EAGAIN {
		err = c.opError("write", failed)
	}
	return n, err
}

// failed says of an error what package net says. It stays out of the frames of those who
// wait: thousands of them do.
//
//go:noinline
func (c *Conn) opError(call string, err error) error {
	if err == io.ErrUnexpectedEOF {
		return err
	}
	return &net.OpError{Op: call, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}
