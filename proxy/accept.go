package proxy

import (
	"errors"
	"net"
	"time"
)

// NextProtos are the protocols that the lanes serve, for ALPN. curl names HTTP/1.0
// when it is told to use it, and fails if the server does not.
func NextProtos() []string { return []string{"h2", "http/1.1", "http/1.0"} }

// accept takes connections from ln until it is closed. A connection that was taken is
// served even if the server starts to drain at that moment: its client saw it accepted.
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
			s.log.Warn("cannot accept a connection, trying again", "error", err, "pause", pause)
			time.Sleep(pause)
			continue
		}
		pause = 0
		client, wait, refused := s.admit(c)
		if refused != "" {
			s.metrics.ConnectionRefused(refused)
			_ = c.Close()
			continue
		}
		s.dispatch(pending{client, wait})
	}
}
