package proxy

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"etcd-tlsproxy/acl"
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
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.unaccepted.Failed("error", err)
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.unaccepted.Succeeded()
		client, wait, reason := s.admit(c)
		if reason != "" {
			s.metrics.ConnectionRefused(reason)
			_ = c.Close()
			continue
		}
		s.handshakers.dispatch(pending{client, wait}, s.handshake)
	}
}

// The reasons why a connection is refused, from the closed set of the metric.
const (
	tooManyConnections = "connections"
	tooManyOfAddress   = "address"
	tooLittleMemory    = "memory"
)

// admit admits a connection, or returns the reason why it is refused. If all connections
// are in use, an idle one is closed to make room, like in nginx: its client connects again
// when it has a request.
func (s *Server) admit(c net.Conn) (client *lane.ClientConn, wait time.Duration, reason string) {
	if s.memory.full() {
		return nil, 0, tooLittleMemory
	}
	addr, known := clientOf(c)
	if known {
		var ok bool
		if wait, ok = s.admission.acquire(addr, time.Now()); !ok {
			return nil, 0, tooManyOfAddress
		}
	}
	release := func() {
		if known {
			s.admission.release(addr)
		}
		s.open.Add(-1)
	}
	if s.open.Add(1) > int64(s.options.MaxConnections) && s.shed(1) == 0 {
		release()
		return nil, 0, tooManyConnections
	}
	s.metrics.ConnectionOpened()
	return lane.NewClientConn(c, s.options.RawSockets, func() {
		release()
		s.metrics.ConnectionClosed()
	}), wait, ""
}

// clientOf returns the address that a connection counts for. ok is false for a unix
// socket.
func clientOf(c net.Conn) (client netip.Prefix, ok bool) {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	return acl.ClientOf(tcp.AddrPort().Addr()), true
}
