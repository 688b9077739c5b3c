package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"
)

// connection is what a request needs to know of the connection it came on.
type connection struct {
	peer   *Peer
	strict *strictConn // nil on HTTP/2, which has a framing of its own
}

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	conn := &connection{}
	switch c := c.(type) {
	case *strictConn:
		conn.peer, conn.strict = c.peer, c
	case *tls.Conn:
		conn.peer = peerOf(c)
	default:
		panic("BUG: a connection that is not ours")
	}
	return context.WithValue(ctx, connectionKey{}, conn)
}

func connectionOf(ctx context.Context) *connection {
	return ctx.Value(connectionKey{}).(*connection)
}

// peerOf is the client behind a TLS connection whose handshake is done.
func peerOf(t *tls.Conn) *Peer {
	addr, err := netip.ParseAddrPort(t.RemoteAddr().String())
	if err != nil {
		addr = netip.AddrPort{} // a unix socket: no address to log or to throttle by
	}
	return NewPeer(addr, t.ConnectionState().PeerCertificates)
}

// malformed is the answer to the request that stands for one which could not be
// read; nil if r is an ordinary one.
func (c *connection) malformed(r *http.Request) *Refusal {
	if c.strict == nil {
		return nil
	}
	if bad := c.strict.bad.Load(); bad != nil && r.Header.Get(malformedField) == bad.token {
		return bad.refusal
	}
	return nil
}

// answerPlain answers a client that does not speak TLS.
func answerPlain(c net.Conn, refusal *Refusal) {
	_ = c.SetDeadline(time.Now().Add(lingerFor))
	answer := "HTTP/1.1 " + strconv.Itoa(refusal.Status) + " " + http.StatusText(refusal.Status) + "\r\n"
	refusal.Header(func(name, value string) { answer += name + ": " + value + "\r\n" })
	if _, err := io.WriteString(c, answer+"\r\n"+refusal.Body); err == nil {
		linger(c)
	}
}
