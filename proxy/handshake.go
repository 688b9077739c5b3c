package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// handshake waits until the connection is admitted, learns from a load balancer whose it is, does
// the TLS handshake, and hands the connection to a lane.
func (s *Server) handshake(p pending) {
	c := p.conn
	if !s.admit(p) || p.place.pool == s.headers && !s.identify(p) {
		return
	}
	wait, ok := s.rate.reserve(addressOf(c).Addr(), time.Now())
	if !ok {
		s.refuse(c, tooManyOfAddress)
		return
	}
	st := s.start(p)
	if !st.pause(max(wait, p.place.account.Pause())) {
		st.leave()
		_ = c.Close()
		return
	}
	c.Bound(&s.bounds, p.place.account)
	t := tls.Server(c, s.tls)
	err := st.within(s.options.HandshakeTimeout, func() error {
		// Often a handshake ends with bytes of the client that are not answered. A client
		// with Nagle's algorithm does not send its request before they are acknowledged.
		c.AckAtOnce(true)
		defer c.AckAtOnce(false)
		c.TakeTurns(st, s.maxFlight())
		return t.Handshake()
	})
	if err != nil {
		s.handshakeFailed(c, err)
		st.leave()
		_ = c.Close()
		return
	}
	state := t.ConnectionState()
	if state.DidResume {
		s.metrics.Handshake("resumed")
	} else {
		s.metrics.Handshake("full")
	}
	switch peer := peerOf(t, p.place); {
	case state.NegotiatedProtocol == "h2":
		s.std.PutHTTP2(t, peer)
	case s.current.Load().FastLane:
		s.fast.Start(t, peer)
	default:
		s.std.Put(t, peer, nil)
	}
}

// The most bytes that a client may send in a handshake before it needs an answer. Certificates
// are in the answer to the server, and in session tickets as well.
const (
	maxFlight            = 16 << 10
	maxFlightCertificate = 32 << 10
)

func (s *Server) maxFlight() int {
	if s.current.Load().Certs.HasClientCA() {
		return maxFlightCertificate
	}
	return maxFlight
}

// peerOf returns the client of a TLS connection whose handshake is done.
func peerOf(t *tls.Conn, p *place) *gate.Peer {
	peer := gate.NewPeer(addressOf(t), t.ConnectionState().PeerCertificates)
	peer.Account, peer.Users = p.account, p.users
	return peer
}

func (s *Server) handshakeFailed(c net.Conn, err error) {
	result, reason := "failed", handshakeFailure(err)
	switch reason {
	case "plain_http":
		result = reason
		_ = c.SetDeadline(time.Now().Add(lane.LingerTimeout))
		_, _ = io.WriteString(c, plainAnswer(gate.RefusePlainHTTP))
	case "timeout":
		result = reason
	}
	s.metrics.Handshake(result)
	s.metrics.HandshakeFailed(reason)
	// Port scans and impatient clients are too frequent for a higher level.
	s.log.Debug("TLS handshake failed", "from", c.RemoteAddr().String(), "reason", reason, "error", err)
	if result != "timeout" {
		// In TLS 1.3 a client sends its request behind its certificate. It must be able to
		// read the alert nevertheless.
		defer context.AfterFunc(s.handshakers.ctx, func() { _ = c.Close() })()
		lane.Linger(c)
	}
}

func looksLikeHTTP(head [5]byte) bool {
	switch string(head[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET":
		return true
	}
	return false
}

// plainAnswer returns the answer to a client that does not speak TLS.
func plainAnswer(refusal *gate.Refusal) string {
	answer := "HTTP/1.1 " + strconv.Itoa(refusal.Status) + " " + http.StatusText(refusal.Status) + "\r\n"
	refusal.Header(func(name, value string) { answer += name + ": " + value + "\r\n" })
	return answer + "\r\n" + refusal.Body
}

// handshakeFailure returns why a handshake failed, from the closed set of the metric.
func handshakeFailure(err error) string {
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		if record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			return "plain_http"
		}
		return "no_tls"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "expired_certificate"
		}
		return "untrusted_certificate"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "untrusted_certificate"
	}
	// The client ended the handshake with an alert, for example because it does not trust
	// this server's certificate.
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return "rejected_by_client"
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "draining"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout"
	case errors.Is(err, lane.ErrTooLarge):
		return "too_large"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "client_gone"
	}
	// crypto/tls has no types for these; a test holds their texts.
	for text, reason := range map[string]string{
		"unsupported versions": "version", "no cipher suite": "cipher", "didn't provide a certificate": "no_certificate",
	} {
		if strings.Contains(err.Error(), text) {
			return reason
		}
	}
	return "other"
}
