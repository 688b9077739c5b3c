package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server stands in for an etcd that misbehaves; each test has a script for it.
type server struct {
	t       testing.TB
	ln      net.Listener
	conns   atomic.Int64
	running sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]bool
}

// serve answers each connection with script; nth counts from 1.
func serve(t testing.TB, script func(c *session)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, script)
}

func serveOn(t testing.TB, ln net.Listener, script func(c *session)) *server {
	s := &server{t: t, ln: ln, open: make(map[net.Conn]bool)}
	s.running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			number := s.conns.Add(1)
			s.running.Go(func() {
				defer c.Close()
				script(&session{Conn: c, r: bufio.NewReader(c), number: number})
			})
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *server) stop() {
	s.ln.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *server) endpoint() Endpoint {
	s.t.Helper()
	e, err := ParseEndpoint("http://" + s.ln.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

// session is the server's side of one connection.
type session struct {
	net.Conn
	r      *bufio.Reader
	number int64
}

// request reads one whole request. It returns false at the end of the connection.
func (c *session) request() (*http.Request, bool) {
	r, err := http.ReadRequest(c.r)
	if err != nil {
		return nil, false
	}
	_, err = io.Copy(io.Discard, r.Body)
	return r, err == nil
}

func (c *session) say(s string) { _, _ = io.WriteString(c, s) }

const ok = "HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nContent-Length: 2\r\n\r\nok"

// always answers every request with ok.
func always(c *session) {
	for {
		if _, more := c.request(); !more {
			return
		}
		c.say(ok)
	}
}

func newPool(t testing.TB, o Options, endpoints ...Endpoint) *Pool {
	t.Helper()
	o.RawSockets = true
	o.Endpoints = append(o.Endpoints, endpoints...)
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		for name, n := range map[string]int64{"active": p.count.Active.Load(), "watching": p.count.Watching.Load(), "idle": p.count.Idle.Load()} {
			if n != 0 {
				t.Errorf("after the test: got %d %s connections, want 0", n, name)
			}
		}
	})
	return p
}

// exchange sends a request and reads its answer. kind is -1 if there was no error.
func exchange(t testing.TB, p *Pool, method string) (body string, kind Kind) {
	t.Helper()
	return exchangeWith(t, context.Background(), p, &Request{Method: method, Target: "/v2/keys/a"})
}

func exchangeWith(t testing.TB, ctx context.Context, p *Pool, req *Request) (body string, kind Kind) {
	t.Helper()
	r, err := p.Do(ctx, req)
	if err != nil {
		return "", kindOf(t, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return string(data), kindOf(t, err)
	}
	return string(data), -1
}

func kindOf(t testing.TB, err error) Kind {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("got error %v of type %[1]T, want an *Error", err)
	}
	return failed.Kind
}
