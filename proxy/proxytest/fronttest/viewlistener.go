package fronttest

import (
	"bufio"
	"io"
	"net"
	"sync"
)

// divide carries a connection of gRPC to etcd, and hands over one of HTTP/1.
func divide(c net.Conn, etcd string, to *handed) {
	r := bufio.NewReader(c)
	first, err := r.Peek(4)
	if err != nil {
		c.Close()
		return
	}
	if string(first) != "PRI " {
		to.hand(&peeked{c, r})
		return
	}
	server, err := net.Dial("tcp", etcd)
	if err != nil {
		c.Close()
		return
	}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		_, _ = io.Copy(server, r)
		server.Close()
	})
	_, _ = io.Copy(c, server)
	c.Close()
	carrying.Wait()
}

// peeked is a connection whose first bytes were read.
type peeked struct {
	net.Conn
	r io.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// handed is a listener of connections that another one has accepted.
type handed struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (h *handed) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.done:
		c.Close()
	}
}

// Accept implements [net.Listener].
func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (h *handed) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements [net.Listener].
func (h *handed) Addr() net.Addr { return h.addr }
