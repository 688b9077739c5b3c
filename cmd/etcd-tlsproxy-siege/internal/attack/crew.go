package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// crew is all attackers of one attack.
type crew struct {
	Spec
	counts
	config *tls.Config
	locals []*net.TCPAddr // the sources

	mu    sync.Mutex
	conns map[*conn]bool
}

// dialTimeout bounds connecting and the handshake. It is longer than a server's own limit
// of 10 s, so that the server decides.
const dialTimeout = 15 * time.Second

func newCrew(spec Spec) (*crew, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(spec.CA) {
		return nil, errors.New("reading the CA: no certificate found")
	}
	c := &crew{Spec: spec, conns: make(map[*conn]bool), config: &tls.Config{
		RootCAs: roots, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519},
		ClientSessionCache: tls.NewLRUClientSessionCache(64), NextProtos: []string{"http/1.1"},
	}}
	if spec.Protocol == HTTP2 {
		c.config.NextProtos = []string{"h2"}
	}
	if len(spec.Certificate) > 0 {
		pair, err := tls.X509KeyPair(spec.Certificate, spec.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client's certificate: %w", err)
		}
		c.config.Certificates = []tls.Certificate{pair}
	}
	for _, text := range spec.Sources {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, fmt.Errorf("reading the sources: %q is not an IP address", text)
		}
		c.locals = append(c.locals, &net.TCPAddr{IP: ip})
	}
	if len(c.locals) == 0 {
		return nil, errors.New("reading the sources: there is none")
	}
	return c, nil
}

// conn is a connection of an attacker.
type conn struct {
	*tls.Conn // nil if there was no handshake
	crew      *crew
	raw       *net.TCPConn
	closed    bool // by the attacker or the server; guarded by crew.mu
}

// dialOptions are about one connection.
type dialOptions struct {
	// receive is the size of the socket's receive buffer; 0 means the kernel's default. A
	// small one lets an attacker that does not read hold an answer of any size.
	receive int
	config  *tls.Config // instead of the crew's
}

// connect opens connection number i.
func (c *crew) connect(ctx context.Context, i int, o dialOptions) (*net.TCPConn, error) {
	local := c.locals[i%len(c.locals)]
	dialer := net.Dialer{LocalAddr: local, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		control := raw.Control(func(fd uintptr) { err = prepare(int(fd), local, o.receive) })
		return errors.Join(control, err)
	}}
	raw, err := dialer.DialContext(ctx, "tcp", c.addressFor(local))
	if err != nil {
		c.reportRefused(err)
		return nil, err
	}
	return raw.(*net.TCPConn), nil
}

// dial opens connection number i and does the handshake.
func (c *crew) dial(ctx context.Context, i int, o dialOptions) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := c.connect(ctx, i, o)
	if err != nil {
		return nil, err
	}
	config := c.config
	if o.config != nil {
		config = o.config
	}
	t := tls.Client(raw, config)
	if err := t.HandshakeContext(ctx); err != nil {
		c.reportRefused(err)
		_ = raw.Close()
		return nil, err
	}
	return c.enter(&conn{Conn: t, crew: c, raw: raw}), nil
}

// enter counts a connection until leave is called.
func (c *crew) enter(k *conn) *conn {
	c.opened.Add(1)
	c.open.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns[k] = true
	return k
}

// prepare sets the options of a socket before it is bound.
func prepare(fd int, local *net.TCPAddr, receive int) error {
	if local.IP.To4() == nil {
		// A route, not the interface, makes the address one of this machine.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return err
		}
	}
	if receive == 0 {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive)
}

// addressFor returns the server's address in the family of a source.
func (c *crew) addressFor(local *net.TCPAddr) string {
	if local.IP.To4() == nil {
		_, port, _ := net.SplitHostPort(c.Address)
		return net.JoinHostPort("::1", port)
	}
	return c.Address
}

// leave closes a connection. cut says that the server has closed it.
func (k *conn) leave(cut bool) {
	k.crew.mu.Lock()
	defer k.crew.mu.Unlock()
	if k.closed {
		return
	}
	k.closed = true
	delete(k.crew.conns, k)
	k.crew.open.Add(-1)
	if cut {
		k.crew.cut.Add(1)
	}
	_ = k.raw.SetLinger(0) // a port that waits for the end of a connection is one port less
	_ = k.raw.Close()
}

// ended reports whether the server has closed a connection, without reading from it.
func (k *conn) ended() bool {
	raw, err := k.raw.SyscallConn()
	if err != nil {
		return true
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		ended = err != nil || info.State != unix.BPF_TCP_ESTABLISHED
	})
	return err != nil || ended
}

func (c *crew) close() {
	c.mu.Lock()
	var rest []*conn
	for k := range c.conns {
		rest = append(rest, k)
	}
	c.mu.Unlock()
	for _, k := range rest {
		k.leave(false)
	}
}

// together runs f for each of the numbers below n at the same time. It calls ready when all
// run, and returns when ctx has ended and all have returned.
func together(ctx context.Context, n int, f func(i int), ready func()) error {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { f(i) })
	}
	ready()
	<-ctx.Done()
	running.Wait()
	return nil
}

// dialers is how many connections a crew opens at a time. It must not exceed what a server
// accepts by its backlog.
const dialers = 32

// each calls f for the numbers below n, several at a time, until ctx ends. An error of f is
// about one attacker, whom the server has turned away: the others go on.
func (c *crew) each(ctx context.Context, n int, f func(i int) error) {
	var group errgroup.Group
	group.SetLimit(dialers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			_ = f(i)
			return nil
		})
	}
	_ = group.Wait()
}
