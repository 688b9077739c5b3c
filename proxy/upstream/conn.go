package upstream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/http1"
	"etcd-tlsproxy/proxy/rawio"
)

// conn is one connection to etcd, with all that a request on it needs, so that the next
// request allocates nothing.
type conn struct {
	net.Conn             // TLS or plain
	raw      *rawio.Conn // the socket below
	at       *endpoint
	reused   bool
	since    time.Time // when it became idle
	armed    time.Time // when the deadline of a head was set; zero if another is in force
	began    time.Time // when the request was about to be sent

	access        syscall.RawConn // for raw
	probe         func(fd uintptr)
	peeked        [1]byte
	wouldBlock    bool // set by probe
	writeThenWait func(fd uintptr) bool
	written       int // bytes of out that writeThenWait has written

	out      []byte // the request
	head     []byte // the head of the answer, and the bytes received with it
	body     []byte // buffer for the rest of the answer
	received []byte // the unread part of either; a view
	parsed   http1.Response
	response Response
}

const (
	headSize  = 2 << 10  // etcd's heads are about 300 bytes
	bodySize  = 16 << 10 // one TLS record
	smallBody = 16 << 10 // smaller bodies are appended to the head and sent with it
	largeHead = 64 << 10
)

// newConn returns a connection over raw. The closures of its socket are made once.
func newConn(raw *rawio.Conn, at *endpoint) *conn {
	c := &conn{Conn: raw, raw: raw, at: at, access: raw.RawConn()}
	c.probe = func(fd uintptr) {
		_, err := raw.Peek(fd, c.peeked[:])
		c.wouldBlock = err == syscall.EAGAIN //nolint:errorlint // never wrapped: package rawio returns the bare errno
	}
	c.writeThenWait = func(fd uintptr) bool {
		if c.written > 0 {
			return true // the answer has arrived
		}
		n, err := rawio.Write(fd, c.out)
		c.written = n
		return err != nil || n < len(c.out)
	}
	return c
}

// isIdle reports whether the connection is open and holds no bytes, and arms it if so. Bytes
// that are there already would be taken for the next answer, and a closed connection would
// lose the next request.
func (c *conn) isIdle() bool {
	c.wouldBlock = false
	if c.access == nil || c.arm() != nil || c.access.Control(c.probe) != nil || !c.wouldBlock {
		return false
	}
	if c.plain() {
		return true
	}
	// TLS may hold bytes that it has received already. The deadline has passed, so this
	// read does not wait for the socket.
	c.armed = time.Time{}
	_ = c.SetReadDeadline(time.Unix(1, 0)) // if this fails, so does the read
	n, err := c.Read(c.peeked[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.arm() == nil
}

// plain reports whether HTTP is spoken without TLS.
func (c *conn) plain() bool { return c.Conn == c.raw }

// deadlineSlack is the fraction of a timeout, as a divisor, by which a deadline may come
// early. Setting a deadline costs as much as writing a request.
const deadlineSlack = 8

// arm sets the deadline of a head, unless one was set shortly before, and notes when the
// request begins. A connection is armed when it is chosen for a request.
func (c *conn) arm() error {
	now, timeout := time.Now(), c.at.pool.o.HeaderTimeout
	c.began = now
	if now.Sub(c.armed) <= timeout/deadlineSlack {
		return nil
	}
	c.armed = now
	return c.SetDeadline(now.Add(timeout))
}

// exchange sends a request on a connection that is armed, and receives the head of its answer.
func (c *conn) exchange(ctx context.Context, req *Request) error {
	c.head = c.head[:0]
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.send(req); err != nil {
		// etcd may have refused the body early and answered already.
		if c.receiveHead(req.Method) == nil && c.parsed.Status >= 400 {
			c.parsed.Close = true
			return nil
		}
		return err
	}
	return c.receiveHead(req.Method)
}

func (c *conn) send(req *Request) error {
	length := int64(-1)
	if req.Body != nil || !safe(req.Method) && req.Method != "DELETE" {
		length = int64(len(req.Body))
	}
	c.out = http1.AppendRequest(c.out[:0], &http1.Outgoing{
		Method: req.Method, Target: req.Target, Host: "etcd",
		ContentType: req.ContentType, Accept: req.Accept, AcceptEncoding: req.AcceptEncoding, UserAgent: req.UserAgent,
		ForwardedFor: req.ForwardedFor, RealIP: req.RealIP, Length: length,
		Authorization: cmp.Or(req.Authorization, c.at.pool.o.Authorization),
	})
	if len(req.Body) <= smallBody {
		c.out = append(c.out, req.Body...)
		return c.sendSmall()
	}
	if _, err := c.Write(c.out); err != nil {
		return err
	}
	_, err := c.Write(req.Body)
	return err
}

// sendSmall sends a request in one write, and waits until the answer can be read.
// net.Conn's Read would first try a read, which fails because etcd is not that fast.
// Waiting like this is safe: the poller is reset before the request is written, so the
// arrival of the answer cannot be missed.
func (c *conn) sendSmall() error {
	c.written = 0
	if c.raw.Raw() && c.plain() {
		if err := c.access.Read(c.writeThenWait); err != nil {
			return err
		}
		if c.written == len(c.out) {
			return nil
		}
	}
	_, err := c.Write(c.out[c.written:])
	return err
}

// maxInterim bounds the interim answers before the real one; etcd sends none.
const maxInterim = 4

func (c *conn) receiveHead(method string) error {
	if c.head == nil {
		c.head = make([]byte, 0, headSize)
	}
	c.head, c.received = c.head[:0], nil
	interim := 0
	for {
		if len(c.head) > 0 {
			n, err := c.parsed.Parse(c.head, method, http1.Limits{Head: largeHead})
			if err != nil {
				return err
			}
			if n > 0 && c.parsed.Status >= 200 {
				c.received = c.head[n:]
				return nil
			}
			if n > 0 {
				if interim++; interim > maxInterim {
					return errors.New("too many interim answers")
				}
				c.head = c.head[:copy(c.head, c.head[n:])]
				continue
			}
		}
		if len(c.head) == cap(c.head) {
			larger := make([]byte, len(c.head), 2*cap(c.head))
			copy(larger, c.head)
			c.head = larger
		}
		n, err := c.Read(c.head[len(c.head):cap(c.head)])
		c.head = c.head[:len(c.head)+n]
		if n == 0 && err != nil {
			return unexpected(err)
		}
	}
}

// answered reports whether any byte of an answer was received.
func (c *conn) answered() bool { return len(c.head) > 0 }

// receive waits for more of the answer's body.
func (c *conn) receive() error {
	if c.body == nil {
		c.body = make([]byte, bodySize)
	}
	n, err := c.Read(c.body)
	c.received = c.body[:n]
	if n > 0 {
		return nil // the next read returns the error again
	}
	return err
}

// unexpected returns the error for a message that ended early.
func unexpected(err error) error {
	if err == io.EOF { //nolint:errorlint // never wrapped: a connection's Read returns io.EOF itself
		return io.ErrUnexpectedEOF
	}
	return err
}

// bind binds the connection to a request and a slot until the response is closed.
func (c *conn) bind(ctx context.Context, slot slot, req *Request) *Response {
	r := &c.response
	*r = Response{conn: c, slot: slot, ctx: ctx, method: req.Method, watch: req.Watch, recorded: req.Watch}
	if ctx.Done() != nil {
		r.release = context.AfterFunc(ctx, c.interrupt)
	}
	return r
}

// interrupt makes all reads and writes of the connection fail at once.
func (c *conn) interrupt() { _ = c.raw.SetDeadline(time.Unix(1, 0)) }
