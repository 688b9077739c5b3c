//go:build !race

package proxy_test

import (
	"crypto/tls"
	"net"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// quick starts a stand-in that answers without allocating, so that a benchmark counts the
// allocations of the proxy alone.
func quick(b testing.TB) string {
	b.Helper()
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Etcd-Cluster-Id: cdf818194e3a8c32\r\nX-Etcd-Index: 123456\r\n" +
		"X-Raft-Index: 234567\r\nX-Raft-Term: 7\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 20\r\n\r\n{\"action\":\"get\"....}")
	return fronttest.StandInConns(b, func(c net.Conn) {
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
}

// repeater sends the same request many times without allocating.
type repeater struct {
	c    *tls.Conn
	text []byte
	buf  []byte
}

func (a *repeater) repeat() error {
	if _, err := a.c.Write(a.text); err != nil {
		return err
	}
	for { // an answer is small, so it arrives in one record; anything shorter is a ticket
		n, err := a.c.Read(a.buf)
		if err != nil || n > 40 {
			return err
		}
	}
}

func newRepeater(b testing.TB, f *fronttest.Front, text string) *repeater {
	b.Helper()
	c, err := tls.Dial("tcp", f.Addr, &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost", SessionTicketsDisabled: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return &repeater{c: c, text: []byte(text), buf: make([]byte, 32<<10)}
}

var laneRequests = map[string]string{
	"GET": "GET /v2/keys/conftool/v1/a?quorum=true HTTP/1.1\r\nHost: h:4001\r\nUser-Agent: bench\r\n\r\n",
	"PUT": "PUT /v2/keys/conftool/v1/a HTTP/1.1\r\nHost: h:4001\r\nAuthorization: " + fronttest.Basic("conftool") +
		"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1",
}

func BenchmarkLanes(b *testing.B) {
	for _, l := range []fronttest.Lane{fronttest.Fast, fronttest.Standard} {
		for _, method := range []string{"GET", "PUT"} {
			b.Run(string(l)+"/"+method, func(b *testing.B) {
				f := l.FrontWith(b, quick(b), withoutLogs, nil)
				a := newRepeater(b, f, laneRequests[method])
				if err := a.repeat(); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := a.repeat(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestTheFastLaneAllocatesNothing(t *testing.T) {
	f := fronttest.Fast.FrontWith(t, quick(t), withoutLogs, nil)
	for method, text := range laneRequests {
		a := newRepeater(t, f, text)
		var failure error
		n := testing.AllocsPerRun(200, func() {
			if err := a.repeat(); err != nil {
				failure = err
			}
		})
		if failure != nil {
			t.Errorf("%s: %v", method, failure)
		}
		if n > 2 { // crypto/tls allocates once for each record that it reads, at both ends
			t.Errorf("%s: got %v allocations per request, want at most 2", method, n)
		}
	}
}

// BenchmarkStores measures requests to a v3 store, whose etcd is in the same process.
func BenchmarkStores(b *testing.B) {
	for _, l := range []fronttest.Lane{fronttest.Fast, fronttest.Standard} {
		for name, request := range map[string]string{
			"GET":    "GET /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\n\r\n",
			"tree":   "GET /v2/keys/conftool?recursive=true&sorted=true HTTP/1.1\r\nHost: h\r\n\r\n",
			"quorum": "GET /v2/keys/conftool/a?quorum=true HTTP/1.1\r\nHost: h\r\n\r\n",
		} {
			b.Run(string(l)+"/"+name, func(b *testing.B) {
				f := l.FrontWith(b, fronttest.StartStore(b).URL(), withoutLogs, nil)
				f.Put(b, "/conftool/a", "1")
				a := newRepeater(b, f, request)
				if err := a.repeat(); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if err := a.repeat(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
