package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/rawio"
)

// ClientConn is an accepted connection of a client, below TLS. Its writes can be corked.
type ClientConn struct {
	*rawio.Corked
	once   sync.Once
	closed func()
	ended  chan struct{} // closed with the connection
	client *net.TCPAddr  // as a load balancer names it; nil without one

	turns    Turns
	flight   int  // bytes that may be received between two writes while there are turns
	answered bool // nothing was received since the last write while there are turns

	bounded bool
	left    int // bytes that may be received, if bounded

	reads reads
}

// Turns lets a client's handshake compute only when it is its turn. Waiting for the client is
// not computing.
type Turns interface {
	// Acquire waits for a turn.
	Acquire() error
	// Release ends a turn. begins is whether the client has sent nothing since it was last
	// answered.
	Release(begins bool)
}

// TakeTurns makes the connection release its turn during each read, and acquire one for what was
// read; nil ends that. Until then, no more than flight bytes are received before something is
// written. It must not be called concurrently with a read.
func (c *ClientConn) TakeTurns(t Turns, flight int) { c.turns, c.flight, c.answered = t, flight, true }

// ErrTooLarge is the error of a read of a client that has sent too much before it is complete.
var ErrTooLarge = errors.New("the client has sent too much of one message of TLS")

// maxUnread bounds what arrives before a read of a TLS connection returns something: one full
// record, behind some that only change keys. crypto/tls would hold a message of 256 KiB at any
// time, and keep its memory as long as the connection.
const maxUnread = FullRecord + 4<<10

// Receive is t.Read for connections of clients. It fails if too much arrives that is no data, and may
// wait if the client makes the proxy read too often for nothing.
func Receive(t *tls.Conn, p []byte) (int, error) {
	wire := Wire(t)
	if err := wire.pay(); err != nil {
		return 0, err
	}
	wire.expect(maxUnread)
	n, err := t.Read(p)
	wire.reads.earn(int64(n / payingRead))
	return n, err
}

// ReceiveMore is [Receive] for the rest of something that has begun. Other connections have their
// turn at the processor before: a client that sends bytes one by one, with many messages of TLS
// between them, would otherwise use each of its connections' turns to the end, which is 10 ms.
func ReceiveMore(t *tls.Conn, p []byte) (int, error) {
	runtime.Gosched()
	return Receive(t, p)
}

// expect bounds what may be received until it is called again.
func (c *ClientConn) expect(n int) { c.bounded, c.left = true, n }

// Read reads what has arrived.
func (c *ClientConn) Read(p []byte) (int, error) {
	if c.turns == nil {
		return c.receive(p)
	}
	if c.answered {
		c.expect(c.flight)
	}
	c.turns.Release(c.answered)
	c.answered = false
	n, err := c.receive(p)
	if err == nil {
		err = c.turns.Acquire()
	}
	return n, err
}

// receive reads what has arrived and may be received.
func (c *ClientConn) receive(p []byte) (int, error) {
	if !c.bounded {
		return c.Corked.Read(p)
	}
	if c.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := c.Corked.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// NewClientConn wraps an accepted connection. raw selects the system calls of package
// rawio. closed is called once, when the connection is closed.
func NewClientConn(c net.Conn, raw bool, closed func()) *ClientConn {
	socket := rawio.New(c, raw)
	socket.GiveUpAfter(maxUntaken)
	return &ClientConn{Corked: rawio.NewCorked(socket), closed: closed, ended: make(chan struct{})}
}

// maxUntaken is how long a client may take nothing of an answer that the kernel has accepted. Requests of
// such a client often do not arrive any more, because its kernel drops the acknowledgments that come
// with answers, so that its connection looks like one that waits for the next request. As long as that
// take the kernel's probes of a silent connection, 9 of them 15 seconds apart: no watch ends sooner when
// the network fails for a while.
const maxUntaken = 150 * time.Second

// SetClient replaces the address of the peer, a load balancer, by that of the client. It must be
// called before the connection is handed to others.
func (c *ClientConn) SetClient(addr netip.AddrPort) { c.client = net.TCPAddrFromAddrPort(addr) }

// RemoteAddr returns the address of the client.
func (c *ClientConn) RemoteAddr() net.Addr {
	if c.client != nil {
		return c.client
	}
	return c.Corked.RemoteAddr()
}

// maxControl is the largest TLS record, in bytes, that is taken for one that crypto/tls
// sends on its own: an alert or the answer to a KeyUpdate. Records of answers are larger,
// except for ends of streamed ones.
const maxControl = 64

// Write writes p. crypto/tls answers a KeyUpdate while a lane waits for the next request.
// The deadline in force is then that of the last answer, and may have passed. Removing it
// after each answer would cost as much as a part of the answer, so it is renewed here.
func (c *ClientConn) Write(p []byte) (int, error) {
	if c.turns != nil {
		c.answered = true
	}
	n, err := c.Corked.Write(p)
	if n > 0 || len(p) > maxControl || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if err := c.SetWriteDeadline(time.Now().Add(LingerTimeout)); err != nil {
		return 0, err
	}
	return c.Corked.Write(p)
}

// Close closes the connection.
func (c *ClientConn) Close() error {
	err := c.Corked.Close()
	c.once.Do(func() {
		close(c.ended)
		c.closed()
	})
	return err
}

// WatchPeer calls gone with [ErrGone] when the client has closed the connection, unless ctx
// ends before. It notices that at the next of its intervals.
func (c *ClientConn) WatchPeer(ctx context.Context, every time.Duration, gone context.CancelCauseFunc) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if c.PeerClosed() {
				gone(ErrGone)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// Wire returns the client's connection below TLS.
func Wire(t *tls.Conn) *ClientConn { return t.NetConn().(*ClientConn) }

// Cut closes a TLS connection above a ClientConn, whatever it is doing.
func Cut(t *tls.Conn) {
	wire := Wire(t)
	if wire.Blocked() {
		_ = wire.Close() // close_notify would wait behind the blocked bytes
		return
	}
	_ = t.Close()
}

// FullRecord is the largest amount of data in one TLS record.
const FullRecord = 16 << 10
