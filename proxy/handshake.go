package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// greeting is a connection whose handshake is to be done, after it has waited for its turn.
type greeting struct {
	conn *countedConn
	wait time.Duration
}

// crew is the goroutines that do handshakes. A handshake needs a large stack, which grows
// step by step; one that has it waits a while for the next connection.
type crew struct {
	next    chan greeting // for one that waits
	waiting atomic.Int64
}

const (
	mostWaiting = 32
	stay        = time.Second
)

// greet lets somebody do the handshake.
func (s *Server) greet(g greeting) {
	s.running.Add(1)
	select {
	case s.crew.next <- g:
	default:
		go func() {
			for again := true; again; g, again = s.crew.await(s.handshakes) {
				s.handshake(g)
				g = greeting{} // nobody needs it while the next one is waited for
			}
		}()
	}
}

// await waits for the next one, if not enough others do.
func (c *crew) await(ctx context.Context) (g greeting, ok bool) {
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > mostWaiting {
		return greeting{}, false
	}
	enough := time.NewTimer(stay)
	defer enough.Stop()
	select {
	case g := <-c.next:
		return g, true
	case <-enough.C:
	case <-ctx.Done():
	}
	return greeting{}, false
}

// handshake ends TLS and hands the connection to a lane, after it has waited for its turn.
func (s *Server) handshake(g greeting) {
	defer s.running.Done()
	c := g.conn
	if g.wait > 0 {
		select {
		case <-time.After(g.wait):
		case <-s.handshakes.Done():
			_ = c.Close()
			return
		}
	}
	t := tls.Server(c, s.tls)
	// A context for the handshake alone would take a goroutine to watch it.
	err := c.SetDeadline(time.Now().Add(s.options.HandshakeTimeout))
	goOn := context.AfterFunc(s.handshakes, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if err == nil {
		err = t.Handshake()
	}
	if !goOn() {
		err = s.handshakes.Err()
	}
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err != nil {
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

func (s *Server) failedHandshake(c net.Conn, err error) {
	result := "failed"
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader):
		result = "plain_http"
		answerPlain(c, refusePlainHTTP)
	case errors.Is(err, os.ErrDeadlineExceeded):
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
