package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// NextProtos are the protocols that the lanes serve, for ALPN: curl names HTTP/1.0
// when it is told to use it, and is refused if the server does not.
func NextProtos() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// accept takes connections from ln until it is closed.
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
		if s.open.Add(1) > int64(s.options.Connections) {
			s.open.Add(-1)
			s.metrics.turnedAway.Inc()
			_ = c.Close()
			continue
		}
		s.metrics.connections.Inc()
		counted := &countedConn{Conn: c, closed: func() {
			s.open.Add(-1)
			s.metrics.connections.Dec()
		}}
		if !s.startHandshake() {
			_ = counted.Close()
			continue
		}
		go s.handshake(counted)
	}
}

// startHandshake counts a handshake in, unless the server drains already.
func (s *Server) startHandshake() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.running.Add(1)
	}
	return !s.draining
}

// handshake ends TLS and hands the connection to a lane.
func (s *Server) handshake(c *countedConn) {
	defer s.running.Done()
	t := tls.Server(c, s.tls)
	ctx, cancel := context.WithTimeout(s.handshakes, s.options.HandshakeTimeout)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		s.failedHandshake(c, err)
		_ = c.Close()
		return
	}
	state := t.ConnectionState()
	if state.DidResume {
		s.metrics.handshakes.WithLabelValues("resumed").Inc()
	} else {
		s.metrics.handshakes.WithLabelValues("full").Inc()
	}
	if state.NegotiatedProtocol == "h2" {
		s.queue.put(t) // net/http speaks HTTP/2 only on the TLS connection itself
		return
	}
	peer := peerOf(t)
	if !s.snapshot.Load().FastLane {
		s.queue.put(newStrictConn(t, peer, s.currentLimits))
		return
	}
	lane := newFast(s, t, peer)
	if !s.lanes.enter(lane) {
		_ = t.Close()
		return
	}
	// A goroutine of its own: the stack of a handshake is large.
	go lane.serve()
}

func (s *Server) currentLimits() *Limits { return &s.snapshot.Load().Limits }

func (s *Server) failedHandshake(c net.Conn, err error) {
	result := "failed"
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader):
		result = "plain_http"
		answerPlain(c, refusePlainHTTP)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		result = "timeout"
	}
	s.metrics.handshakes.WithLabelValues(result).Inc()
	// Port scans and impatient clients are no news.
	s.log.Debug("TLS handshake failed", "from", c.RemoteAddr().String(), "error", err)
}

func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		return true
	}
	return false
}

// connQueue is the listener that net/http accepts from: connections whose
// handshake is done.
type connQueue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnQueue() *connQueue {
	return &connQueue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands a connection over, or closes it if nobody takes it any more.
func (q *connQueue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.done:
		_ = c.Close()
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
