package proxy

import (
	"crypto/tls"
	"etcd-tlsproxy/proxy/lane"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

// narrow leaves two connections to etcd for all reads, and one for writes.
func narrow(t *testing.T, endpoint string) func(*lane.Snapshot, *proxytest.PKI) {
	return func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Upstream.Close()
		at, err := upstream.ParseEndpoint(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if s.Upstream, err = upstream.New(upstream.Options{RawSockets: true, Endpoints: []upstream.Endpoint{at}, MaxRequests: 3}); err != nil {
			t.Fatal(err)
		}
		s.Reads = nil
	}
}

// TestClientsThatTakeNothingHoldNoConnectionToEtcd asks for answers over HTTP/2 with a
// window of nothing, and over HTTP/1.1 without reading.
func TestClientsThatTakeNothingHoldNoConnectionToEtcd(t *testing.T) {
	for name, size := range map[string]int{"a small answer": 15_000, "a large answer": 3 << 20} {
		t.Run(name, func(t *testing.T) { takeNothing(t, strings.Repeat("x", size)) })
	}
}

func takeNothing(t *testing.T, answer string) {
	endpoint := standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) })
	f := newFront(t, listen(t), endpoint, narrow(t, endpoint))
	c, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
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
	// :method GET, :scheme https, :path /version, :authority h, by the static table.
	head := append([]byte{0x82, 0x87, 0x04, 8}, "/version\x01\x01h"...)
	for i := range uint32(20) {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		slow := f.raw()
		if err := slow.Send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		if a := f.exchange("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
			t.Fatalf("%+v", a)
		}
	}
}

// TestAnHTTP2ConnectionThatTakesNothingHoldsNoConnectionToEtcd gives all the window there
// is to its answers, but reads nothing at all: what blocks is the connection, not a stream.
func TestAnHTTP2ConnectionThatTakesNothingHoldsNoConnectionToEtcd(t *testing.T) {
	large := strings.Repeat("x", 16<<20)
	asked := make(chan struct{}, 2)
	endpoint := standIn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			asked <- struct{}{}
			_, _ = w.Write([]byte(large))
		}
	})
	f := newFront(t, listen(t), endpoint, func(s *lane.Snapshot, pki *proxytest.PKI) {
		narrow(t, endpoint)(s, pki)
		s.Limits.BodyTimeout = 200 * time.Millisecond
	})
	c, err := tls.Dial("tcp", f.addr, &tls.Config{RootCAs: f.pki.Pool(), ServerName: "localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(c, c)
	const most = 1<<31 - 1
	if err := framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: most}); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteWindowUpdate(0, most-1<<16); err != nil {
		t.Fatal(err)
	}
	head := append([]byte{0x82, 0x87, 0x04, 8}, "/version\x01\x01h"...)
	for i := range uint32(2) {
		if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
	}
	<-asked
	<-asked
	if a := f.exchange("GET /v2/keys HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
		t.Fatalf("%+v", a)
	}
}

func TestAClientThatTakesItsAnswerByteByByteIsCut(t *testing.T) {
	large := strings.Repeat("x", 8<<20)
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(large)) }),
		func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Limits.BodyTimeout = 200 * time.Millisecond
			s.Reads = nil
		})
	c := f.raw()
	if err := c.Send("GET /version HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	eventually(t, "it is cut", func() bool {
		<-tick.C
		_, _ = c.NetConn().Read(make([]byte, 1))
		return f.server.open.Load() == 0
	})
}

func TestAClientThatAsksOnAndOnAndTakesNothingIsCut(t *testing.T) {
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 1000))) }),
		func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 200 * time.Millisecond })
	var sending sync.WaitGroup
	for _, line := range []string{"GET /version", "OPTIONS /version", "PUT /v2/keys/x"} {
		c := f.raw()
		sending.Go(func() {
			for c.Send(strings.Repeat(line+" HTTP/1.1\r\nHost: h\r\n\r\n", 100)) == nil {
			}
		})
	}
	eventually(t, "all are cut", func() bool { return f.server.open.Load() == 0 })
	sending.Wait()
}

func TestAHandshakeThatStopsOrTricklesIsCut(t *testing.T) {
	quick := func(o *Options) { o.HandshakeTimeout = 100 * time.Millisecond }
	f := newPreparedFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {}), quick, nil)
	hello := []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
	for _, trickles := range []bool{false, true} {
		c, err := net.Dial("tcp", f.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		_, _ = c.Write(hello)
		eventually(t, "it is cut", func() bool {
			if trickles {
				<-tick.C
				_, _ = c.Write([]byte{0})
			}
			return f.server.open.Load() == 0
		})
	}
}
