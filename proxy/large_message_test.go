package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// A message of TLS may have 16 MiB, and crypto/tls holds up to 256 KiB of one that is not
// complete. No client needs as much.

// beginMessage returns the start of a handshake message, as long as size and not complete, in
// pieces that fit into records.
func beginMessage(kind byte, size int) (pieces []string) {
	rest := string([]byte{kind, 3, 0xff, 0xff}) + strings.Repeat("x", size-4)
	if kind == helloMessage {
		rest = string([]byte{kind, 0, 0xff, 0xff}) + rest[4:] // the limit of crypto/tls is lower
	}
	for len(rest) > 0 {
		n := min(len(rest), 16000)
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	return pieces
}

const (
	helloMessage       = 1
	certificateMessage = 11
)

// noTimeouts makes a server wait for its clients for longer than a test lasts.
func noTimeouts(o *proxy.Options) { o.HandshakeTimeout, o.IdleTimeout = time.Hour, time.Hour }

// ended waits for the end of a connection.
func ended(t *testing.T, what string, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("%s: the proxy still holds it, want the connection ended", what)
	}
}

func TestTheStartOfALargeHandshakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	f := fronttest.Fast.FrontWith(t, "http://127.0.0.1:1", noTimeouts, nil)
	c, err := net.Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, piece := range beginMessage(helloMessage, 20<<10) {
		if _, err := c.Write(append([]byte{proxytest.RecordHandshake, 3, 1, byte(len(piece) >> 8), byte(len(piece))}, piece...)); err != nil {
			break
		}
	}
	ended(t, "a ClientHello of more than 16 KiB", c)
	if n := f.Counter("etcd_tlsproxy_handshake_failures_total", "too_large"); n != 1 {
		t.Errorf("handshakes that failed because they were too large: got %v, want 1", n)
	}
}

func TestALargeMessageBehindTheHandshakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	for proto, first := range beginnings {
		t.Run(proto, func(t *testing.T) {
			fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
				f := l.FrontWith(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }), noTimeouts, func(s *lane.Snapshot, _ *proxytest.PKI) {
					s.Limits.HeaderTimeout = time.Hour
				})
				c, key := dialKeyed(t, f, proto)
				wire := c.NetConn()
				if _, err := wire.Write(key.Record(proxytest.RecordData, first)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAtLeast(c.Conn, make([]byte, 1000), 1); err != nil {
					t.Fatalf("the first answer: %v", err)
				}
				for _, piece := range beginMessage(certificateMessage, 40<<10) {
					if _, err := wire.Write(key.Record(proxytest.RecordHandshake, piece)); err != nil {
						break
					}
				}
				ended(t, "a message of 40 KiB behind the handshake", wire)
			})
		})
	}
}

// TestALongHandshakeIsServed sends a long list of protocols, and then a request in full records.
func TestALongHandshakeIsServed(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "{}")
		}), nil)
		config := f.TLS()
		config.NextProtos = []string{"http/1.1"}
		for range 50 {
			config.NextProtos = append(config.NextProtos, strings.Repeat("x", 250))
		}
		c, err := proxytest.DialRaw(f.Addr, config)
		if err != nil {
			t.Fatalf("a handshake with 12 KiB of protocols: %v", err)
		}
		defer c.Close()
		body := "value=" + strings.Repeat("x", 200<<10)
		if err := c.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("PUT"); err != nil || a.Status != http.StatusOK {
			t.Errorf("a body of %d bytes: got %+v, %v; want status 200", len(body), a, err)
		}
	})
}

// TestHandshakesThatArriveByteByByteMakeRoom takes all places with messages of which a byte
// arrives now and then.
func TestHandshakesThatArriveByteByByteMakeRoom(t *testing.T) {
	t.Parallel()
	const places = 7 // so few have no reserve
	f := fronttest.Fast.FrontWith(t, fronttest.StandIn(t, nil), func(o *proxy.Options) {
		noTimeouts(o)
		o.MaxConnections = places
	}, nil)
	for range places {
		c, err := dialer("127.0.1.1").Dial("tcp", f.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for _, next := range []byte(beginMessage(helloMessage, 10_000)[0]) {
				if _, err := c.Write([]byte{proxytest.RecordHandshake, 3, 1, 0, 1, next}); err != nil {
					return
				}
				<-tick.C
			}
		}()
	}
	fronttest.Eventually(t, "all places are taken", func() bool { return f.Connections() == places })
	c, err := proxytest.DialRaw(f.Addr, f.TLS())
	if err != nil {
		t.Fatalf("a handshake beside those that arrive byte by byte: %v", err)
	}
	c.Close()
}
