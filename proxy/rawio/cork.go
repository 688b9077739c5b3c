package rawio

import (
	"bytes"
	"sync"
)

// Corked is a connection whose writes can be held back. crypto/tls writes each record
// on its own and a large answer has many, so corking saves system calls. It is safe
// for concurrent use like any net.Conn: crypto/tls also writes alerts and key updates.
type Corked struct {
	*Conn

	mu          sync.Mutex
	held        *[]byte // bytes to be written; nil unless corked or blocked
	nonblocking bool    // hold back what the socket does not accept at once
}

// MaxCorked bounds the bytes that a corked connection holds back.
const MaxCorked = 128 << 10

// maxRecord is the largest TLS record with its framing. A write of one record can
// exceed MaxCorked by as much.
const maxRecord = 16<<10 + 256

var corks = sync.Pool{New: func() any {
	b := make([]byte, 0, MaxCorked+maxRecord)
	return &b
}}

// NewCorked returns a connection over c. It is not corked yet.
func NewCorked(c *Conn) *Corked { return &Corked{Conn: c} }

// Cork holds back all writes until Uncork.
func (c *Corked) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		panic("BUG: Cork would discard bytes that are held back")
	}
	c.held = corks.Get().(*[]byte)
}

// Uncork writes the bytes that were held back. It may block.
func (c *Corked) Uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.Conn.Write(*c.held)
	c.putHeld()
	return err
}

// TryWrite runs write without blocking: bytes that the socket does not accept are held
// back. If complete is false, the caller must call Uncork, which may block. TryWrite
// does not run write, and reports started as false, while another goroutine is writing.
func (c *Corked) TryWrite(write func() error) (started, complete bool, err error) {
	if !c.mu.TryLock() {
		return false, false, nil
	}
	c.nonblocking = true
	c.mu.Unlock()
	err = write()
	c.mu.Lock() // held only briefly: writes do not block meanwhile
	defer c.mu.Unlock()
	c.nonblocking = false
	return true, c.held == nil, err
}

// Blocked reports whether written bytes are waiting for the peer.
func (c *Corked) Blocked() bool {
	if !c.mu.TryLock() {
		return true
	}
	defer c.mu.Unlock()
	return c.held != nil
}

// putHeld returns the buffer of bytes that were written; c.mu is held.
func (c *Corked) putHeld() {
	held := c.held
	c.held = nil
	if cap(*held) >= MaxCorked {
		*held = (*held)[:0]
		corks.Put(held)
	}
}

// Write writes p, or holds it back.
func (c *Corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		if c.nonblocking {
			return c.writeSome(p)
		}
		return c.Conn.Write(p)
	}
	*c.held = append(*c.held, p...)
	if len(*c.held) > MaxCorked {
		_, err := c.Conn.Write(*c.held)
		*c.held = (*c.held)[:0]
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// writeSome writes what the socket accepts and holds back the rest; c.mu is held.
func (c *Corked) writeSome(p []byte) (int, error) {
	n, err := c.Conn.WriteSome(p)
	if err != nil {
		return n, err
	}
	if n < len(p) {
		rest := bytes.Clone(p[n:])
		c.held = &rest
	}
	return len(p), nil
}
