package proxy

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// NextProtos are the protocols that the lanes serve, for ALPN: curl names HTTP/1.0
// when it is told to use it, and is refused if the server does not.
func NextProtos() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// accept takes connections from ln until it is closed. What it has taken is served, also
// if the server begins to drain at that moment: the client saw its connection accepted.
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
			// Out of descriptors, most likely: they come back as connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.log.Warn("cannot accept a connection, trying again", "error", err, "pause", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		counted, wait, refused := s.admit(c)
		if refused != "" {
			s.metrics.turnedAway.WithLabelValues(refused).Inc()
			_ = c.Close()
			continue
		}
		s.greet(greeting{counted, wait})
	}
}

// connQueue is the listener that net/http accepts from: connections whose
// handshake is done.
type connQueue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	open  sync.WaitGroup // connections that were put here
}

func newConnQueue() *connQueue {
	return &connQueue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands a connection over, or closes it if nobody takes it any more.
func (q *connQueue) put(c net.Conn) {
	q.open.Add(1)
	select {
	case q.conns <- c:
	case <-q.done:
		q.open.Done()
		_ = c.Close()
	}
}

// state is net/http's hook for the states of connections.
func (q *connQueue) state(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateClosed:
		q.open.Done()
	case http.StateIdle:
		if c, ok := c.(*strictConn); ok {
			_ = c.SetWriteDeadline(time.Time{}) // it was the last answer's
		}
	}
}

// Accept waits for the next connection.
func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and put fail.
func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr is of no use to anyone; the real listeners have the address.
func (q *connQueue) Addr() net.Addr { return &net.TCPAddr{} }
