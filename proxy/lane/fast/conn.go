package fast

import (
	"context"
	"crypto/tls"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
)

// conn is a connection in the fast lane. The fields above mu belong to the goroutine that
// serves it.
type conn struct {
	*Lane
	tls   *tls.Conn
	wire  *lane.ClientConn // below tls
	peer  *gate.Peer
	first [firstBytes]byte // receives the next bytes of an idle connection

	*buffers     // nil while the connection is idle
	have     int // the number of bytes in buffers.in that are read and not used

	present    lane.Presence // for waits in which nothing reads
	run        lane.Run
	rec        observe.Record
	answered   time.Time // when the last request was; zero behind a watch
	writeArmed time.Time // when the write deadline was set
	idleArmed  time.Time // when the read deadline was set for the wait for a request

	broken atomic.Bool // BreakOff was called

	mu      sync.Mutex
	watch   *watch    // the running watch; only the serving goroutine sets it
	idle    bool      // between two requests, when the connection may be ended from outside
	served  bool      // it has had a request
	closing bool      // it was ended from outside; a request that arrived in the meantime is the last
	partial time.Time // when a head began, or bytes of a body arrived, and the rest is awaited; zero if none is
	blocked lane.Blocked
	queue   lane.Queue // of the request

	lingering bool // it has its last answer, and is read from until the client closes it
}

func newConn(l *Lane, t *tls.Conn, peer *gate.Peer) *conn {
	c := &conn{Lane: l, tls: t, wire: lane.Wire(t), peer: peer, rec: observe.Record{Peer: peer}}
	c.present = lane.NewPresence(context.Background(), c.wire)
	return c
}

// serve carries requests until the connection ends or leaves the lane.
func (c *conn) serve() {
	defer c.Conns.Release(lane.Fast, c)
	defer c.recoverPanic()
	for first := true; ; first = false {
		n, ok := c.readHead(first)
		if !ok {
			c.close()
			return
		}
		s := c.Exchange.Current.Load()
		if n == 0 || !c.plain(s) {
			c.changeLane()
			return
		}
		if !c.serveRequest(s, n) {
			c.putBuffers()
			c.setLingering()
			_ = lane.Finish(c.tls)
			return
		}
		c.run.Served()
		c.wire.Served(lane.AnswerReads)
	}
}

func (c *conn) setLingering() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lingering = true
}

// recoverPanic confines a bug to the connection on which it occurs. In the standard lane
// net/http does this.
func (c *conn) recoverPanic() {
	if bug := recover(); bug != nil {
		c.Exchange.Log.Error("a connection was closed because of a bug", "from", c.peer.Addr.String(), "panic", bug, "stack", string(debug.Stack()))
		_ = c.tls.Close() // its buffers are not used again
	}
}

// close ends a connection without a request under way, with close_notify.
func (c *conn) close() {
	c.putBuffers()
	if c.broken.Load() {
		_ = c.tls.NetConn().Close() // the client would not take the close_notify either
		return
	}
	_ = c.tls.Close()
}

// changeLane hands the connection over to the standard lane, with the bytes that were read here.
func (c *conn) changeLane() {
	_ = c.tls.SetDeadline(time.Time{})
	c.Exchange.Observer.Metrics.HandedOver()
	c.HandOver(c.tls, c.peer, c.in[:c.have])
	c.putBuffers()
}

// currentLimits returns the limits in force.
func (c *conn) currentLimits() *lane.Limits { return &c.Exchange.Current.Load().Limits }

// readHead reads the head of the next request and returns its length, or 0 for a head
// that the standard lane will refuse. ok is false at the end of the connection.
func (c *conn) readHead(first bool) (n int, ok bool) {
	if c.have == 0 {
		c.putBuffers()
		if !c.waitForRequest(first) {
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
				c.idleArmed = time.Time{} // the deadline in force is that of the head
				c.setPartial(time.Time{})
			}
			return n, true
		}
		if !timed {
			timed = true
			now := time.Now()
			c.setPartial(now)
			if c.tls.SetReadDeadline(now.Add(limits.HeaderTimeout)) != nil {
				return 0, false
			}
		}
		if !c.readMore() {
			return 0, false
		}
	}
}

// readMore reads what has arrived.
func (c *conn) readMore() bool {
	if c.have == len(c.in) {
		larger := make([]byte, 2*len(c.in))
		copy(larger, c.in)
		c.in = larger
	}
	n, err := lane.ReceiveMore(c.tls, c.in[c.have:])
	c.have += n
	return n > 0 || err == nil
}

// deadlineSlack is the fraction of a timeout, as a divisor, by which its deadline may come
// early. Setting a deadline for each request costs as much as parsing the request.
const deadlineSlack = 8

// waitForRequest waits for the first bytes of the next request without buffers. It
// reports false if the connection ends instead.
func (c *conn) waitForRequest(first bool) bool {
	timeout := c.IdleTimeout
	now := c.answered // just now, and reading the clock costs as much as parsing a field
	if now.IsZero() {
		now = time.Now()
	}
	c.mu.Lock()
	draining := c.Conns.Draining()
	if c.closing || draining && !first {
		c.mu.Unlock()
		return false
	}
	if first {
		timeout = c.currentLimits().HeaderTimeout
		if draining {
			timeout = min(timeout, lane.DrainGrace)
		}
	}
	c.idle, c.served = true, !first
	if first || now.Sub(c.idleArmed) > timeout/deadlineSlack {
		_ = c.tls.SetReadDeadline(now.Add(timeout))
		c.idleArmed = now
		if first {
			c.idleArmed = time.Time{}
		}
	}
	c.mu.Unlock()
	n, err := lane.Receive(c.tls, c.first[:])
	c.mu.Lock()
	c.idle = false
	c.mu.Unlock()
	if n == 0 && err != nil {
		return false
	}
	c.have = n
	c.getBuffers()
	return true
}

// CloseIfIdle implements [lane.Conn]. While the server drains, a connection that has had
// no request may still send one.
func (c *conn) CloseIfIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.idle || c.closing:
		return false
	case c.Conns.Draining() && !c.served:
		_ = c.tls.SetReadDeadline(time.Now().Add(lane.DrainGrace))
		return false
	}
	c.closing = true
	_ = c.tls.SetReadDeadline(time.Unix(1, 0))
	return true
}

// Queued implements [lane.Client].
func (c *conn) Queued(end context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.Set(end)
}

// BreakOff implements [lane.Client].
func (c *conn) BreakOff() {
	c.broken.Store(true)
	_ = c.tls.SetWriteDeadline(time.Unix(1, 0))
}
