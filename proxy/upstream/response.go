package upstream

import (
	"context"
	"errors"
	"io"
	"time"

	"etcd-tlsproxy/proxy/http1"
)

// Response is etcd's answer: its head, and its body to be read. It lives in its
// connection: nothing of it may be used after Close.
type Response struct {
	Status int
	// Fields is the head, spelled as etcd spells it. The strings are views that
	// end with Close.
	Fields []http1.Field
	// Length is the number of bytes in the body, or -1 if the head does not tell.
	// In the answer to a HEAD it is what a GET would bring.
	Length int64

	conn    *conn
	slot    slot
	ctx     context.Context // the request's; the response ends with it
	release func() bool     // takes the connection out of ctx's reach
	method  string
	watch   bool

	body   http1.Framing
	left   int64
	chunks http1.Chunks
	done   bool // the message was read completely
}

// begin takes the head over.
func (r *Response) start() error {
	parsed := &r.conn.parsed
	r.Status, r.Fields, r.Length = parsed.Status, parsed.Fields, parsed.Length
	r.body, r.left, r.chunks = parsed.Body, parsed.Length, http1.Chunks{SkipTrailers: true}
	r.done = r.body == http1.None
	if r.surplus() {
		return errSurplus
	}
	if r.watch && r.Status != 200 {
		r.watch = false // it is answered, not waited for
	}
	if !r.watch {
		return nil
	}
	r.conn.armed = time.Time{}
	if err := r.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	// The deadline that was just lifted can be the one that ended the request.
	return r.ctx.Err()
}

// errSurplus means that an answer is not to be believed: it may be one to an earlier
// request, with the right one behind it.
var errSurplus = errors.New("more bytes came than the answer has")

// surplus reports whether there is something behind a message that is complete.
func (r *Response) surplus() bool { return r.done && len(r.conn.received) > 0 }

// Read reads the body. It returns io.EOF when the message is complete and not
// before, and alone; any other error is an [*Error].
func (r *Response) Read(p []byte) (int, error) {
	for !r.done {
		n, err := r.next(p)
		if err == nil && r.surplus() {
			err = errSurplus
		}
		if err != nil {
			return 0, classify(r.ctx, r.conn.at, r.method, err)
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
	return 0, io.EOF
}

// next makes a step: it copies some of the body, or receives more.
func (r *Response) next(p []byte) (n int, err error) {
	c := r.conn
	if len(c.received) == 0 {
		if !r.watch {
			c.armed = time.Time{}
			if err := c.SetReadDeadline(time.Now().Add(c.at.pool.o.BodyTimeout)); err != nil {
				return 0, err
			}
			if err := r.ctx.Err(); err != nil {
				return 0, err // its deadline may be the one just lifted
			}
		}
		if err := c.receive(); err != nil {
			if err == io.EOF && r.body == http1.UntilClose {
				r.done = true
				return 0, nil
			}
			return 0, unexpected(err)
		}
	}
	switch r.body {
	case http1.Length:
		n = copy(p[:min(int64(len(p)), r.left)], c.received)
		c.received = c.received[n:]
		r.left -= int64(n)
		r.done = r.left == 0
	case http1.UntilClose:
		n = copy(p, c.received)
		c.received = c.received[n:]
	case http1.Chunked:
		// No more than fits into p, and the framing around it.
		piece := c.received[:min(len(c.received), len(p))]
		data, taken, err := r.chunks.Next(piece)
		if err != nil {
			return 0, err
		}
		n = copy(p, data)
		c.received = c.received[taken:]
		r.done = r.chunks.Done()
	}
	return n, nil
}

// Begun says of a watch that what was waited for has begun to come: the rest must not
// take longer than that of any answer.
func (r *Response) EndWatch() { r.watch = false }

// Close gives the connection back if the answer was read to its end and nothing
// came after it, and closes it otherwise.
func (r *Response) Close() {
	c := r.conn
	slot := r.slot
	pool := c.at.pool
	// A message whose last bytes are here already need not have been asked for.
	if !r.done && r.body == http1.Chunked && len(c.received) > 0 && len(c.received) <= len("\r\n0\r\n\r\n") {
		if data, taken, err := r.chunks.Next(c.received); err == nil && len(data) == 0 {
			c.received, r.done = c.received[taken:], r.chunks.Done()
		}
	}
	reusable := r.done && !c.parsed.Close && len(c.received) == 0
	if r.release != nil && !r.release() {
		reusable = false // its deadline is in the past, or will be in a moment
	}
	if reusable {
		r.clear()
		c.at.putIdle(c)
	} else {
		r.clear()
		_ = c.Close()
	}
	pool.release(slot)
}

// disconnect ends a request that failed before there was an answer; the slot
// stays taken.
func (r *Response) disconnect() {
	if r.release != nil {
		r.release()
	}
	_ = r.conn.Close()
}

// forget drops what would keep the request's memory alive in an idle connection.
func (r *Response) clear() { r.ctx, r.release, r.Fields = nil, nil, nil }
