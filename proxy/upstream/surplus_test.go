package upstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// whole buffers writes and sends them in one piece when it is flushed.
type whole struct {
	net.Conn
	held bytes.Buffer
	hold bool
}

func (c *whole) Write(p []byte) (int, error) {
	if c.hold {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *whole) flush() {
	c.hold = false
	_, _ = c.held.WriteTo(c.Conn)
}

// surplus answers each path with the path, and /a with one more answer: at once, or when
// now is closed.
type surplus struct {
	tls       *tls.Config
	now, sent chan struct{}
}

func (s *surplus) serve(raw net.Conn) {
	w := &whole{Conn: raw}
	c := net.Conn(w)
	if s.tls != nil {
		c = tls.Server(w, s.tls)
	}
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		w.hold = req.URL.Path == "/a" && s.now == nil
		say := func(body string) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
		say(req.URL.Path)
		if req.URL.Path != "/a" {
			continue
		}
		if s.now != nil {
			<-s.now
		}
		say("/x")
		w.flush()
		if s.sent != nil {
			close(s.sent)
		}
	}
}

func (s *surplus) pool(t *testing.T) *Pool {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	scheme, o := "http://", Options{}
	if s.tls != nil {
		pki, err := proxytest.NewPKI()
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := pki.Server("localhost", "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		s.tls.Certificates = []tls.Certificate{pair}
		scheme, o.TLS = "https://", &tls.Config{RootCAs: pki.Pool()}
	}
	at, err := ParseEndpoint(scheme + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoints = []Endpoint{at}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// read returns the body of the answer to a GET, or "refused" if reading it fails.
func (p *Pool) read(t *testing.T, path string) string {
	t.Helper()
	resp, err := p.Do(context.Background(), &Request{Method: "GET", Target: path})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Close()
	body, err := io.ReadAll(resp)
	if err != nil {
		return "refused"
	}
	return string(body)
}

func TestBytesThatCameBehindAnAnswerAnswerNoLaterRead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := &surplus{now: make(chan struct{}), sent: make(chan struct{})}
		if secure {
			s.tls = &tls.Config{SessionTicketsDisabled: true}
		}
		p := s.pool(t)
		if got := p.read(t, "/a"); got != "/a" {
			t.Fatalf("TLS %v, GET /a: got %q, want /a", secure, got)
		}
		close(s.now)
		<-s.sent
		for _, path := range []string{"/b", "/c"} {
			if got := p.read(t, path); got != path {
				t.Errorf("TLS %v, GET %s: got %q, want %[2]s", secure, path, got)
			}
		}
	}
}

func TestBytesThatCameTogetherWithAnAnswerAnswerNoLaterRead(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := &surplus{}
		want := "refused"
		if secure {
			// crypto/tls returns one record for each read, and buffers the other.
			s.tls, want = &tls.Config{SessionTicketsDisabled: true}, "/a"
		}
		p := s.pool(t)
		if got := p.read(t, "/a"); got != want {
			t.Errorf("TLS %v, GET /a: got %q, want %q", secure, got, want)
		}
		if got := p.read(t, "/b"); got != "/b" {
			t.Errorf("TLS %v, GET /b: got %q, want /b", secure, got)
		}
	}
}
