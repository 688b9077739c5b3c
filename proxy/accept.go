package proxy

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/lane"
)

// Serve accepts connections until the server is drained. Several listeners may
// be served at a time.
func (s *Server) Serve(ln net.Listener) error {
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ln.Close()
	}
	first := len(s.listeners) == 0
	s.listeners = append(s.listeners, ln)
	s.accepting.Add(1)
	defer s.accepting.Done()
	s.mu.Unlock()
	if first {
		go s.memory.run(s.handshakers.ctx)
		go s.observer.Sample(s.handshakers.ctx, s.gauges)
		go s.probe(s.handshakers.ctx)
		go s.std.Serve()
	}
	return s.accept(ln)
}

// accept accepts connections from ln until it is closed. An accepted connection is served
// even if the server starts to drain at that moment, because its client saw it accepted.
func (s *Server) accept(ln net.Listener) error {
	pause := time.Duration(0)
	for {
		c, err := ln.Accept()
		if err != nil {
			if s.Draining() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Most likely there are no file descriptors left. They return as connections end.
			pause = min(max(2*pause, shedEvery/2), time.Second)
			s.unaccepted.Failed("error", err)
			if (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && s.shed() {
				pause = shedEvery
			}
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.unaccepted.Succeeded()
		p := s.newPending(c)
		if !s.memory.accepts(p.place.account) {
			s.refuse(p.conn, tooLittleMemory)
			continue
		}
		s.handshakers.dispatch(p, s.handshake)
	}
}

// shedEvery is how often connections are taken back because there are no file descriptors.
const shedEvery = 10 * time.Millisecond

// shed takes connections back from those that hold most, so that whoever wants to connect, or the
// connection to etcd, has a descriptor. It reports whether some end.
func (s *Server) shed() bool {
	return s.connections.Reclaim(max(1, s.connections.Most()/shedShare)) > 0
}

// shedShare is the part of the connections, as a divisor, that is taken back at a time.
const shedShare = 200

// The reasons why a connection is refused, from the closed set of the metric.
const (
	tooManyConnections = "connections"
	tooManyOfAddress   = "address"
	tooLittleMemory    = "memory"
	noClientNamed      = "proxy_header"
)

// refuse closes a connection that was not admitted.
func (s *Server) refuse(c net.Conn, reason string) {
	s.metrics.ConnectionRefused(reason)
	_ = c.Close()
}

// connectionBytes is the memory of a connection without requests: its goroutine, and the
// buffers of TLS. headerBytes is that of a connection whose header is awaited.
const (
	connectionBytes = 40 << 10
	headerBytes     = 12 << 10
)

// maxWaitingConnections bounds the connections that wait until others are taken back for them.
const maxWaitingConnections = 1024

// headerShare is the share of the connections, as a divisor, whose header may be awaited in
// addition to all others.
const headerShare = 4

// newPending opens the account of a connection, and admits the connection if that needs no
// wait. A connection of a load balancer gets a place among those whose header is awaited.
func (s *Server) newPending(c net.Conn) pending {
	p := pending{place: &place{server: s}}
	p.conn = lane.NewClientConn(c, s.options.RawSockets, p.place.close)
	pool, addr := s.connections, addressOf(c).Addr()
	if s.current.Load().IsBalancer(addr) {
		pool = s.headers
	}
	p.place.open(pool, addr)
	return p
}

// admit waits until a connection is admitted, or refuses it. If all connections are in use,
// the pool takes one back, like nginx: first one that is silent, whose client connects again
// when it has a request.
func (s *Server) admit(p pending) bool {
	if p.place.held {
		return true
	}
	ctx, cancel := context.WithTimeout(s.handshakers.ctx, s.options.HandshakeTimeout)
	defer cancel()
	if err := p.place.pool.Acquire(ctx, p.place.account, 1, account.Ordinary); err != nil {
		reason := tooManyConnections
		if errors.Is(err, account.ErrTooMany) {
			reason = tooManyOfAddress
		}
		s.refuse(p.conn, reason)
		return false
	}
	p.place.acquired()
	return true
}

// place is the place of one connection in a pool: that of the connections, or before that the
// pool of those of load balancers whose header is awaited.
type place struct {
	server  *Server
	pool    *account.Pool
	account *account.Account
	users   *account.Users
	held    bool
}

// open opens the account of an address, and acquires a place of the pool if that needs no wait.
func (p *place) open(pool *account.Pool, addr netip.Addr) {
	accounts := p.server.accounts
	p.pool, p.account, p.users = pool, accounts.Address(addr), accounts.Users(addr)
	if pool.TryAcquire(p.account, 1, account.Ordinary) {
		p.acquired()
	}
}

// acquired records that the place was acquired.
func (p *place) acquired() {
	p.held = true
	if p.pool == p.server.connections {
		p.server.metrics.ConnectionOpened()
	}
}

// close releases what the connection holds when it is closed, or charged to another account.
func (p *place) close() {
	if p.held {
		p.held = false
		p.pool.Release(p.account, 1, account.Ordinary)
		if p.pool == p.server.connections {
			p.server.metrics.ConnectionClosed()
		}
	}
	p.users.Close()
	p.account.Close()
}

// addressOf returns the address of a client: the one that a load balancer names, or that of the
// peer. It is not valid for a unix socket, which has no
// address to log or to throttle by.
func addressOf(c net.Conn) netip.AddrPort {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort()
	}
	return netip.AddrPort{}
}
