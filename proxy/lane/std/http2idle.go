package std

import (
	"net/http"
	"time"
)

// setState follows net/http, which reads no frame behind the head of a stream before it has
// reported that the connection is active.
func (c *http2Conn) setState(state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle = state == http.StateIdle; c.closing {
		c.limitRead()
	}
}

// CloseIfIdle implements [lane.Conn]. While the server drains, net/http ends the connection
// itself: the client then learns which of its requests were not read, and can send them again.
func (c *http2Conn) CloseIfIdle() bool {
	if c.conns.Draining() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.idle || c.closing {
		return false
	}
	c.closing = true
	c.limitRead()
	return true
}

// lastFrame is how long a connection that was ended is still read from. net/http reports
// that a connection is idle before it has written the end of the last answer, and closes the
// connection when reading fails.
const lastFrame = 100 * time.Millisecond

// limitRead makes net/http close an idle connection; c.mu is held.
func (c *http2Conn) limitRead() {
	c.last = time.Time{}
	if c.idle {
		c.last = time.Now().Add(lastFrame)
	}
	_ = c.arm() // an error means that the connection is closed
}
