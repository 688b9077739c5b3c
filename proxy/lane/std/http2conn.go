package std

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// http2Conn is a connection of HTTP/2. net/http bounds neither the time to the first request
// of such a connection nor the time for a frame or a head: its ReadHeaderTimeout is only for
// HTTP/1, and a client that answers PINGs is alive to it. So http2Conn follows the frames
// and sets the deadline of each read.
//
// The TLS connection is not embedded. net/http would take it over and read from it directly.
type http2Conn struct {
	carrier
	peer   *gate.Peer
	conns  *lane.Conns
	limits func() *lane.Limits
	opened time.Time

	streams *streams

	// Only the goroutine that reads uses these.
	frames http2Frames
	began  time.Time // when the frame or head that is being received began
	pace   lane.Pace // of the frame, if it belongs to a body
	held   []byte    // received behind the head of a stream that waits for its turn
	waits  bool      // that stream has not had its turn
	owed   owed
	run    lane.Run // of the reads of net/http, which reads the head and the payload of each frame on its own

	sent    frameHeads   // what was written; net/http writes one thing at a time
	writing atomic.Int64 // when the current write began, in nanoseconds since 1970; 0 for none

	// The lock of the carrier guards these.
	idle     bool      // no stream is open
	deadline time.Time // for what is being received; zero for none
	last     time.Time // when a closing connection is not read from any more; zero unless it is idle
	armed    time.Time // the deadline in force
}

func newHTTP2Conn(t *tls.Conn, peer *gate.Peer, conns *lane.Conns, limits func() *lane.Limits, pool *account.Pool) *http2Conn {
	c := &http2Conn{carrier: carrier{tls: t}, peer: peer, conns: conns, limits: limits, opened: time.Now(), streams: newStreams(pool, peer.Account)}
	c.resting = c.classAtRest
	c.work.stuck = c.stuck
	c.work.progressed()
	return c
}

// errNoMemory ends a connection whose client does not even take the refusals of its streams.
var errNoMemory = errors.New("no memory for another stream")

// Read reads what has arrived, within the time that the client has for it.
func (c *http2Conn) Read(p []byte) (int, error) {
	c.run.Served() // a flood of tiny frames never waits for anything
	if c.waits {
		if err := c.wait(); err != nil {
			return 0, err
		}
	}
	n, err := c.receive(p)
	begun := c.frames.begun
	n, bad := c.follow(p[:n])
	if bad != nil {
		return 0, bad
	}
	if c.frames.begun != begun {
		c.began, c.pace = time.Now(), c.limits().NewPace()
	}
	return n, err
}

// wait waits for the turn of the stream whose head was received last. What a client has sent
// before it left must not reach etcd when others release their streams, so nothing more is
// passed on then.
func (c *http2Conn) wait() error {
	c.waits = false
	ctx, cancel := context.WithTimeout(context.Background(), streamPatience)
	defer cancel()
	wire := lane.Wire(c.tls)
	present := lane.NewPresence(ctx, wire)
	defer present.Stop()
	switch {
	case !c.streams.wait(&present):
		return errNoMemory
	case wire.PeerClosed():
		return net.ErrClosed
	}
	return nil
}

// receive returns bytes that were held back, or reads.
func (c *http2Conn) receive(p []byte) (int, error) {
	if len(c.held) > 0 {
		n := copy(p, c.held)
		c.held = c.held[n:]
		return n, nil
	}
	if err := c.armRead(); err != nil {
		return 0, err
	}
	n, err := lane.Receive(c.tls, p)
	c.pace.End(n)
	return n, err
}

// follow follows what was received, and returns how many of these bytes net/http may have. If
// a stream must wait for its turn, everything behind its head is held back.
func (c *http2Conn) follow(p []byte) (n int, err error) {
	for n < len(p) {
		used, head, err := c.frames.next(p[n:])
		if err != nil {
			return 0, err
		}
		n += used
		if write := c.writing.Load(); head && write != 0 && c.frames.answered(c.streams.isOpen(c.frames.stream())) && c.owed.exceeded(write) {
			return 0, errFlood
		}
		switch {
		case !head:
		case c.frames.kind() == frameReset:
			c.streams.end(c.frames.stream())
		case c.frames.opens() && !c.streams.begin(c.frames.stream(), !c.frames.has(flagEndStream)):
			c.waits = true
			c.held = append(slices.Clone(p[n:]), c.held...)
			return n, nil
		}
	}
	return n, nil
}

// armRead sets the deadline of the next read.
func (c *http2Conn) armRead() error {
	limits, deadline := c.limits(), time.Time{}
	bodyDeadline := c.pace.Begin()
	if !c.frames.asked {
		deadline = c.opened.Add(limits.HeaderTimeout)
	} else if c.frames.inData() {
		deadline = bodyDeadline
	} else if !c.frames.between() {
		deadline = c.began.Add(limits.HeaderTimeout)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = deadline
	return c.arm()
}

// arm puts the earlier one of the deadlines in force; c.mu is held.
func (c *http2Conn) arm() error {
	next := c.deadline
	if !c.last.IsZero() && (next.IsZero() || c.last.Before(next)) {
		next = c.last
	}
	if next.Equal(c.armed) {
		return nil
	}
	c.armed = next
	return c.tls.SetReadDeadline(next)
}

// Write writes p.
func (c *http2Conn) Write(p []byte) (int, error) {
	c.writing.Store(time.Now().UnixNano())
	n, err := c.tls.Write(p)
	c.writing.Store(0)
	for rest := p[:n]; len(rest) > 0; {
		before := c.sent.complete()
		rest = rest[c.sent.next(rest):]
		if c.sent.complete() && !before {
			c.wrote(&c.sent)
		}
		if c.sent.complete() && c.sent.left == 0 {
			c.sent.have = 0
		}
	}
	return n, err
}

// wrote follows a frame whose head was written.
func (c *http2Conn) wrote(f *frameHeads) {
	if f.answers() {
		wire := lane.Wire(c.tls)
		wire.Served(answerReads)
		wire.Sent(f.left)
	}
	if f.ends() {
		c.streams.end(f.stream())
	}
}

// stuck reports whether the client has accepted nothing for some seconds.
func (c *http2Conn) stuck() bool {
	since := c.writing.Load()
	return since != 0 && time.Since(time.Unix(0, since)) > lane.StalledAfter
}

// Close ends the connection with close_notify.
func (c *http2Conn) Close() error {
	err := c.tls.Close()
	c.streams.close()
	return err
}

// LocalAddr returns this server's address.
func (c *http2Conn) LocalAddr() net.Addr { return c.tls.LocalAddr() }

// RemoteAddr returns the client's address.
func (c *http2Conn) RemoteAddr() net.Addr { return c.tls.RemoteAddr() }

// SetDeadline sets the deadline of writes; see SetReadDeadline.
func (c *http2Conn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

// SetReadDeadline does nothing. Each read sets its own deadline, and net/http sets none but
// that of the preface, which is part of the first request here.
func (c *http2Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline sets the deadline of writes.
func (c *http2Conn) SetWriteDeadline(t time.Time) error { return c.tls.SetWriteDeadline(t) }

func (c *http2Conn) connection() *connection {
	return &connection{peer: c.peer, http2: c, work: &c.work}
}
