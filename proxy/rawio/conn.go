// Package rawio reads and writes sockets with system calls that bypass Go's scheduler.
//
// Before a system call that may block, the runtime prepares to hand its processor to
// other goroutines, and its monitor thread does so when the call takes more than 20
// microseconds. A socket in non-blocking mode never blocks: the kernel reports EAGAIN
// instead. But over loopback a write carries its packet all the way to the receiver, and
// often takes that long. The processor is then handed over for nothing, which wakes
// another thread and keeps the monitor polling fifty thousand times a second. Together
// this costs an eighth of the proxy's time.
//
// A blocking socket would stall a processor, so each connection is checked once. A
// socket in blocking mode is served through package net, and so is every connection for
// which raw calls are switched off.
package rawio

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is a connection that uses raw system calls where it can.
type Conn struct {
	net.Conn
	socket    syscall.RawConn // nil if there is no socket
	raw       bool
	ackAtOnce bool
	in, out   transfer
}

// maxPerCall bounds the bytes of one system call, which nothing can preempt.
const maxPerCall = 64 << 10

// transfer is one read or write under way. Its step, which the poller calls, is made
// once so that nothing is allocated later.
type transfer struct {
	mu   sync.Mutex // held during the transfer
	data []byte
	n    int
	err  error
	step func(fd uintptr) (done bool)
}

// New returns a connection over c. It uses raw system calls if raw is set and c is a
// socket in non-blocking mode, and the methods of c otherwise.
func New(c net.Conn, raw bool) *Conn {
	r := &Conn{Conn: c}
	sys, ok := c.(syscall.Conn)
	if !ok {
		return r
	}
	socket, err := sys.SyscallConn()
	if err != nil {
		return r
	}
	r.socket = socket
	if r.raw = raw && nonblocking(socket); r.raw {
		r.in.step, r.out.step = r.readSome, r.writeAll
	}
	return r
}

// nonblocking reports whether a socket is in non-blocking mode.
func nonblocking(socket syscall.RawConn) (yes bool) {
	err := socket.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		yes = err == nil && flags&unix.O_NONBLOCK != 0
	})
	return yes && err == nil
}

// GiveUpAfter makes the kernel end the connection when the peer has taken nothing for so long of what
// was written. No deadline ends it otherwise: what the kernel holds is written, whether the peer takes it
// or not. Probes of a silent connection last for as long at most.
func (c *Conn) GiveUpAfter(d time.Duration) {
	if c.socket != nil {
		c.giveUpAfter(d)
	}
}

// RawConn returns the socket; nil if there is none.
func (c *Conn) RawConn() syscall.RawConn { return c.socket }

// Raw reports whether the connection uses raw system calls.
func (c *Conn) Raw() bool { return c.raw }

// PeerClosed reports whether the peer has closed or lost the connection, even if unread
// bytes precede the end.
func (c *Conn) PeerClosed() bool {
	if c.socket == nil {
		return false
	}
	n := 0
	err := c.socket.Control(func(fd uintptr) {
		n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: hangup}}, 0)
	})
	return err != nil || n > 0 // an error means that this side is closed
}

// CloseWrite closes the sending direction, if the connection can close it separately.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Read reads the bytes that have arrived, or waits for some.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if c.ackAtOnce {
		c.ack()
	}
	return n, err
}

func (c *Conn) read(p []byte) (int, error) {
	if !c.raw || len(p) == 0 {
		return c.Conn.Read(p)
	}
	t := &c.in
	t.mu.Lock()
	t.data, t.n, t.err = p, 0, nil
	err := c.socket.Read(t.step)
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
	return t.err != syscall.EAGAIN //nolint:errorlint // never wrapped: a system call returns the bare errno
}

// Write writes all of p. It blocks while the peer is slow.
func (c *Conn) Write(p []byte) (int, error) {
	if !c.raw {
		return c.Conn.Write(p)
	}
	t := &c.out
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data, t.n, t.err = p, 0, nil
	err := c.socket.Write(t.step)
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
			if err == syscall.EAGAIN { //nolint:errorlint // never wrapped: a system call returns the bare errno
				t.err = nil
				return false
			}
			return true
		}
		t.n += n
	}
	return true
}

// WriteSome writes what the socket accepts without blocking, which may be nothing. It
// ignores deadlines. Without raw calls it writes nothing.
func (c *Conn) WriteSome(p []byte) (n int, err error) {
	if !c.raw || !c.out.mu.TryLock() {
		return 0, nil
	}
	defer c.out.mu.Unlock()
	var callErr error
	err = c.socket.Control(func(fd uintptr) { n, callErr = Write(fd, p[:min(maxPerCall, len(p))]) })
	if err == nil && callErr != nil && callErr != syscall.EAGAIN { //nolint:errorlint // never wrapped: a system call returns the bare errno
		err = c.opError("write", callErr)
	}
	return n, err
}

// opError returns the error that package net would return. It is kept out of the frames
// of waiting goroutines, of which there are thousands.
//
//go:noinline
func (c *Conn) opError(call string, err error) error {
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // never wrapped: writeAll sets it as it is
		return err
	}
	return &net.OpError{Op: call, Net: c.LocalAddr().Network(), Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(call, err)}
}

// Peek returns the bytes of fd, the connection's socket, that Read would return, without
// consuming or waiting for them. The error is EAGAIN if there are none.
func (c *Conn) Peek(fd uintptr, p []byte) (int, error) {
	if c.raw {
		return Peek(fd, p)
	}
	n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return max(n, 0), err
}
