package lane

import (
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/upstream"
)

// Call is one operation of one client on its way to etcd.
type Call struct {
	Snapshot *Snapshot
	Peer     *gate.Peer
	Op       *gate.Operation
	// The fields of the client's head that etcd is sent; "" for none.
	ContentType, Accept, AcceptEncoding, UserAgent string
	// Authorization is sent only if the snapshot says so.
	Authorization string
	// Body is the body of the request. It is sent only if etcd reads it.
	Body []byte
	// Client takes the answer.
	Client Client

	// Waited is the time that Do waited for etcd, if the access log contains it. Turn is the
	// part of it during which others had their turn.
	Waited, Turn time.Duration

	request upstream.Request
	account *account.Account // is charged
}

// upstreamRequest returns the request that etcd is sent. Of the client's fields only those
// of the call are forwarded; framing, host and the client's address are the proxy's own.
// The client's address is left out for keys, like in the nginx site: etcd does not use it
// there, but would parse it for each read.
func (c *Call) upstreamRequest() *upstream.Request {
	r := &c.request
	*r = upstream.Request{} // a literal would be made elsewhere and copied
	r.Method, r.Target, r.Watch = c.Op.Method, c.Op.Target, c.Op.Watch
	r.ContentType, r.Accept, r.AcceptEncoding, r.UserAgent = c.ContentType, c.Accept, c.AcceptEncoding, c.UserAgent
	r.Authorization = c.Snapshot.forwarded(c.Authorization)
	if c.Op.Surface != gate.Keys {
		r.ForwardedFor, r.RealIP = c.Peer.Address, c.Peer.Address
	}
	if c.Op.HasBody() {
		r.Body = c.Body
	}
	return r
}
