package proxy_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestConnectionsThatLingerMakeRoomForOthers lets clients of two networks have all connections.
// Each has its last answer, does not close its connection, and goes on to send a byte now and then.
func TestConnectionsThatLingerMakeRoomForOthers(t *testing.T) {
	t.Parallel()
	const places = 16
	for what, open := range map[string]func(t *testing.T, f *fronttest.Front, address string) net.Conn{
		"a handshake that failed": func(t *testing.T, f *fronttest.Front, address string) net.Conn {
			c, err := dialer(address).Dial("tcp", f.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return answered(t, c, "GET / HTTP/1.1\r\n\r\n")
		},
		"the last answer": func(t *testing.T, f *fronttest.Front, address string) net.Conn {
			return answered(t, dialFrom(t, f, address, "http/1.1"), "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		},
	} {
		t.Run(what, func(t *testing.T) {
			fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
				f := l.FrontWith(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), func(o *proxy.Options) {
					// A new connection must not wait until the others have lingered for long enough.
					o.MaxConnections, o.HandshakeTimeout = places, 3*time.Second
				}, nil)
				for i := range places {
					address := "127.0.1.1"
					if i >= places-places/8 {
						address = "127.0.2.1"
					}
					go dribble(t, open(t, f, address))
				}
				if !reads(f) {
					t.Errorf("a client of another network, while %d connections linger: got no answer, want one", places)
				}
			})
		})
	}
}

// answered sends a request and waits for the first bytes of its answer.
func answered(t *testing.T, c net.Conn, text string) net.Conn {
	t.Helper()
	_, err := io.WriteString(c, text)
	if err == nil {
		_, err = c.Read(make([]byte, 1000))
	}
	if err != nil {
		t.Fatalf("the last answer of a connection: got the error %v, want an answer", err)
	}
	return c
}

// dribble sends a byte now and then until the connection or the test ends.
func dribble(t *testing.T, c net.Conn) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
		if _, err := io.WriteString(c, "x"); err != nil {
			return
		}
	}
}
