package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// pending is a connection whose handshake is due after a wait.
type pending struct {
	conn *lane.ClientConn
	wait time.Duration
}

// handshakers are the goroutines that do handshakes. A handshake needs a large stack, which
// grows step by step, so a goroutine that has one waits a while for its next connection.
type handshakers struct {
	next chan pending // for an idle worker
	idle atomic.Int64
}

const (
	maxIdleWorkers = 32
	workerIdle     = time.Second
)

// dispatch hands the connection to an idle handshake worker, or starts one.
func (s *Server) dispatch(p pending) {
	s.running.Add(1)
	select {
	case s.handshakers.next <- p:
	default:
		go func() {
			for again := true; again; p, again = s.handshakers.wait(s.handshakes) {
				s.handshake(p)
				p = pending{} // so that a waiting worker keeps no connection in memory
			}
		}()
	}
}

// wait waits for the next connection. ok is false if enough other workers wait, or none
// arrives for a while.
func (hs *handshakers) wait(ctx context.Context) (p pending, ok bool) {
	defer hs.idle.Add(-1)
	if hs.idle.Add(1) > maxIdleWorkers {
		return pending{}, false
	}
	expired := time.NewTimer(workerIdle)
	defer expired.Stop()
	select {
	case p := <-hs.next:
		return p, true
	case <-expired.C:
	case <-ctx.Done():
	}
	return pending{}, false
}

// handshake waits for the connection's turn, does the TLS handshake, and hands the
// connection to a lane.
func (s *Server) handshake(p pending) {
	defer s.running.Done()
	c := p.conn
	if p.wait > 0 {
		select {
		case <-time.After(p.wait):
		case <-s.handshakes.Done():
			_ = c.Close()
			return
		}
	}
	t := tls.Server(c, s.tls)
	// A context for each handshake would need a goroutine that watches it.
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
		s.handshakeFailed(c, err)
		_ = c.Close()
		return
	}
	state := t.ConnectionState()
	if state.DidResume {
		s.metrics.Handshake("resumed")
	} else {
		s.metrics.Handshake("full")
	}
	switch peer := peerOf(t); {
	case state.NegotiatedProtocol == "h2":
		s.std.PutHTTP2(t, peer)
	case s.current.Load().FastLane:
		s.fast.Start(t, peer)
	default:
		s.std.Put(t, peer, nil)
	}
}

// peerOf returns the client of a TLS connection whose handshake is done.
func peerOf(t *tls.Conn) *gate.Peer {
	addr, err := netip.ParseAddrPort(t.RemoteAddr().String())
	if err != nil {
		addr = netip.AddrPort{} // a unix socket has no address to log or to throttle by
	}
	return gate.NewPeer(addr, t.ConnectionState().PeerCertificates)
}

func (s *Server) handshakeFailed(c net.Conn, err error) {
	result := "failed"
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader):
		result = "plain_http"
		answerPlain(c, gate.RefusePlainHTTP)
	case errors.Is(err, os.ErrDeadlineExceeded):
		result = "timeout"
	}
	s.metrics.Handshake(result)
	// Port scans and impatient clients are too frequent for a higher level.
	s.log.Debug("TLS handshake failed", "from", c.RemoteAddr().String(), "error", err)
}

func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		return true
	}
	return false
}

// answerPlain answers a client that does not speak TLS.
func answerPlain(c net.Conn, refusal *gate.Refusal) {
	_ = c.SetDeadline(time.Now().Add(lane.LingerTimeout))
	answer := "HTTP/1.1 " + strconv.Itoa(refusal.Status) + " " + http.StatusText(refusal.Status) + "\r\n"
	refusal.Header(func(name, value string) { answer += name + ": " + value + "\r\n" })
	if _, err := io.WriteString(c, answer+"\r\n"+refusal.Body); err == nil {
		lane.Linger(c)
	}
}
