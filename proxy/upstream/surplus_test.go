package upstream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
)

func TestBytesThatCameBehindAnAnswerAnswerNoLaterRead(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	now, sent := make(chan struct{}), make(chan struct{})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"+req.URL.Path)
					if req.URL.Path == "/a" {
						<-now
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/x")
						close(sent)
					}
				}
			}()
		}
	}()
	at, _ := ParseEndpoint("http://" + ln.Addr().String())
	p, err := New(Options{Endpoints: []Endpoint{at}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, path := range []string{"/a", "/b"} {
		resp, err := p.Do(context.Background(), &Request{Method: "GET", Target: path})
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, 10)
		n, _ := resp.Read(body)
		_, _ = resp.Read(body[n:])
		resp.Close()
		if string(body[:n]) != path {
			t.Errorf("%s is answered with %q", path, body[:n])
		}
		if path == "/a" {
			close(now)
			<-sent
		}
	}
}
