package proxy_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// narrow replaces the pool by one with two connections to etcd for reads and one for writes.
func narrow(t *testing.T, endpoint string) func(*lane.Snapshot, *proxytest.PKI) {
	return func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Upstream.Close()
		s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: 3}, endpoint)
		s.Reads = nil
	}
}

// TestClientsThatTakeNothingHoldNoConnectionToEtcd requests answers over HTTP/2
// with an empty window, and over HTTP/1.1 without reading.
func TestClientsThatTakeNothingHoldNoConnectionToEtcd(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		for name, size := range map[string]int{"a small answer": 15_000, "a large answer": 3 << 20} {
			t.Run(name, func(t *testing.T) { refuseToRead(t, l, strings.Repeat("x", size)) })
		}
	})
}

func refuseToRead(t *testing.T, l fronttest.Lane, answer string) {
	endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	f := l.Front(t, endpoint, narrow(t, endpoint))
	c, err := tls.Dial("tcp", f.Addr, &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
		t.Fatal(err)
	}
	// :method GET, :scheme https, :path /version, :authority h, in the static table's terms.
	head := append([]byte{0x82, 0x87, 0x04, 8}, "/version\x01\x01h"...)
	for i := range uint32(20) {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		slow := f.Dial()
		if err := slow.Send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		if a := f.Exchange("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
			t.Fatalf("reading beside clients that do not read: got %+v, want status 200", a)
		}
	}
}

// TestAnHTTP2ConnectionThatTakesNothingHoldsNoConnectionToEtcd opens the largest
// window but does not read, so that the connection blocks and not a stream.
func TestAnHTTP2ConnectionThatTakesNothingHoldsNoConnectionToEtcd(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		large := strings.Repeat("x", 16<<20)
		received := make(chan struct{}, 2)
		endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/version" {
				received <- struct{}{}
				_, _ = w.Write([]byte(large))
			}
		})
		f := l.Front(t, endpoint, func(s *lane.Snapshot, pki *proxytest.PKI) {
			narrow(t, endpoint)(s, pki)
			s.Limits.BodyTimeout = 200 * time.Millisecond
		})
		c, err := tls.Dial("tcp", f.Addr, &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
			t.Fatal(err)
		}
		framer := http2.NewFramer(c, c)
		const maxWindow = 1<<31 - 1
		if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow}); err != nil {
			t.Fatal(err)
		}
		if err := framer.WriteWindowUpdate(0, maxWindow-1<<16); err != nil {
			t.Fatal(err)
		}
		head := append([]byte{0x82, 0x87, 0x04, 8}, "/version\x01\x01h"...)
		for i := range uint32(2) {
			if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
				t.Fatal(err)
			}
		}
		<-received
		<-received
		if a := f.Exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
			t.Fatalf("reading beside clients that do not read: got %+v, want status 200", a)
		}
	})
}

func TestAClientThatTakesItsAnswerByteByByteIsCut(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		large := strings.Repeat("x", 8<<20)
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(large)) }),
			func(s *lane.Snapshot, _ *proxytest.PKI) {
				s.Limits.BodyTimeout = 200 * time.Millisecond
				s.Reads = nil
			})
		c := f.Dial()
		if err := c.Send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		fronttest.Eventually(t, "the connection is closed", func() bool {
			<-tick.C
			_, _ = c.NetConn().Read(make([]byte, 1))
			return f.Connections() == 0
		})
	})
}

func TestAClientThatAsksOnAndOnAndTakesNothingIsCut(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 1000))) }),
			func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 200 * time.Millisecond })
		var sending sync.WaitGroup
		for _, line := range []string{"GET /version", "OPTIONS /version", "PUT /v2/keys/x"} {
			c := f.Dial()
			sending.Go(func() {
				for c.Send(strings.Repeat(line+" HTTP/1.1\r\nHost: h\r\n\r\n", 100)) == nil {
				}
			})
		}
		fronttest.Eventually(t, "all connections are closed", func() bool { return f.Connections() == 0 })
		sending.Wait()
	})
}

func TestAHandshakeThatStopsOrTricklesIsCut(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		quick := func(o *proxy.Options) { o.HandshakeTimeout = 100 * time.Millisecond }
		f := l.FrontWith(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}), quick, nil)
		hello := []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		for _, trickles := range []bool{false, true} {
			c, err := net.Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			_, _ = c.Write(hello)
			fronttest.Eventually(t, "the connection is closed", func() bool {
				if trickles {
					<-tick.C
					_, _ = c.Write([]byte{0})
				}
				return f.Connections() == 0
			})
		}
	})
}
