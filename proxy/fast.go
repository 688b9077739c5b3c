package proxy

import (
	"crypto/tls"
	"runtime/debug"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/upstream"
)

// fast is the lane for plain requests of HTTP/1.1: one goroutine a connection
// reads a request, asks the gate, forwards, and writes the answer, in buffers it
// borrows for the time between two silences. What is not plain (watches that cannot
// be shared, chunked or large bodies, expectations, HTTP/1.0, methods and heads that
// will be refused) is handed over, with the bytes already read, to the standard lane for
// the rest of the connection's life.
type fast struct {
	*Server
	conn  *tls.Conn
	wire  *countedConn // below conn
	peer  *Peer
	first [firstBytes]byte // where a silent connection waits for its next bytes

	*scratch     // nil while the connection is silent
	have     int // bytes of in that are read and not yet used

	rec       record
	watch     *fastWatch // that is running
	written   time.Time  // when the write deadline was armed
	idleSince time.Time  // when the read deadline was armed for silence

	mu     sync.Mutex
	silent bool // between two requests: it may be ended from outside
	asked  bool // there was one before
	ending bool // it was; the request that came at the same time is its last
}

// scratch is the memory of an active connection.
type scratch struct {
	in, out  []byte
	request  http1.Request
	upstream upstream.Request
}

const (
	scratchIn  = 8 << 10
	scratchOut = 18 << 10 // a full TLS record and some
	mostPlain  = 16 << 10 // a larger body is the standard lane's
)

var scratches = sync.Pool{New: func() any {
	return &scratch{in: make([]byte, scratchIn), out: make([]byte, 0, scratchOut)}
}}

// firstBytes is as much as a small write with a password has: it then needs no second read,
// and no deadline for one.
const firstBytes = 512

func newFast(s *Server, t *tls.Conn, peer *Peer) *fast {
	return &fast{Server: s, conn: t, wire: t.NetConn().(*countedConn), peer: peer, rec: record{peer: peer}}
}

// serve carries requests until the connection ends or leaves the lane.
func (c *fast) serve() {
	defer c.lanes.leave(c)
	defer c.survive()
	for first := true; ; first = false {
		n, ok := c.readHead(first)
		if !ok {
			c.end()
			return
		}
		s := c.snapshot.Load()
		if n == 0 || !c.plain(s) {
			c.handOver()
			return
		}
		if !c.answer(s, n) {
			c.end()
			return
		}
	}
}

// survive keeps a mistake of ours in one connection from ending all others, as
// net/http does in the other lane.
func (c *fast) survive() {
	if mistake := recover(); mistake != nil {
		c.log.Error("a connection was given up", "from", c.peer.Addr.String(), "panic", mistake, "stack", string(debug.Stack()))
		_ = c.conn.Close() // its memory is not used again
	}
}

// end closes the connection with close_notify.
func (c *fast) end() {
	c.giveBack()
	_ = c.conn.Close()
}

// handOver lets the standard lane read what was read here.
func (c *fast) handOver() {
	strict := newStrictConn(c.conn, c.peer, c.currentLimits)
	strict.buf = append(strict.buf, c.in[:c.have]...)
	c.giveBack()
	_ = c.conn.SetDeadline(time.Time{})
	c.metrics.handedOver.Inc()
	c.queue.put(strict)
}

func (c *fast) giveBack() {
	if c.scratch == nil {
		return
	}
	if len(c.in) > 4*scratchIn {
		c.in = make([]byte, scratchIn) // grown for one large request
	}
	// Nothing of one client may reach the next: neither what was parsed of a head
	// that broke off nor how far.
	c.request = http1.Request{Fields: c.request.Fields[:0]}
	c.scratch.upstream = upstream.Request{}
	scratches.Put(c.scratch)
	c.scratch, c.have = nil, 0
}

// readHead reads the head of the next request and returns its length, or 0 if it
// is one that the standard lane will refuse; ok is false at the connection's end.
func (c *fast) readHead(first bool) (n int, ok bool) {
	if c.have == 0 {
		c.giveBack()
		if !c.wait(first) {
			return 0, false
		}
	}
	limits := c.currentLimits()
	timed := false
	for {
		n, err := c.request.Parse(c.in[:c.have], http1.Limits{Head: limits.Head})
		if err != nil {
			return 0, true
		}
		if n > 0 {
			if timed {
				c.idleSince = time.Time{} // the deadline in force is the head's
			}
			return n, true
		}
		if !timed {
			timed = true
			if c.conn.SetReadDeadline(time.Now().Add(limits.HeaderTimeout)) != nil {
				return 0, false
			}
		}
		if !c.more() {
			return 0, false
		}
	}
}

// more reads what the connection has.
func (c *fast) more() bool {
	if c.have == len(c.in) {
		larger := make([]byte, 2*len(c.in))
		copy(larger, c.in)
		c.in = larger
	}
	n, err := c.conn.Read(c.in[c.have:])
	c.have += n
	return n > 0 || err == nil
}

// rearm is how far a deadline may be off: arming it for each request costs as
// much as parsing the request.
const rearm = 8

// wait waits for the next request in almost no memory, then borrows some.
func (c *fast) wait(first bool) bool {
	idle := c.options.IdleTimeout
	now := time.Now()
	c.mu.Lock()
	draining := c.lanes.draining.Load()
	if c.ending || draining && !first {
		c.mu.Unlock()
		return false
	}
	if first {
		idle = c.currentLimits().HeaderTimeout
		if draining {
			idle = min(idle, lastCall)
		}
	}
	c.silent, c.asked = true, !first
	if first || now.Sub(c.idleSince) > idle/rearm {
		_ = c.conn.SetReadDeadline(now.Add(idle))
		c.idleSince = now
		if first {
			c.idleSince = time.Time{}
		}
	}
	c.mu.Unlock()
	n, err := c.conn.Read(c.first[:])
	c.mu.Lock()
	c.silent = false
	c.mu.Unlock()
	if n == 0 && err != nil {
		return false
	}
	c.have = n
	c.borrow()
	return true
}

// borrow takes memory for what a silent connection has received.
func (c *fast) borrow() {
	if c.scratch == nil && c.have > 0 {
		c.scratch = scratches.Get().(*scratch)
		copy(c.in, c.first[:c.have])
	}
}

// lastCall is how long a connection may take for its handshake, and then for its first
// request, after the server began to drain. It was accepted, so its client counts on an
// answer; a second is enough for three ways around the earth.
const lastCall = time.Second

// endSilence ends the connection if it waits for a request, and reports whether it did.
// While the server drains a new one may ask yet.
func (c *fast) endSilence() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.silent || c.ending:
		return false
	case c.lanes.draining.Load() && !c.asked:
		_ = c.conn.SetReadDeadline(time.Now().Add(lastCall))
		return false
	}
	c.ending = true
	_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	return true
}
