//go:build !race

package proxy

import (
	"crypto/tls"
	"etcd-tlsproxy/proxy/lane"

	"net"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// quick is an etcd that answers without allocating, so that a benchmark counts
// the proxy.
func quick(b testing.TB) string {
	b.Helper()
	ln := listen(b)
	b.Cleanup(func() { ln.Close() })
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Etcd-Index: 123456\r\n" +
		"X-Raft-Index: 234567\r\nX-Raft-Term: 7\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 20\r\n\r\n{\"action\":\"get\"....}")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				buf := make([]byte, 4096)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}(c)
		}
	}()
	return "http://" + ln.Addr().String()
}

// asker sends one request again and again, without allocating.
type asker struct {
	c    *tls.Conn
	text []byte
	buf  []byte
}

func (a *asker) ask() error {
	if _, err := a.c.Write(a.text); err != nil {
		return err
	}
	for { // the answers are small: each comes in one record
		n, err := a.c.Read(a.buf)
		if err != nil || n > 40 {
			return err
		}
	}
}

func newAsker(b testing.TB, f *front, text string) *asker {
	b.Helper()
	c, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost", SessionTicketsDisabled: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &asker{c: c, text: []byte(text), buf: make([]byte, 32<<10)}
}

var laneRequests = map[string]string{
	"GET": "GET /v2/keys/conftool/v1/a?quorum=true HTTP/1.1\r\nHost: h:4001\r\nUser-Agent: bench\r\n\r\n",
	"PUT": "PUT /v2/keys/conftool/v1/a HTTP/1.1\r\nHost: h:4001\r\nAuthorization: " + basic("conftool") +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1",
}

func BenchmarkLanes(b *testing.B) {
	for _, name := range []string{"fast", "standard"} {
		for _, method := range []string{"GET", "PUT"} {
			b.Run(name+"/"+method, func(b *testing.B) {
				f := withoutAudit(newFront(b, listen(b), quick(b), func(s *lane.Snapshot, _ *proxytest.PKI) { s.FastLane = name == "fast" }))
				a := newAsker(b, f, laneRequests[method])
				if err := a.ask(); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := a.ask(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestTheFastLaneAllocatesNothing(t *testing.T) {
	f := withoutAudit(newFront(t, listen(t), quick(t), func(s *lane.Snapshot, _ *proxytest.PKI) { s.FastLane = true }))
	for method, text := range laneRequests {
		a := newAsker(t, f, text)
		var failed error
		if n := testing.AllocsPerRun(200, func() {
			if err := a.ask(); err != nil {
				failed = err
			}
		}); n > 2 || failed != nil { // crypto/tls makes one for each record it reads, at both ends
			t.Errorf("%s: %v allocations, %v", method, n, failed)
		}
	}
}
