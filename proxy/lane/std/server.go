package std

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
)

// Options describes a server.
type Options struct {
	Exchange *lane.Exchange
	Conns    *lane.Conns
	// MaxHead and BodyTimeout are limits of the first snapshot. net/http cannot change them
	// while it serves.
	MaxHead     int
	BodyTimeout time.Duration
	// Bodies is the memory of large request bodies, in units of [account.LeaseUnit].
	Bodies *account.Pool
	// Streams is the memory of the streams of HTTP/2, in units of [account.LeaseUnit]; see
	// [StreamBytes]. If it is nil, there is no limit.
	Streams *account.Pool
	// IdleTimeout bounds the time that a connection may wait for its next request.
	IdleTimeout time.Duration
}

// Server serves connections whose handshake is done.
type Server struct {
	exchange *lane.Exchange
	conns    *lane.Conns
	bodies   *bodies
	streams  *account.Pool
	http     *http.Server
	queue    *connQueue
}

// NewServer returns a server. Serve must be called for it to serve.
func NewServer(o Options) *Server {
	s := &Server{exchange: o.Exchange, conns: o.Conns, bodies: &bodies{memory: o.Bodies, patience: bodyPatience}, streams: o.Streams, queue: newConnQueue()}
	s.http = &http.Server{
		Handler:        http.HandlerFunc(s.serveHTTP),
		IdleTimeout:    o.IdleTimeout,
		MaxHeaderBytes: o.MaxHead,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			// net/http has a buffer for the largest frame as soon as its head has arrived.
			MaxReadFrameSize:              maxFrame,
			MaxReceiveBufferPerConnection: receiveWindow,
			MaxReceiveBufferPerStream:     receiveWindow,
			// The deadline of a stream cannot end it while the connection is blocked.
			WriteByteTimeout: o.BodyTimeout,
		},
		ErrorLog:    slog.NewLogLogger(o.Exchange.Log.Handler(), slog.LevelDebug),
		ConnContext: withConnection,
		ConnState:   s.connState,
		// OPTIONS * goes through the gate like any other request.
		DisableGeneralOptionsHandler: true,
		Protocols:                    new(http.Protocols),
	}
	// The queue has no TLS connections for net/http: each connection of this lane decrypts
	// what it reads. An http2Conn returns nothing but HTTP/2, and a strictConn nothing but
	// HTTP/1, which net/http recognizes by the state of its TLS.
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
	return s
}

// Serve serves connections until Shutdown.
func (s *Server) Serve() {
	if err := s.http.Serve(s.queue); !errors.Is(err, http.ErrServerClosed) {
		s.exchange.Log.Error("the standard lane stopped", "error", err)
	}
}

// Put serves a connection of HTTP/1. received are bytes that were read from it, which Put
// copies.
func (s *Server) Put(t *tls.Conn, peer *gate.Peer, received []byte) {
	c := newStrictConn(t, peer, s.currentLimits, s.conns.Draining)
	c.buf, c.silent = append(c.buf, received...), len(received) == 0
	s.put(c)
}

// PutHTTP2 serves a connection of HTTP/2.
func (s *Server) PutHTTP2(t *tls.Conn, peer *gate.Peer) {
	s.put(newHTTP2Conn(t, peer, s.conns, s.currentLimits, s.streams))
}

// put registers a connection and hands it to net/http.
func (s *Server) put(c registeredConn) {
	if s.conns.Register(lane.Standard, c, c.connection().peer.Account) && s.queue.put(c) {
		return
	}
	s.conns.Release(lane.Standard, c)
	_ = c.Close()
}

func (s *Server) currentLimits() *lane.Limits { return &s.exchange.Current.Load().Limits }

// StartDrain makes every connection end after its request.
func (s *Server) StartDrain() { s.http.SetKeepAlivesEnabled(false) }

// StopDrain ends the effect of StartDrain.
func (s *Server) StopDrain() { s.http.SetKeepAlivesEnabled(true) }

// Shutdown waits for the requests under way and ends all connections. If ctx ends first,
// it cuts them and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		s.conns.Cut(lane.Standard) // net/http would close one connection after the other
		return errors.Join(err, s.http.Close())
	}
	return nil
}
