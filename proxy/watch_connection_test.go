package proxy_test

import (
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestRequestsBehindAWatchAreAnsweredAfterIt(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		const read = "GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"
		for _, pipelined := range []int{1, 5, 100} { // up to more than the buffer of an idle connection holds
			c := f.Dial()
			if err := c.Send(watchRequest + strings.Repeat(read, pipelined)); err != nil {
				t.Fatal(err)
			}
			head, err := c.Head()
			if err != nil {
				t.Fatal(err)
			}
			f.Put(t, "/eventlogging/w", "event")
			if err := c.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, "event") {
				t.Fatalf("reading the event with %d requests behind the watch: got %+v, %v", pipelined, head, err)
			}
			for i := range pipelined {
				if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
					t.Fatalf("reading the answer to request %d of %d: got %+v, %v; want status 200", i, pipelined, a, err)
				}
			}
			c.Close()
		}
	})
}

func TestAUserOrAddressHasAShareOfTheWatches(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxUserWatches = 1 }, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
		})
		secret := func(user string) string {
			return "GET /v2/keys/secret/a?wait=true HTTP/1.1\r\nHost: h\r\nAuthorization: " + fronttest.Basic(user) + "\r\n\r\n"
		}
		startWatch(t, f, secret("alice"))
		startWatch(t, f, secret("root"))
		startWatch(t, f, watchRequest)
		for _, request := range []string{secret("alice"), secret("root"), watchRequest} {
			if a := f.Exchange(request); a.Status != 503 || a.Body != gate.RefuseUserWatches.Body {
				t.Errorf("a second watch: got %d %s, want 503 %s", a.Status, a.Body, gate.RefuseUserWatches.Body)
			}
		}
	})
}

func TestAWatchOutlivesTheIdleTimeoutAndSoDoesItsConnection(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const silence = 50 * time.Millisecond
		e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		f := l.FrontWith(t, e.URL(), idle(silence), nil)
		c, a := startWatch(t, f, watchRequest)
		later := time.AfterFunc(4*silence, func() { f.Put(t, "/eventlogging/w", "late") })
		defer later.Stop()
		if err := c.ReadBody(a, "GET"); err != nil || !strings.Contains(a.Body, "late") {
			t.Fatalf("reading the event after a long wait: got %+v, %v", a, err)
		}
		if err := c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("reading after the watch: got %+v, %v; want status 200", a, err)
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("the idle connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

func TestEventsOfAllSizesReachAllKindsOfWatchers(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		for _, size := range []int{1, 3000, 5000, 20_000, 300_000} {
			value := strings.Repeat("v", size)
			open, openHead := startWatch(t, f, watchRequest)
			last, lastHead := startWatch(t, f, strings.Replace(watchRequest, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			f.Put(t, "/eventlogging/w", value)
			for c, head := range map[*proxytest.Raw]*proxytest.Answer{open: openHead, last: lastHead} {
				if err := c.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"`+value+`"`) {
					t.Errorf("reading an event of %d bytes: got %d bytes, whole %t, %v", size, len(head.Body), head.Whole, err)
				}
			}
			if end := last.End(); end != proxytest.EndedWell {
				t.Errorf("the connection with Connection: close ended with %s, want %s", end, proxytest.EndedWell)
			}
		}
	})
}

func TestAClientThatLeavesIsNoticedWhateverItSentBehindItsWatch(t *testing.T) {
	const l = fronttest.Fast // in the standard lane net/http reads one byte behind a request
	f, _ := l.Embedded(t, nil)
	for _, size := range []int{1, 600, 5000, 50_000} {
		c, _ := startWatch(t, f, watchRequest)
		// The largest does not get through, because the proxy stops reading.
		_ = c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", size))
		c.Close()
		fronttest.Eventually(t, "no watch and no connection is left", func() bool {
			return f.Watches() == 0 && f.Connections() == 0
		})
	}
}

// TestAWatchEndsWithItsClientWhateverItAskedForBehindIt is mainly about the standard lane:
// net/http reads while it answers, but stops at the first byte of the next request.
func TestAWatchEndsWithItsClientWhateverItAskedForBehindIt(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.HeaderTimeout = 200 * time.Millisecond })
		const streams = "GET /v2/keys/eventlogging/w?wait=true&stream=true HTTP/1.1\r\nHost: h\r\n\r\n"
		for _, watch := range []string{watchRequest, streams, strings.Replace(watchRequest, "HTTP/1.1", "HTTP/1.0", 1)} {
			for _, pipelined := range []int{1, 3, 300} {
				c, _ := startWatch(t, f, watch)
				// The largest may not get through.
				_ = c.Send(strings.Repeat("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n", pipelined))
				c.Close()
				fronttest.Eventually(t, "no watch and no connection is left", func() bool {
					return f.Watches() == 0 && f.Connections() == 0
				})
			}
		}
	})
}
