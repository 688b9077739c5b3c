package std

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// connection is what a request needs to know about its connection.
type connection struct {
	peer   *gate.Peer
	strict *strictConn // nil on HTTP/2
	work   *work
}

// registeredConn is a connection of this lane in the registry.
type registeredConn interface {
	lane.Conn
	connection() *connection
	// setState records that net/http has found the connection active or idle.
	setState(state http.ConnState)
}

type connectionKey struct{}

func (s *Server) withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, s.registered(c).connection())
}

func connectionOf(ctx context.Context) *connection {
	return ctx.Value(connectionKey{}).(*connection)
}

// connState is net/http's hook for the states of connections.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateClosed:
		s.release(c)
	case http.StateIdle, http.StateActive:
		s.registered(c).setState(state)
	}
}

// malformed returns the refusal if r is the stand-in for a request that could not be read,
// and nil for an ordinary request.
func (c *connection) malformed(r *http.Request) *gate.Refusal {
	if c.strict == nil {
		return nil
	}
	if bad := c.strict.bad.Load(); bad != nil && r.Header.Get(malformedField) == bad.token {
		return bad.refusal
	}
	return nil
}

// http2Conn is the registry's view of a connection of HTTP/2.
type http2Conn struct {
	tls   *tls.Conn
	peer  *gate.Peer
	conns *lane.Conns

	mu      sync.Mutex
	idle    bool // no stream is open
	closing bool // the connection was ended from outside; streams that began meanwhile are its last

	work work
}

func (c *http2Conn) connection() *connection { return &connection{peer: c.peer, work: &c.work} }

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
	deadline := time.Time{}
	if c.idle {
		deadline = time.Now().Add(lastFrame)
	}
	_ = c.tls.SetReadDeadline(deadline)
}
