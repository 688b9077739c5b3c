package proxy_test

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestClientsBehindOneLoadBalancerHaveAccountsOfTheirOwn lets one of them take all that it can.
func TestClientsBehindOneLoadBalancerHaveAccountsOfTheirOwn(t *testing.T) {
	t.Parallel()
	const attacker, victim = "198.51.100.1", "203.0.113.5"
	for _, proto := range []string{"http/1.1", "h2"} {
		fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
			const places = 16
			f, _ := l.EmbeddedWith(t, mayHave(places), behindBalancers)
			for i := range places - places/8 {
				c := passedOn(t, f, fmt.Sprintf("%s:%d", attacker, 1000+i), proto)
				if _, err := io.WriteString(c, beginnings[proto]); err != nil {
					t.Fatalf("using connection %d of the attacker: %v", i, err)
				}
				if _, err := io.ReadAtLeast(c, make([]byte, 1000), 1); err != nil {
					t.Fatalf("using connection %d of the attacker: %v", i, err)
				}
			}
			for i := range places / 2 { // the share of each of two networks
				c := passedOn(t, f, fmt.Sprintf("%s:%d", victim, 1000+i), "http/1.1")
				status := make([]byte, len("HTTP/1.1 200"))
				if _, err := io.WriteString(c, plainRead); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 200" {
					t.Fatalf("%s: reading on connection %d of the victim: got %q, %v; want status 200", proto, i, status, err)
				}
			}
			var holders []string
			for _, held := range statusOf(t, f, "connections").Largest {
				holders = append(holders, held.Account)
			}
			if slices.Sort(holders); !slices.Equal(holders, []string{attacker, victim}) {
				t.Errorf("%s: the holders of connections: got %v, want %s and %s", proto, holders, attacker, victim)
			}
			if got := statusOf(t, f, "headers"); got.Used != 0 || len(got.Largest) != 0 {
				t.Errorf("%s: the pool of headers: got %+v, want nothing held", proto, got)
			}
		})
	}
}

func TestTheLimitsOfAnAddressAreThoseOfTheNamedClient(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxAddressConnections, o.MaxAddressHandshakes = 1, 1 }, behindBalancers)
		for i := range 3 {
			passedOn(t, f, fmt.Sprintf("192.0.2.%d:1234", i+1))
		}
		expectClosed(t, "a second connection of a client", passOn(t, f, "127.0.0.1", naming(t, 2, "192.0.2.3:1235")))
		if got := f.Counter("etcd_tlsproxy_connections_refused_total", "address"); got != 1 {
			t.Errorf("connections that were refused for their address: got %v, want 1", got)
		}
	})
}

func TestFailedLoginsAreCountedForTheNamedClient(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) {
			o.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 1, Every: time.Hour})
		}, behindBalancers)
		// status returns that of a write with a wrong or the right password.
		status := func(client, password string) string {
			c := passedOn(t, f, client, "http/1.1")
			defer c.Close()
			authorization := fronttest.Basic("conftool")
			if password != "" {
				authorization = password
			}
			got := make([]byte, len("HTTP/1.1 200"))
			_, err := fmt.Fprintf(c, "PUT /v2/keys/conftool/a?value=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nAuthorization: %s\r\n\r\n", authorization)
			if err == nil {
				_, err = io.ReadFull(c, got)
			}
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimPrefix(string(got), "HTTP/1.1 ")
		}
		const guesser, other = "198.51.100.1:1234", "203.0.113.5:1234"
		wrong := "Basic Y29uZnRvb2w6d3Jvbmc="
		if got := status(guesser, wrong); got != "401" {
			t.Errorf("a wrong password: got %s, want 401", got)
		}
		if got := status(guesser, wrong); got != "429" {
			t.Errorf("another wrong password: got %s, want 429", got)
		}
		if got := status(other, ""); got != "201" {
			t.Errorf("the right password of another client behind the load balancer: got %s, want 201", got)
		}
	})
}

// TestConnectionsWhoseHeaderIsAwaitedAreBounded lets one balancer send nothing on many
// connections.
func TestConnectionsWhoseHeaderIsAwaitedAreBounded(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const places = 16 // a quarter of the connections
		f, _ := l.EmbeddedWith(t, mayHave(4*places), func(s *lane.Snapshot, pki *proxytest.PKI) {
			behindBalancers(s, pki)
			s.Balancers = append(s.Balancers, netip.MustParsePrefix("127.0.2.0/24"))
			s.Limits.HeaderTimeout = time.Hour
		})
		const most = places - places/8 // the rest is for those who have less
		for range most {
			passOn(t, f, "127.0.2.1", "")
		}
		fronttest.Eventually(t, "all places are taken", func() bool { return awaited(f) == most })
		for range 3 * places { // they wait
			passOn(t, f, "127.0.2.1", "")
		}
		if status, body, _ := fronttest.Do(t, withHeader(f.Client("h1"), naming(t, 1, "192.0.2.7:1234")), "GET", f.URL()+"/v2/keys", "", ""); status != 200 {
			t.Errorf("a client behind another load balancer: got %d %s, want 200", status, body)
		}
		if got := awaited(f); got > places {
			t.Errorf("connections whose header is awaited: got %v, want at most %d", got, places)
		}
		if got := f.Connections(); got > 1 {
			t.Errorf("connections of clients: got %d, want at most 1", got)
		}
		// Another one that waits for its headers as well gets its share.
		for range places / 2 {
			passOn(t, f, "127.0.0.1", "")
		}
		fronttest.Eventually(t, "both load balancers have their shares", func() bool {
			got := map[string]int64{}
			for _, held := range statusOf(t, f, "headers").Largest {
				got[held.Account] = held.Used
			}
			// The last places are for a third one.
			return got["127.0.0.1"] == places/2-places/8 && got["127.0.2.1"] == places/2
		})
		if got := refusedHeaders(f); got != 0 {
			t.Errorf("connections that were refused for their header: got %v, want none, because others needed the places", got)
		}
		if got := f.Log.String(); got != "" {
			t.Errorf("the log: got %q, want nothing", got)
		}
	})
}

func TestMemoryThatIsShortIsRefusedToTheNamedClientAndNotToOthers(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, reach := withMemory(t, l, func(s *proxy.Server) {
			s.KeepIdle()
			next := *s.Snapshot()
			behindBalancers(&next, nil)
			s.Publish(&next)
		})
		const hoarder, other = "198.51.100.1:1234", "203.0.113.5:1234"
		for range 10 {
			passedOn(t, f, hoarder)
		}
		fronttest.Eventually(t, "all connections are open", func() bool { return f.Connections() == 10 })
		reach(95, full)
		passedOn(t, f, other)
		expectClosed(t, "another connection of the client that holds everything", passOn(t, f, "127.0.0.1", naming(t, 2, hoarder)))
		if got := f.Counter("etcd_tlsproxy_connections_refused_total", "memory"); got != 1 {
			t.Errorf("connections that were refused for lack of memory: got %v, want 1", got)
		}
	})
}
