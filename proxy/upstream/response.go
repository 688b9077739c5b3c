package upstream

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"etcd-tlsproxy/proxy/http1"
)

// Response is etcd's answer: the head, and the body to be read. Its memory belongs to the
// connection, so it must not be used after Close.
type Response struct {
	Status int
	// Fields is the head, spelled as etcd does. The strings are views that are valid until
	// Close.
	Fields []http1.Field
	// Length is the number of bytes in the body, or -1 if the head does not contain it. In
	// the answer to a HEAD it is the length that a GET would have.
	Length int64

	conn    *conn
	slot    slot
	ctx     context.Context // the request's; the response ends with it
	release func() bool     // stops ctx from interrupting the connection
	method  string
	watch   bool
	// recorded is set when the duration was recorded, or if it says nothing about etcd.
	recorded bool

	body   http1.Framing
	left   int64
	chunks http1.Chunks
	passed int64 // bytes of the body that were read
	done   bool  // the message was read completely
}

// start sets the response from the parsed head.
func (r *Response) start() error {
	parsed := &r.conn.parsed
	r.Status, r.Fields, r.Length = parsed.Status, parsed.Fields, parsed.Length
	r.body, r.left, r.chunks, r.passed = parsed.Body, parsed.Length, http1.Chunks{}, 0
	r.done = r.body == http1.None
	if r.surplus() {
		return errSurplus
	}
	if r.watch && r.Status != 200 {
		r.watch = false // a refusal, which does not take long
	}
	if !r.watch {
		return nil
	}
	r.conn.armed = time.Time{}
	if err := r.conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	// This may have removed the deadline that interrupted the request.
	return r.ctx.Err()
}

// errSurplus means that an answer cannot be trusted: it may belong to an earlier request,
// with the right one behind it.
var errSurplus = errors.New("etcd sent more bytes than the response has")

// surplus reports whether bytes follow a complete message.
func (r *Response) surplus() bool { return r.done && len(r.conn.received) > 0 }

// Read reads the body. It returns 0 and io.EOF only after the message is complete. Any
// other error is an [*Error].
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
			r.passed += int64(n)
			return n, nil
		}
	}
	return 0, io.EOF
}

// Announced returns the bytes that the body has at least: its length, or what was read with
// the rest of the current chunk. etcd sends the JSON of keys in one chunk, so its size is
// known from the first byte on.
func (r *Response) Announced() int64 {
	if r.Length >= 0 {
		return r.Length
	}
	return r.passed + r.chunks.Left()
}

// Shows reports whether the answer to a read shows what there is, or that there is nothing. Any
// other answer is a refusal.
func (r *Response) Shows() bool { return r.Status == 200 || r.Status == 404 }

// next copies a part of the body, and receives more first if necessary.
func (r *Response) next(p []byte) (n int, err error) {
	c := r.conn
	if len(c.received) == 0 {
		if !r.watch {
			c.armed = time.Time{}
			if err := r.setReadDeadline(time.Now().Add(c.at.pool.o.BodyTimeout)); err != nil {
				return 0, err
			}
		}
		if err := c.receive(); err != nil {
			if err == io.EOF && r.body == http1.UntilClose { //nolint:errorlint // never wrapped: a connection's Read returns io.EOF itself
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
		// At most the data that fits into p, with its framing.
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

// setReadDeadline sets the deadline of the next read. It returns an error if the request has
// been interrupted, because this may have removed the deadline that interrupted it.
func (r *Response) setReadDeadline(at time.Time) error {
	if err := r.conn.SetReadDeadline(at); err != nil {
		return err
	}
	return r.ctx.Err()
}

// Arrived waits for the first bytes of a watch's body, at most for a time. It reports whether
// there are any.
func (r *Response) Arrived(patience time.Duration) (bool, error) {
	c := r.conn
	if r.done || len(c.received) > 0 {
		return true, nil
	}
	err := r.setReadDeadline(time.Now().Add(patience))
	if err == nil {
		err = c.receive()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && r.ctx.Err() == nil {
		if err = r.setReadDeadline(time.Time{}); err == nil {
			return false, nil
		}
	}
	if err != nil {
		return false, classify(r.ctx, c.at, r.method, unexpected(err))
	}
	return true, nil
}

// KeepWatching gives a watch that was sent with the slot of a read a slot for watches. The
// error is an [*Error]; the response is then still to be closed.
func (r *Response) KeepWatching() error {
	pool := r.conn.at.pool
	if busy := pool.acquire(r.ctx, watching); busy != nil {
		return busy
	}
	pool.release(r.slot)
	r.slot = watching
	return nil
}

// EndWatch marks a watch as answered: its event has begun to arrive, so BodyTimeout
// applies to the rest like to that of any answer.
func (r *Response) EndWatch() { r.watch = false }

// Close returns the connection to the pool if the answer was read to its end and no
// bytes follow. Otherwise it closes the connection.
func (r *Response) Close() {
	c := r.conn
	slot := r.slot
	pool := c.at.pool
	// The last bytes of a message may have arrived without having been read.
	if !r.done && r.body == http1.Chunked && len(c.received) <= len("\r\n0\r\n\r\n") {
		if _, taken, err := r.chunks.Next(c.received); err == nil {
			c.received, r.done = c.received[taken:], r.chunks.Done()
		}
	}
	reusable := r.done && !c.parsed.Close && len(c.received) == 0
	if r.release != nil && !r.release() {
		reusable = false // interrupt has set the deadline, or is about to
	}
	now := time.Now()
	r.answeredAt(now)
	if reusable {
		r.clear()
		c.at.putIdle(c, now)
	} else {
		r.clear()
		_ = c.Close()
	}
	pool.release(slot)
}

// disconnect closes the connection of a request that failed before there was an answer.
// It does not release the slot.
func (r *Response) disconnect() {
	r.Answered()
	if r.release != nil {
		r.release()
	}
	_ = r.conn.Close()
}

// clear drops the references that would keep the request's memory alive.
func (r *Response) clear() { r.ctx, r.release, r.Fields = nil, nil, nil }
