package lane

import (
	"crypto/tls"
	"io"
	"net"
	"time"
)

// A peer that still sends when its connection is closed, or whose bytes were not all read,
// gets a reset. It may then never see the alert or the answer before the reset: its next
// write fails, and most programs report that. So a connection that ends with an alert or an
// answer is read from until the peer has closed its side as well. nginx does the same.
const (
	// LingerTimeout is how long the peer may pause. It has to learn of the end, at any
	// distance.
	LingerTimeout = 500 * time.Millisecond
	// maxLinger bounds the whole time, in which a client can finish sending a large body.
	maxLinger = 5 * time.Second
	// maxLingered is how many bytes are received meanwhile: more than what a client sends at once of
	// a body that is too large, before it reads the answer.
	maxLingered = 16 << 20
	// LingerUnit is the most bytes that a unit of [Bounds.Lingering] stands for, which is a read.
	LingerUnit = 16 << 10
)

// Linger closes the sending direction of a connection, and discards what the peer still
// sends until it closes its side or a limit is reached. The caller then closes c.
func Linger(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	var from io.Reader = c
	client, charged := c.(*ClientConn)
	if charged {
		from = client.Corked // nothing of it is kept, so it may be larger than a message of TLS
	}
	end := time.Now().Add(maxLinger)
	buf := make([]byte, 64) // nearly all peers send nothing but their close_notify
	for received := 0; received < maxLingered; {
		deadline := time.Now().Add(LingerTimeout)
		if deadline.After(end) {
			deadline = end
		}
		if c.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if received += n; n == len(buf) && n < LingerUnit {
			buf = make([]byte, LingerUnit)
		}
		// The first piece is free: it is all that an honest client sends, who may have thousands of
		// connections that end in a second.
		if charged && received > n && client.payLingering(end) != nil {
			return
		}
	}
}

// payLingering pays for one more read behind the last answer, and waits until it is due, but not for
// longer than until end. Meanwhile the kernel keeps the client waiting.
func (c *ClientConn) payLingering(end time.Time) error {
	r := &c.reads
	if r.bounds == nil || r.bounds.Lingering == nil {
		return nil
	}
	wait, ok := r.bounds.Lingering.Reserve(r.account)
	if !ok || time.Until(end) < wait {
		return errTooManyReads
	}
	return c.sleep(wait)
}

// Finish ends a TLS connection behind an answer so that the client can read all of it.
func Finish(t *tls.Conn) error {
	if t.CloseWrite() == nil { // otherwise the client does not read, or has disconnected
		Linger(t.NetConn())
	}
	return t.Close()
}
