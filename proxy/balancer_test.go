package proxy_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// behindBalancers makes 127.0.0.0/24 a network of load balancers.
func behindBalancers(s *lane.Snapshot, _ *proxytest.PKI) {
	s.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24")}
}

// naming returns a header of a version that names a client.
func naming(t *testing.T, version byte, client string) string {
	t.Helper()
	source := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(client))
	server := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 80), Port: 4001}
	if source.IP.To4() == nil {
		server.IP = net.ParseIP("2001:db8::80")
	}
	text, err := proxyproto.HeaderProxyFromAddrs(version, source, server).Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// passOn connects a load balancer at an address, which sends a header.
func passOn(t *testing.T, f *fronttest.Front, balancer, header string) net.Conn {
	t.Helper()
	c, err := dialer(balancer).Dial("tcp", f.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(fronttest.Patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, header); err != nil {
		t.Fatal(err)
	}
	return c
}

// passedOn connects a client through a load balancer that names it.
func passedOn(t *testing.T, f *fronttest.Front, client string, protocols ...string) *tls.Conn {
	t.Helper()
	config := f.TLS()
	config.NextProtos = protocols
	c := tls.Client(passOn(t, f, "127.0.0.1", naming(t, 2, client)), config)
	if err := c.Handshake(); err != nil {
		t.Fatalf("the handshake of %s: %v", client, err)
	}
	return c
}

// withHeader changes a client of HTTP so that its connections begin with a header.
func withHeader(client *http.Client, header string) *http.Client {
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dialer("127.0.0.1").DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &headed{Conn: c, header: header}, nil
	}
	return client
}

// headed is a connection whose first write also sends a header, as some balancers do.
type headed struct {
	net.Conn
	header string
}

func (c *headed) Write(p []byte) (int, error) {
	n := len(c.header)
	sent, err := c.Conn.Write(append([]byte(c.header), p...))
	c.header = ""
	return max(0, sent-n), err
}

func TestTheClientIsWhomALoadBalancerNames(t *testing.T) {
	t.Parallel()
	local := "PROXY UNKNOWN\r\n"
	localBinary := string(proxyproto.SIGV2) + "\x20\x00\x00\x00"
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, behindBalancers)
		for header, want := range map[string]string{
			naming(t, 1, "192.0.2.7:1234"):     "192.0.2.7:1234",
			naming(t, 2, "192.0.2.7:1234"):     "192.0.2.7:1234",
			naming(t, 1, "[2001:db8::7]:1234"): "[2001:db8::7]:1234",
			naming(t, 2, "[2001:db8::7]:1234"): "[2001:db8::7]:1234",
			local:                              "127.0.0.1:",
			localBinary:                        "127.0.0.1:",
		} {
			host, _, err := net.SplitHostPort(want)
			if err != nil {
				t.Fatal(err)
			}
			for _, proto := range []string{"h1", "h2"} {
				f.Access.Clear()
				f.Audit.Clear()
				client := withHeader(f.Client(proto), header)
				if status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/eventlogging/a", "", "value=1"); status >= 300 {
					t.Fatalf("%s, %q: a write: got %d %s, want 200 or 201", proto, header, status, body)
				}
				fronttest.Eventually(t, "the write is logged", func() bool { return f.Access.Lines() == 1 && f.Audit.Lines() == 1 })
				if line := f.Access.String(); !strings.HasPrefix(line, host+" - ") {
					t.Errorf("%s, %q: the access log: got %q, want the address %s first", proto, header, line, host)
				}
				if line := f.Audit.String(); !strings.Contains(line, `"from":"`+want) {
					t.Errorf("%s, %q: the audit log: got %q, want the address %s", proto, header, line, want)
				}
				client.CloseIdleConnections()
			}
		}
	})
}

// expectClosed reads from a connection and fails the test if the server answers.
func expectClosed(t *testing.T, what string, c net.Conn) {
	t.Helper()
	data, err := io.ReadAll(c)
	if len(data) > 0 || os.IsTimeout(err) {
		t.Errorf("%s: got %q, %v; want no byte, and the end", what, data, err)
	}
}

// refusedHeaders returns the number of connections that were refused for their header.
func refusedHeaders(f *fronttest.Front) float64 {
	return f.Counter("etcd_tlsproxy_connections_refused_total", "proxy_header")
}

func TestALoadBalancerThatNamesNobodyIsRefused(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, nil), behindBalancers)
		c := passOn(t, f, "127.0.0.1", "")
		if err := tls.Client(c, f.TLS()).Handshake(); err == nil {
			t.Error("a handshake without a header succeeded")
		}
		sent := float64(1)
		for _, header := range []string{
			plainRead,
			"PROXY TCP4 192.0.2.7 192.0.2.80 1234\r\n",
			"PROXY UNKNOWN " + strings.Repeat("x", 1000),
			string(proxyproto.SIGV2) + "\x21\x11\xff\xff",                            // longer than any header may be
			string(proxyproto.SIGV2) + "\x21\x31\x00\xd8" + strings.Repeat("x", 216), // a Unix socket
			string(proxyproto.SIGV2) + "\x21\x00\x00\x00",                            // of no family
		} {
			expectClosed(t, header, passOn(t, f, "127.0.0.1", header))
			sent++
		}
		for range 100 {
			expectClosed(t, "no header again", passOn(t, f, "127.0.0.1", plainRead))
			sent++
		}
		if got := refusedHeaders(f); got != sent {
			t.Errorf("connections that were refused for their header: got %v, want %v", got, sent)
		}
		if got := f.Log.String(); f.Log.Lines() > 20 || !strings.Contains(got, "a load balancer does not say who its client is") || !strings.Contains(got, "from=127.0.0.1") {
			t.Errorf("the log of %v such connections: got %d lines, want few that name 127.0.0.1:\n%s", sent, f.Log.Lines(), got)
		}
		if f.Connections() != 0 {
			t.Errorf("got %d open connections, want none", f.Connections())
		}
	})
}

func TestACheckOfThePortIsNoFailureOfALoadBalancer(t *testing.T) {
	t.Parallel()
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, nil), behindBalancers)
	for i, check := range []func(*net.TCPConn) error{
		func(c *net.TCPConn) error { return nil },
		func(c *net.TCPConn) error { return c.SetLinger(0) }, // ends with a reset
	} {
		c := passOn(t, f, "127.0.0.1", "").(*net.TCPConn)
		if err := check(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
		fronttest.Eventually(t, "the check is counted", func() bool { return refusedHeaders(f) == float64(i+1) })
	}
	if got := f.Log.String(); got != "" {
		t.Errorf("the log: got %q, want nothing", got)
	}
}

func TestAHeaderThatStopsOrTricklesIsCut(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, nil), func(s *lane.Snapshot, pki *proxytest.PKI) {
			behindBalancers(s, pki)
			s.Limits.HeaderTimeout = 100 * time.Millisecond
		})
		header := naming(t, 2, "192.0.2.7:1234")
		cut := float64(0)
		for _, n := range []int{0, 1, 15, len(header) - 1} {
			expectClosed(t, "a part of a header", passOn(t, f, "127.0.0.1", header[:n]))
			cut++
		}
		c := passOn(t, f, "127.0.0.1", "PROXY UNKNOWN ")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		fronttest.Eventually(t, "a header that trickles is cut", func() bool {
			<-tick.C
			_, _ = io.WriteString(c, "x")
			return refusedHeaders(f) == cut+1
		})
	})
}

func TestAHeaderFromElsewhereIsNoTLS(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, nil), behindBalancers)
		for _, header := range []string{naming(t, 1, "192.0.2.7:1234"), naming(t, 2, "192.0.2.7:1234")} {
			before := f.Counter("etcd_tlsproxy_handshake_failures_total", "no_tls")
			c := passOn(t, f, "127.0.1.1", header)
			expectClosed(t, header, c)
			if got := f.Counter("etcd_tlsproxy_handshake_failures_total", "no_tls"); got != before+1 {
				t.Errorf("%q: handshakes without TLS: got %v, want %v", header, got, before+1)
			}
		}
		if got := refusedHeaders(f); got != 0 {
			t.Errorf("connections that were refused for their header: got %v, want none", got)
		}
	})
}

func TestAConnectionWithoutItsHeaderEndsWithTheServer(t *testing.T) {
	t.Parallel()
	f := fronttest.Fast.Front(t, fronttest.StandIn(t, nil), func(s *lane.Snapshot, pki *proxytest.PKI) {
		behindBalancers(s, pki)
		s.Limits.HeaderTimeout = time.Hour
	})
	c := passOn(t, f, "127.0.0.1", "PROXY")
	fronttest.Eventually(t, "its header is awaited", func() bool { return awaited(f) == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
	defer cancel()
	if err := f.Server.Drain(ctx); err != nil {
		t.Errorf("draining: %v", err)
	}
	expectClosed(t, "a part of a header", c)
	if got := refusedHeaders(f); got != 0 {
		t.Errorf("connections that were refused for their header: got %v, want none", got)
	}
}

// awaited returns the number of connections whose header is awaited.
func awaited(f *fronttest.Front) float64 { return f.PoolGauge("etcd_tlsproxy_pool_used", "headers") }

func TestLoadBalancersAreThoseOfTheSnapshotInForce(t *testing.T) {
	t.Parallel()
	f, _ := fronttest.Fast.Embedded(t, nil)
	if !reads(f) {
		t.Fatal("a client was not served")
	}
	next := *f.Server.Snapshot()
	behindBalancers(&next, f.PKI)
	f.Server.Publish(&next)
	if reads(f) {
		t.Error("a client without a header was served")
	}
	if status, body, _ := fronttest.Do(t, withHeader(f.Client("h1"), naming(t, 1, "192.0.2.7:1234")), "GET", f.URL()+"/v2/keys", "", ""); status != 200 {
		t.Errorf("a client with a header: got %d %s, want 200", status, body)
	}
}
