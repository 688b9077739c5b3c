package proxy

import (
	"context"
	"errors"
	"time"

	"etcd-tlsproxy/proxy/lane"
)

// Drain stops accepting connections, breaks off the watches so that their clients connect
// elsewhere, and waits for all other requests: those under way, and the first requests of
// connections that were accepted already. If ctx ends first, Drain cuts the remaining
// connections. When it returns, every connection is closed.
func (s *Server) Drain(ctx context.Context) error {
	defer s.stopHandshakes()
	s.mu.Lock()
	s.draining = true
	for _, ln := range s.listeners {
		_ = ln.Close() // closing a listener twice is harmless
	}
	s.mu.Unlock()
	s.accepting.Wait()
	s.exchange.Watches.Drain()
	s.conns.StartDrain()
	s.std.StartDrain()
	grace, cancel := context.WithTimeout(ctx, lane.DrainGrace)
	defer cancel()
	defer context.AfterFunc(grace, s.stopHandshakes)()
	s.handshakers.running.Wait()
	err := s.conns.Close(ctx, lane.Fast)
	if err != nil {
		s.conns.Cut(lane.Fast)
	}
	// From now on no connection reaches net/http. Its Shutdown drops the requests that it
	// reads afterwards, so wait for the last connections before calling it.
	_ = s.conns.Wait(grace, lane.Standard)
	err = errors.Join(err, s.std.Shutdown(ctx))
	if watches := s.current.Load().Watches; watches != nil {
		watches.Close()
	}
	return err
}

// Empty starts or stops to make clients leave, so that a load balancer can take the server
// out of service. When it starts, watches are broken off and idle connections are closed.
// Until it stops, every connection ends with its next answer, but new ones are still
// accepted and served. A second start breaks off the watches that came in between.
func (s *Server) Empty(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !on:
		s.emptying = time.Time{}
	case s.emptying.IsZero():
		s.emptying = time.Now().UTC()
	}
	switch {
	case on:
		s.exchange.Watches.EndAll()
		s.conns.StartDrain()
		s.std.StartDrain()
	case !s.draining:
		s.conns.StopDrain()
		s.std.StopDrain()
	}
}

// BreakOffWatches ends all watches, because another API of etcd may have their events.
func (s *Server) BreakOffWatches() { s.exchange.Watches.Moved() }

// Emptying reports whether clients are made to leave; see [Server.Empty].
func (s *Server) Emptying() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.emptying.IsZero()
}

// emptyingSince returns when clients began to be made to leave, or zero if they are not.
func (s *Server) emptyingSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emptying
}
