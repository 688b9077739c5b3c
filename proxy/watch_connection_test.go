package proxy

import (
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/proxytest"
)

func TestRequestsBehindAWatchAreAnsweredAfterIt(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	const read = "GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, behind := range []int{1, 5, 100} { // with the watch, and more than a silent connection has room for
		c := f.raw()
		if err := c.Send(watchRequest + strings.Repeat(read, behind)); err != nil {
			t.Fatal(err)
		}
		head, err := c.Head()
		if err != nil {
			t.Fatal(err)
		}
		put(t, f, "/eventlogging/w", "event")
		if err := c.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, "event") {
			t.Fatalf("%d behind: %+v, %v", behind, head, err)
		}
		for i := range behind {
			if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
				t.Fatalf("request %d of %d: %+v, %v", i, behind, a, err)
			}
		}
		c.Close()
	}
}

func TestAUserOrAddressHasAShareOfTheWatches(t *testing.T) {
	f, _ := newPreparedEmbedded(t, func(o *Options) { o.MaxUserWatches = 1 }, func(s *lane.Snapshot, _ *proxytest.PKI) {
		s.Rules = seedRules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
	})
	secret := func(user string) string {
		return "GET /v2/keys/secret/a?wait=true HTTP/1.1\r\nHost: h\r\nAuthorization: " + basic(user) + "\r\n\r\n"
	}
	startWatch(t, f, secret("alice"))
	startWatch(t, f, secret("root"))
	startWatch(t, f, watchRequest)
	for _, request := range []string{secret("alice"), secret("root"), watchRequest} {
		if a := f.exchange(request); a.Status != 503 || a.Body != gate.RefuseUserWatches.Body {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func TestAWatchOutlivesTheIdleTimeoutAndSoDoesItsConnection(t *testing.T) {
	const silence = 50 * time.Millisecond
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	f := newPreparedFront(t, listen(t), e.URL(), idle(silence), nil)
	c, a := startWatch(t, f, watchRequest)
	later := time.AfterFunc(4*silence, func() { put(t, f, "/eventlogging/w", "late") })
	defer later.Stop()
	if err := c.ReadBody(a, "GET"); err != nil || !strings.Contains(a.Body, "late") {
		t.Fatalf("%+v, %v", a, err)
	}
	if err := c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
		t.Errorf("after the watch: %+v, %v", a, err)
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("an idle connection ended with %s", end)
	}
}

func TestEventsOfAllSizesReachAllKindsOfWatchers(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	for _, size := range []int{1, 3000, 5000, 20_000, 300_000} {
		value := strings.Repeat("v", size)
		open, openHead := startWatch(t, f, watchRequest)
		last, lastHead := startWatch(t, f, strings.Replace(watchRequest, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
		put(t, f, "/eventlogging/w", value)
		for c, head := range map[*proxytest.Raw]*proxytest.Answer{open: openHead, last: lastHead} {
			if err := c.ReadBody(head, "GET"); err != nil || !head.Whole || !strings.Contains(head.Body, `"`+value+`"`) {
				t.Errorf("%d bytes: %d came, whole %t, %v", size, len(head.Body), head.Whole, err)
			}
		}
		if end := last.End(); end != proxytest.EndedWell {
			t.Errorf("the connection that was to be closed: %s", end)
		}
	}
}

func TestAClientThatLeavesIsNoticedWhateverItSentBehindItsWatch(t *testing.T) {
	onlyFast(t, "net/http reads one byte behind a request")
	f, _ := newEmbedded(t, nil)
	for _, behind := range []int{1, 600, 5000, 50_000} {
		c, _ := startWatch(t, f, watchRequest)
		// The largest does not get through: it is more than anyone sends behind a watch.
		_ = c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", behind))
		c.Close()
		eventually(t, "nothing is left", func() bool {
			return f.server.exchange.Watches.Count() == 0 && f.server.open.Load() == 0
		})
	}
}

// TestAWatchEndsWithItsClientWhateverItAskedForBehindIt is for those of the standard lane:
// net/http reads on while it answers, but no more once it has seen a byte of the next
// request.
func TestAWatchEndsWithItsClientWhateverItAskedForBehindIt(t *testing.T) {
	f, _ := newEmbedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.HeaderTimeout = 200 * time.Millisecond })
	const streams = "GET /v2/keys/eventlogging/w?wait=true&stream=true HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, watch := range []string{watchRequest, streams, strings.Replace(watchRequest, "HTTP/1.1", "HTTP/1.0", 1)} {
		for _, behind := range []int{1, 3, 300} {
			c, _ := startWatch(t, f, watch)
			// The largest may not get through.
			_ = c.Send(strings.Repeat("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n", behind))
			c.Close()
			eventually(t, "nothing is left", func() bool {
				return f.server.exchange.Watches.Count() == 0 && f.server.open.Load() == 0
			})
		}
	}
}
