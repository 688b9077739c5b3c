package proxy_test

import (
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"reflect"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// flood opens silent connections from an address of another network than the other clients of
// a test. It returns when all handshakes are done.
func flood(t *testing.T, f *fronttest.Front, n int, protos ...string) (all []*tls.Conn) {
	t.Helper()
	config := f.TLS()
	config.NextProtos = protos
	for range n {
		c, err := tls.DialWithDialer(dialer("127.0.1.1"), "tcp", f.Addr, config)
		if err != nil {
			t.Fatalf("opening connection %d of a flood: %v", len(all), err)
		}
		t.Cleanup(func() { c.Close() })
		all = append(all, c)
	}
	return all
}

// keepReading reads on n connections of another client, one by one, and keeps all of them open.
func keepReading(t *testing.T, f *fronttest.Front, n int) {
	t.Helper()
	for i := range n {
		c, err := proxytest.DialRaw(f.Addr, f.TLS())
		if err != nil {
			t.Fatalf("opening connection %d of another client: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.Send(plainRead); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("reading on connection %d of another client: got %+v, %v; want status 200", i, a, err)
		}
	}
}

// beginnings are what clients send before they are silent: a request, or the preface of
// HTTP/2 with empty settings.
var beginnings = map[string]string{
	"http/1.1": plainRead,
	"h2":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}

func TestAFloodOfSilentConnectionsDoesNotShutOthersOut(t *testing.T) {
	t.Parallel()
	for _, protos := range [][]string{{"http/1.1"}, {"h2"}} {
		t.Run(protos[0], func(t *testing.T) {
			t.Parallel()
			fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
				const places = 16
				f, _ := l.EmbeddedWith(t, mayHave(places), nil)
				// No timeout but that of idle connections, an hour, ends these.
				for i, c := range flood(t, f, places-places/8, protos...) {
					if _, err := io.WriteString(c, beginnings[protos[0]]); err != nil {
						t.Fatalf("using connection %d of a flood: %v", i, err)
					}
					if _, err := io.ReadAtLeast(c, make([]byte, 1000), 1); err != nil {
						t.Fatalf("using connection %d of a flood: %v", i, err)
					}
				}
				keepReading(t, f, places/2) // the share of each of two networks
			})
		})
	}
}

func TestConnectionsThatNeverBeginTheirHandshakeMakeRoom(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const places = 7 // so few have no reserve
		f, _ := l.EmbeddedWith(t, mayHave(places), nil)
		for range places {
			c, err := dialer("127.0.1.1").Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		fronttest.Eventually(t, "all places are taken", func() bool { return f.Connections() == places })
		if !reads(f) {
			t.Error("beside connections without a handshake, another client was not served")
		}
	})
}

// helloOnly is a client's connection that sends the first message of a handshake only.
type helloOnly struct {
	net.Conn
	sent bool
}

func (c *helloOnly) Write(p []byte) (int, error) {
	if c.sent {
		return len(p), nil
	}
	c.sent = true
	return c.Conn.Write(p)
}

func TestHandshakesThatWaitForTheirClientsHoldNoTurn(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, nil, nil)
		for range 100 { // many more than there are processors
			c, err := net.Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			// The server has computed its part when the client's handshake is complete.
			if err := tls.Client(&helloOnly{Conn: c}, f.TLS()).Handshake(); err != nil {
				t.Fatalf("a handshake whose last message is held back: %v", err)
			}
		}
		if !reads(f) {
			t.Error("beside silent handshakes, another client was not served")
		}
	})
}

// TestAHandshakeThatWaitsForItsTurnIsNotCut has a client that does its part at once, and one
// that is silent and is cut meanwhile.
func TestAHandshakeThatWaitsForItsTurnIsNotCut(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.HandshakeTimeout = 3 * time.Second }, nil)
		release := f.Server.HoldTurns(t)
		served := make(chan bool)
		go func() { served <- reads(f) }()
		fronttest.Eventually(t, "a handshake waits for its turn", func() bool { return f.PoolGauge("etcd_tlsproxy_pool_waiting", "handshakes") == 1 })
		// When this one is cut, the time of the other has passed as well.
		silent, err := net.Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		expectClosed(t, "a silent connection", silent)
		release()
		if !<-served {
			t.Error("a handshake that had to wait for its turn failed")
		}
	})
}

func TestWatchesOfAFloodEndForAClientBelowItsShare(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, mayHave(6), nil)
		for i, c := range flood(t, f, 6, "http/1.1") {
			if _, err := c.Write([]byte(watchRequest)); err != nil {
				t.Fatalf("starting watch %d: %v", i, err)
			}
		}
		fronttest.Eventually(t, "the watches run", func() bool { return f.Watches() == 6 })
		// The share of each of two networks is 3.
		keepReading(t, f, 3)
		fronttest.Eventually(t, "3 watches of the flood have ended", func() bool { return f.Watches() <= 3 })
		if got := f.Watches(); got != 3 {
			t.Errorf("got %d watches of the flood left, want its share of 3", got)
		}
	})
}

// TestTheRequestsOfAUserAreChargedToTheUser is about requests at etcd. Strangers at the address of
// the user are another account.
func TestTheRequestsOfAUserAreChargedToTheUser(t *testing.T) {
	for _, proto := range []string{"h1", "h2"} {
		fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
			asked, answer := make(chan struct{}), make(chan struct{})
			endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut {
					asked <- struct{}{}
					<-answer
				}
				_, _ = io.WriteString(w, "{}")
			})
			f := l.Front(t, endpoint, nil)
			client := f.Client(proto)
			var all sync.WaitGroup
			for key, user := range map[string]string{"/a": "root", "/eventlogging/a": ""} {
				all.Go(func() {
					if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys"+key, user, "value=x"); status != 200 {
						t.Errorf("%s: a write of %s by %q: got %d %.200s, want 200", proto, key, user, status, body)
					}
				})
				<-asked
			}
			got := map[string]int64{}
			for _, a := range statusOf(t, f, "requests").Largest {
				got[a.Account] = a.Used
			}
			if want := map[string]int64{"root from 127.0.0.0/24": 1, "127.0.0.1": 1}; !maps.Equal(got, want) {
				t.Errorf("%s: requests at etcd: got %v, want %v", proto, got, want)
			}
			close(answer)
			all.Wait()
		})
	}
}

// statusOf returns a pool on the status page.
func statusOf(t *testing.T, f *fronttest.Front, name string) (found observe.PoolStatus) {
	t.Helper()
	for _, p := range f.Server.Status().Pools {
		if p.Pool == name {
			return p
		}
	}
	t.Fatalf("got no pool of %s on the status page, want one", name)
	return found
}

func TestTheStatusNamesWhoHoldsTheConnections(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, mayHave(80), nil)
		flood(t, f, 5, "http/1.1")
		keepReading(t, f, 2)
		got := statusOf(t, f, "connections")
		want := observe.PoolStatus{Pool: "connections", Total: 80, Reserve: 10, Used: 7, Largest: []observe.PoolHolder{
			{Account: "127.0.1.1", Network: "127.0.1.0/24", Used: 5}, {Account: "127.0.0.1", Network: "127.0.0.0/24", Used: 2},
		}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("the pool of connections on the status page:\n got %+v\nwant %+v", got, want)
		}
		for metric, want := range map[string]float64{"used": 7, "total": 80, "waiting": 0} {
			if got := f.PoolGauge("etcd_tlsproxy_pool_"+metric, "connections"); got != want {
				t.Errorf("etcd_tlsproxy_pool_%s of connections: got %v, want %v", metric, got, want)
			}
		}
	})
}

// TestTheLargestBodyFitsBesideTheReserveOfBodies has bodies of up to 1 MiB. Clients with little
// share the reserve.
func TestTheLargestBodyFitsBesideTheReserveOfBodies(t *testing.T) {
	t.Parallel()
	for memory, reserve := range map[int64]int64{32 << 20: 4 << 20, 1<<20 + 64<<10: 63 << 10, 1 << 20: 0, 512 << 10: 0} {
		f, _ := fronttest.Fast.EmbeddedWith(t, func(o *proxy.Options) { o.MaxBodyMemory = memory }, nil)
		if got := statusOf(t, f, "bodies"); got.Total != memory || got.Reserve != reserve {
			t.Errorf("memory of %d bytes for bodies: got a total of %d and a reserve of %d, want a reserve of %d", memory, got.Total, got.Reserve, reserve)
		}
	}
}
