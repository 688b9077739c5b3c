package fast

import (
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// Class implements [lane.Conn]. A connection is busy while etcd or the proxy works for it.
func (c *conn) Class() account.Class {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.class()
}

// class returns what the connection is doing; c.mu is held.
func (c *conn) class() account.Class {
	slow := c.blocked.Slow(c.wire.Blocked())
	switch {
	case c.closing:
		return account.Busy
	case c.idle:
		return account.Silent
	case c.lingering:
		return account.Stalled // it has its answer
	case !c.partial.IsZero() && time.Since(c.partial) > lane.StalledAfter:
		return account.Stalled
	case slow, c.queue.Slow():
		return account.Slow
	case c.watch != nil && !c.watch.state.decided():
		return account.Watching
	}
	return account.Busy
}

// setPartial records since when the rest of a head, or the next bytes of a body, is awaited.
func (c *conn) setPartial(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = since
}

// CutIf implements [lane.Conn].
func (c *conn) CutIf(class account.Class) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.class() != class {
		return false
	}
	c.closing = true
	if c.queue.Leave() {
		return true // the refusal is the last answer
	}
	if class == account.Watching {
		c.watch.endLocked(lane.ErrShort)
		return true
	}
	go c.Cut()
	return true
}

// Cut implements [lane.Conn].
func (c *conn) Cut() { lane.Cut(c.tls) }
