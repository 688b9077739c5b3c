package std

import (
	"crypto/tls"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// Class implements [lane.Conn].
func (c *strictConn) Class() account.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.class()
}

// class returns what the connection is doing; c.mu is held.
func (c *strictConn) class() account.Class {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	class, some := c.work.class(blocked(c.Conn))
	switch {
	case c.closing:
		return account.Busy
	case some:
		return class
	case c.waitsForRequest():
		return account.Silent
	case c.pending == 0 && !c.began.IsZero() && time.Since(c.began) > lane.StalledAfter:
		return account.Stalled
	}
	return account.Busy
}

// CloseIfIdle implements [lane.Conn].
func (c *strictConn) CloseIfIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || !c.waitsForRequest() {
		return false
	}
	c.closing = true
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0))
	return true
}

// CutIf implements [lane.Conn].
func (c *strictConn) CutIf(class account.Class) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.class() != class {
		return false
	}
	c.closing = true
	go c.Cut()
	return true
}

// Cut implements [lane.Conn].
func (c *strictConn) Cut() { lane.Cut(c.Conn) }

// Class implements [lane.Conn].
func (c *http2Conn) Class() account.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.class()
}

// class returns what the connection is doing; c.mu is held.
func (c *http2Conn) class() account.Class {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	class, some := c.work.class(blocked(c.tls))
	switch {
	case c.closing:
		return account.Busy
	case some:
		return class
	case c.idle:
		return account.Silent
	case time.Since(c.work.progress) > lane.StalledAfter:
		return account.Stalled // it has begun a stream, or the connection itself
	}
	return account.Busy
}

// CutIf implements [lane.Conn].
func (c *http2Conn) CutIf(class account.Class) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.class() != class {
		return false
	}
	c.closing = true
	go c.Cut()
	return true
}

// Cut implements [lane.Conn].
func (c *http2Conn) Cut() { lane.Cut(c.tls) }

// blocked reports whether written bytes wait for the client.
func blocked(t *tls.Conn) bool { return lane.Wire(t).Blocked() }
