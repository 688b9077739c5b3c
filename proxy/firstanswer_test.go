package proxy_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// attempts is how often each kind of handshake is done. The test looks at the connection when
// the proxy has counted the handshake. A busy machine can deliver an acknowledgment later than
// that, or be so slow that even a delayed one has arrived, but not each time.
const attempts = 20

// TestTheEndOfAHandshakeIsAcknowledgedAtOnce: a client that leaves Nagle's algorithm on does
// not send its request before its last flight is acknowledged, and the kernel delays that for
// 40 ms.
func TestTheEndOfAHandshakeIsAcknowledgedAtOnce(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		for what, change := range map[string]func(*tls.Config){
			"a full handshake of TLS 1.3":    func(c *tls.Config) { c.ClientSessionCache = nil },
			"a resumed handshake of TLS 1.3": func(*tls.Config) {},
			"a resumed handshake of TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
			"a resumed handshake of HTTP/2":  func(c *tls.Config) { c.NextProtos = []string{"h2"} },
		} {
			config := f.TLS()
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			change(config)
			if config.ClientSessionCache != nil {
				c, err := proxytest.DialRaw(f.Addr, config)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Send(lastRequest); err != nil { // the tickets arrive before its answer
					t.Fatal(err)
				}
				c.End()
				c.Close()
			}
			acked := 0
			for range attempts {
				if ackedAtOnce(t, f, config) {
					acked++
				}
			}
			if acked < attempts/2 {
				t.Errorf("%s: got the client's last flight acknowledged at once %d times in %d, want each time", what, acked, attempts)
			}
		}
	})
}

// ackedAtOnce does a handshake, and reports whether the client's last flight was acknowledged
// when the proxy had counted the handshake.
func ackedAtOnce(t *testing.T, f *fronttest.Front, config *tls.Config) bool {
	t.Helper()
	wire, err := net.Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	_ = wire.SetDeadline(time.Now().Add(fronttest.Patience))
	const handshakes = "etcd_tlsproxy_handshakes_total"
	kind := map[bool]string{false: "full", true: "resumed"}[config.ClientSessionCache != nil]
	counted := f.Counter(handshakes, kind)
	c := tls.Client(wire, config)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	fronttest.Eventually(t, "the handshake is counted as "+kind, func() bool { return f.Counter(handshakes, kind) > counted })
	return unacked(t, wire) == 0
}

// unacked returns the number of packets that the peer has not acknowledged.
func unacked(t *testing.T, c net.Conn) uint32 {
	t.Helper()
	socket, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	if controlErr := socket.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); controlErr != nil || err != nil {
		t.Fatalf("reading the state of a socket: %v, %v", controlErr, err)
	}
	return info.Unacked
}
