package std

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/lane"
)

// strictConn passes on to net/http only what the proxy's own grammar accepts. net/http is
// lenient where front ends and servers have disagreed before (two lengths, bare line feeds,
// a length beside chunks), and answers what it refuses in plain text, which clients of etcd
// cannot parse. So strictConn reads each head first. It releases a good message byte for
// byte. It replaces a bad one by a request that the handler refuses, and the connection
// ends after that.
type strictConn struct {
	*tls.Conn
	carrier
	peer     *gate.Peer
	limits   func() *lane.Limits
	draining func() bool
	follower http1.Follower

	buf      []byte // received; [start:released] may be read, the rest not yet
	start    int
	released int
	bad      atomic.Pointer[malformed]
	broken   atomic.Bool // its answer was broken off, because the client does not take it

	// The lock of the carrier guards these.
	began   time.Time // when the head that is being received began; zero between messages
	wait    time.Time // the deadline that net/http wants
	pending int       // requests that were released and whose answers are not complete
	served  bool      // a request was answered
	silent  bool      // nothing of the first head has arrived
}

// malformed is the refusal with which a connection ends, and the mark of the stand-in for
// the request that could not be read. The mark cannot be guessed, so a client cannot send
// it.
type malformed struct {
	refusal *gate.Refusal
	token   string
}

const malformedField = "Malformed-Request"

func newStrictConn(t *tls.Conn, peer *gate.Peer, limits func() *lane.Limits, draining func() bool) *strictConn {
	c := &strictConn{Conn: t, carrier: carrier{tls: t}, peer: peer, limits: limits, draining: draining, began: time.Now(), silent: true}
	c.resting = c.classAtRest
	c.follower.Check = c.checkHead
	return c
}

// checkHead counts the requests that net/http receives. The count is ahead of net/http's own
// states, which change some time after a request has arrived.
func (c *strictConn) checkHead(r *http1.Request) *http1.Error {
	if err := lane.CheckTarget(r); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
	return nil
}

// Read returns bytes of whole, valid heads and of the bodies they announce.
func (c *strictConn) Read(p []byte) (int, error) {
	for c.start == c.released {
		if c.bad.Load() != nil {
			return 0, io.EOF
		}
		if len(c.buf) > c.start && c.release() {
			break
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.start:c.released])
	c.start += n
	if c.start == len(c.buf) {
		c.buf, c.start, c.released = c.buf[:0], 0, 0
	}
	return n, nil
}

// release determines how many of the received bytes may be read now.
func (c *strictConn) release() bool {
	c.follower.Limits = http1.Limits{Head: c.limits().Head}
	n, err := c.follower.Feed(c.buf[c.start:])
	if err != nil {
		c.replace(err)
		return true
	}
	c.released = c.start + n
	if n > 0 {
		c.mark(time.Time{})
		if c.released < len(c.buf) {
			c.mark(time.Now()) // the next head has begun in the same bytes
		}
	}
	return n > 0
}

// replace puts the stand-in for a malformed request in the buffer.
func (c *strictConn) replace(err error) {
	var reason *http1.Error
	if !errors.As(err, &reason) {
		panic("BUG: a message is refused without a reason: " + err.Error())
	}
	bad := &malformed{
		refusal: gate.Malformed(reason.Status, reason.Reason),
		token:   rand.Text(),
	}
	c.bad.Store(bad)
	c.buf = append(c.buf[:0], "GET / HTTP/1.1\r\nHost: malformed\r\nConnection: close\r\n"+malformedField+": "+bad.token+"\r\n\r\n"...)
	c.start, c.released = 0, len(c.buf)
}

// fill receives more bytes. A head that has begun must be complete within the limit, in
// however many pieces the client sends it.
func (c *strictConn) fill() error {
	if c.start > 0 {
		c.buf = c.buf[:copy(c.buf, c.buf[c.start:])]
		c.start, c.released = 0, 0
	}
	if len(c.buf) == cap(c.buf) {
		larger := make([]byte, len(c.buf), max(2*cap(c.buf), 4<<10))
		copy(larger, c.buf)
		c.buf = larger
	}
	if err := c.arm(); err != nil {
		return err
	}
	receive := lane.ReceiveMore
	if len(c.buf) == 0 {
		receive = lane.Receive
	}
	n, err := receive(c.Conn, c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		c.mark(time.Now())
		return nil // the next read returns the error again
	}
	return err
}

// mark records the time at which a head began, unless one has begun already. The zero time
// records that the head is complete.
func (c *strictConn) mark(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = false
	if t.IsZero() || c.began.IsZero() {
		c.began = t
	}
}

// arm sets the deadline of the next read: the one that net/http wants, or the head's if
// that comes first. It holds the lock, because net/http moves its deadline into the past
// to end a read that waits.
func (c *strictConn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended() {
		return os.ErrDeadlineExceeded
	}
	deadline := c.wait
	if !c.began.IsZero() && !c.follower.InBody() {
		if last := c.began.Add(c.limits().HeaderTimeout); deadline.IsZero() || last.Before(deadline) {
			deadline = last
		}
	}
	return c.Conn.SetReadDeadline(deadline)
}

// SetReadDeadline records the deadline that net/http wants, and sets it unless the head that
// is being received must end sooner.
func (c *strictConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait = t
	if c.ended() {
		return nil // the deadline is in the past
	}
	if !c.began.IsZero() && (t.IsZero() || t.After(c.began.Add(c.limits().HeaderTimeout))) {
		return nil // the deadline of the head is in force
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (c *strictConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// Close ends the connection with close_notify. PyBal never connects again after a
// connection that ended without it.
func (c *strictConn) Close() error {
	if c.broken.Load() {
		return c.NetConn().Close() // the client would not take the close_notify either
	}
	c.mu.Lock()
	lingers := c.pending > 0 || c.bad.Load() != nil // net/http never becomes idle after the last answer
	c.lingering = lingers
	c.mu.Unlock()
	if lingers {
		return lane.Finish(c.Conn)
	}
	return c.Conn.Close()
}

func (c *strictConn) connection() *connection {
	return &connection{peer: c.peer, strict: c, work: &c.work}
}

// setState follows net/http. A connection becomes idle once behind each request.
func (c *strictConn) setState(state http.ConnState) {
	if state != http.StateIdle {
		return
	}
	c.mu.Lock()
	c.pending--
	c.served = true
	c.mu.Unlock()
	lane.Wire(c.Conn).Served(lane.AnswerReads)
	_ = c.SetWriteDeadline(time.Time{}) // the deadline was the last answer's
}

// waiting reports whether nothing of a request is known; c.mu is held.
func (c *strictConn) waiting() bool { return c.pending == 0 && (c.began.IsZero() || c.silent) }

// waitsForRequest reports whether the connection waits for its first or next request; c.mu is
// held. While the server drains, the first request is still awaited.
func (c *strictConn) waitsForRequest() bool {
	return c.waiting() && (c.served || c.silent && !c.draining())
}

// ended reports whether no request is read any more; c.mu is held.
func (c *strictConn) ended() bool { return c.closing && c.waiting() }
