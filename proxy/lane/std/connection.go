package std

import (
	"context"
	"net"
	"net/http"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// connection is what a request needs to know about its connection.
type connection struct {
	peer   *gate.Peer
	strict *strictConn // nil on HTTP/2
	http2  *http2Conn  // nil on HTTP/1
	work   *work
	run    lane.Run // on HTTP/1
}

// registeredConn is a connection of this lane: a strictConn or an http2Conn. net/http
// serves it, and it is in the registry.
type registeredConn interface {
	net.Conn
	lane.Conn
	connection() *connection
	// setState records that net/http has found the connection active or idle.
	setState(state http.ConnState)
}

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c.(registeredConn).connection())
}

func connectionOf(ctx context.Context) *connection {
	return ctx.Value(connectionKey{}).(*connection)
}

// connState is net/http's hook for the states of connections.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateClosed:
		s.conns.Release(lane.Standard, c.(registeredConn))
	case http.StateIdle, http.StateActive:
		c.(registeredConn).setState(state)
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
