package std

import (
	"crypto/tls"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// carrier is what both kinds of connections have in common: by what its requests are doing, the
// pool takes a connection back.
type carrier struct {
	tls     *tls.Conn
	resting func() account.Class // what it is doing without requests; mu and work.mu are held
	work    work

	mu      sync.Mutex
	closing bool // it was ended from outside; requests that began meanwhile are its last
	// lingering is set when the connection has its last answer, and is read from until the client
	// closes it.
	lingering bool
}

// Class implements [lane.Conn].
func (c *carrier) Class() account.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.class()
}

// class returns what the connection is doing; c.mu is held.
func (c *carrier) class() account.Class {
	c.work.mu.Lock()
	defer c.work.mu.Unlock()
	class, some := c.work.class(lane.Wire(c.tls).Blocked())
	switch {
	case c.closing:
		return account.Busy
	case c.lingering:
		return account.Stalled
	case some:
		return class
	}
	return c.resting()
}

// CutIf implements [lane.Conn].
func (c *carrier) CutIf(class account.Class) bool {
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
func (c *carrier) Cut() { lane.Cut(c.tls) }

// classAtRest is what the connection is doing without requests; c.mu is held.
func (c *strictConn) classAtRest() account.Class {
	switch {
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

// classAtRest is what the connection is doing without requests; c.mu and c.work.mu are held.
func (c *http2Conn) classAtRest() account.Class {
	switch {
	case c.idle:
		return account.Silent
	case time.Since(c.work.progress) > lane.StalledAfter:
		return account.Stalled // it has begun a stream, or the connection itself
	}
	return account.Busy
}
