package lane

import (
	"context"
	"io"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/share"
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
	// Present ends when the client has disconnected, for a write that may be held. nil is the
	// context of the call.
	Present context.Context

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

// Answer is etcd's answer to a call.
type Answer struct {
	Status int
	// Fields is the head in etcd's spelling. The strings are views that end with Finish
	// or Close. Fields of etcd's connection are among them; see [ConnectionField].
	Fields []http1.Field
	// Length is the length of the body, or -1 if etcd's head does not contain it. In the
	// answer to a HEAD it is the length that the body of a GET would have.
	Length int64
	// Body is the received part of the body. It ends with Close.
	Body []byte
	// Whole is set if Body is the whole body. Otherwise Read returns all of it.
	Whole bool
	// Shared is set if the request to etcd answered other clients as well.
	Shared bool

	slot     slot
	claim    bulk.Claim
	past     *bulk.Claim // until the event of a watch has begun; nil for none
	large    *hold       // of the claim, while the client takes the answer; nil for none
	memory   *hold       // of Pools.Memory; nil for none
	isWatch  bool        // the body is an event of a watch that is not shared
	mayGrow  bool        // it has had its turn, and may have grown since its size was seen
	resp     *upstream.Response
	buffered *upstream.Buffered
	shared   *share.Answer
	stored   *stored // of an answer of a store
}

// Finish releases the connection to etcd if the answer is whole. A lane calls it after
// copying the head and before sending the body, so that etcd and other clients need not
// wait for a slow client.
func (a *Answer) Finish() {
	if a.Whole && a.resp != nil {
		a.closeUpstream()
	}
}

// Read reads a body that is not whole, from its start. io.EOF is the end of the message. p
// may overlap Body.
func (a *Answer) Read(p []byte) (n int, err error) {
	if len(a.Body) > 0 {
		n = copy(p, a.Body)
		if a.Body = a.Body[n:]; len(a.Body) == 0 {
			a.freeBuffered()
		}
		return n, nil
	}
	if a.Whole {
		return 0, io.EOF
	}
	if a.stored != nil {
		return a.stored.large.Read(p)
	}
	n, err = a.resp.Read(p)
	if a.isWatch && n > 0 {
		a.isWatch = false
		a.endPast()
		if !a.claim.Event(a.resp.Announced()) {
			return 0, errLarge // etcd must not hold the event at the pace of the client
		}
	}
	return n, err
}

// ReadFull reads a body that is not whole until p is full or the message ends.
func (a *Answer) ReadFull(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = a.Read(p[n:])
		n += m
	}
	return n, err
}

// Taken records that the client has taken a part of the answer.
func (a *Answer) Taken() {
	a.large.taken()
	a.memory.taken()
}

// Close releases everything that the answer holds. If the message was not read to its end,
// the connection to etcd is closed.
func (a *Answer) Close() {
	if a.resp != nil {
		a.closeUpstream()
	}
	a.slot.release()
	a.freeBuffered()
	if a.large != nil {
		a.large.end()
		a.large = nil
	}
	a.claim.Release()
	if a.past != nil {
		a.past.Release()
		a.past = nil
	}
	if a.shared != nil {
		a.shared.Release()
		a.shared = nil
	}
	if a.stored != nil {
		a.stored.free()
		a.stored, a.Fields = nil, nil
	}
	a.Body = nil
}

// endPast lets others have their turn, because the event has begun.
func (a *Answer) endPast() {
	if a.past != nil {
		a.past.Began(a.resp.Announced(), true)
		a.past.Release()
		a.past = nil
	}
}

func (a *Answer) closeUpstream() {
	a.resp.Close()
	a.resp, a.Fields = nil, nil
	a.slot.release()
}

func (a *Answer) freeBuffered() {
	if a.memory != nil {
		a.memory.end()
		a.memory = nil
	}
	if a.buffered != nil {
		a.buffered.Free()
		a.buffered = nil
	}
}
