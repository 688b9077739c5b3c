package fast

import (
	"crypto/tls"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// Lane serves connections. One Lane serves all connections of a server.
type Lane struct {
	Exchange *lane.Exchange
	Conns    *lane.Conns
	// HandOver gives a connection to the standard lane, with the bytes that were read
	// from it and not used. The callee must copy them.
	HandOver func(t *tls.Conn, peer *gate.Peer, received []byte)
	// IdleTimeout bounds the time that a connection may wait for its next request.
	IdleTimeout time.Duration
}

// Start serves a connection whose handshake is done, in a new goroutine. The goroutine of a
// handshake has a large stack, so it should not wait for requests.
func (l *Lane) Start(t *tls.Conn, peer *gate.Peer) {
	c := newConn(l, t, peer)
	if !l.Conns.Register(lane.Fast, c, peer.Account) {
		_ = t.Close()
		return
	}
	go c.serve()
}
