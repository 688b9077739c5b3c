package std

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// connection is what a request needs to know about its connection.
type connection struct {
	peer   *gate.Peer
	strict *strictConn // nil on HTTP/2
}

// registeredConn is a connection of this lane in the registry.
type registeredConn interface {
	lane.Conn
	connection() *connection
	// setIdle notes whether the connection waits for its next request.
	setIdle(idle bool)
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
		s.registered(c).setIdle(state == http.StateIdle)
	}
}

// malformed returns the refusal of the request that stands for one that could not be
// read, and nil for an ordinary request.
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
	tls  *tls.Conn
	peer *gate.Peer
	idle atomic.Bool // no stream is open
}

func (c *http2Conn) connection() *connection { return &connection{peer: c.peer} }

func (c *http2Conn) setIdle(idle bool) { c.idle.Store(idle) }

// CloseIfIdle implements [lane.Conn].
func (c *http2Conn) CloseIfIdle() bool {
	if !c.idle.CompareAndSwap(true, false) {
		return false
	}
	_ = c.tls.SetReadDeadline(time.Unix(1, 0)) // net/http then closes the connection
	return true
}

// Cut implements [lane.Conn].
func (c *http2Conn) Cut() { lane.Cut(c.tls) }
