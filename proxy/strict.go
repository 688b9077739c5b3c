package proxy

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/http1"
)

// strictConn shows net/http only what this proxy's own grammar accepts. net/http
// is lenient where front ends and servers have disagreed before (two lengths,
// bare line feeds, a body's length given twice over), and answers what it
// refuses in plain text, which clients of etcd cannot parse. So heads are read
// here first: a good message is released byte for byte, a bad one is replaced by
// a request that the handler refuses in its turn, after which the connection
// ends.
type strictConn struct {
	*tls.Conn
	peer     *Peer
	limits   func() *Limits
	follower http1.Follower

	buf      []byte // received; [start:released] may be read, the rest not yet
	start    int
	released int
	bad      atomic.Pointer[malformed]
	unread   atomic.Bool // the client may still be sending when the connection ends

	mu    sync.Mutex
	began time.Time // when the head that is being received began; zero between messages
	wait  time.Time // the deadline net/http wants
}

// malformed is why a connection ends, and the mark of the request that stands
// for the one that could not be read. The mark cannot be guessed, so a client
// cannot send it.
type malformed struct {
	refusal *Refusal
	token   string
}

const malformedField = "Malformed-Request"

func newStrictConn(t *tls.Conn, peer *Peer, limits func() *Limits) *strictConn {
	c := &strictConn{Conn: t, peer: peer, limits: limits, began: time.Now()}
	c.follower.Check = checkTarget
	return c
}

// checkTarget refuses what net/http would answer itself, in plain text: targets
// that it cannot parse. Whether a target is good is for the gate to say.
func checkTarget(r *http1.Request) *http1.Error {
	target := r.Target
	if r.Method == http.MethodConnect && !strings.HasPrefix(target, "/") {
		target = "http://" + target
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return errUnreadableTarget
	}
	return nil
}

var errUnreadableTarget = &http1.Error{Status: http.StatusBadRequest, Reason: "the request target is malformed"}

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

// release finds out how much of what was received may be read now.
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
	reason := err.(*http1.Error)
	bad := &malformed{
		refusal: refuse(reason.Status, "malformed", codeInvalidField, "Bad request", reason.Reason).closing(),
		token:   rand.Text(),
	}
	c.bad.Store(bad)
	c.buf = append(c.buf[:0], "GET / HTTP/1.1\r\nHost: malformed\r\nConnection: close\r\n"+malformedField+": "+bad.token+"\r\n\r\n"...)
	c.start, c.released = 0, len(c.buf)
}

// fill receives more. Once a head has begun it must be complete within the
// limit, however the client spreads it.
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
	n, err := c.Conn.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		c.mark(time.Now())
		return nil // an error comes again with the next read
	}
	return err
}

// mark notes that a head began, unless one had already, or with the zero time
// that it is complete.
func (c *strictConn) mark(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.IsZero() || c.began.IsZero() {
		c.began = t
	}
}

// arm puts the deadline of the next read in force: the one net/http wants, or
// the head's if that comes first. Under the lock, because net/http moves its
// deadline into the past to end a read that waits.
func (c *strictConn) arm() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := c.wait
	if !c.began.IsZero() && !c.follower.InBody() {
		if last := c.began.Add(c.limits().HeaderTimeout); deadline.IsZero() || last.Before(deadline) {
			deadline = last
		}
	}
	return c.Conn.SetReadDeadline(deadline)
}

// SetReadDeadline notes the deadline net/http wants.
func (c *strictConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait = t
	if !c.began.IsZero() && (t.IsZero() || t.After(c.began.Add(c.limits().HeaderTimeout))) {
		return nil // the head that is being received ends sooner, and its deadline is armed
	}
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *strictConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// lingerFor is how long a client whose request was malformed may still send: a
// reset, which unread bytes would cause, could destroy the answer on its way.
const lingerFor = 500 * time.Millisecond

// Close says goodbye in TLS, always: PyBal never connects again after a
// connection that ended without.
func (c *strictConn) Close() error {
	if c.bad.Load() != nil || c.unread.Load() {
		_ = c.Conn.CloseWrite()
		linger(c.Conn.NetConn())
	}
	return c.Conn.Close()
}

func linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerFor))
	_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
}
