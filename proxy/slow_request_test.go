package proxy_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func TestAHeadThatTricklesIsCut(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const limit = 50 * time.Millisecond
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}),
			func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.HeaderTimeout = limit })
		for what, text := range map[string]string{
			"nothing at all": "", "half a head": "GET /v2/keys/a HTTP/1.1\r\nHo", "half a second head": "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\nGET",
		} {
			c := f.Dial()
			if err := c.Send(text); err != nil {
				t.Fatal(err)
			}
			if end := c.End(); end != proxytest.EndedWell {
				t.Errorf("after %s the connection ended with %s, want %s", what, end, proxytest.EndedWell)
			}
		}
	})
}

func TestABodyThatStopsIsCut(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }),
			func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 50 * time.Millisecond })
		a := f.Exchange("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nvalue=1")
		if a.Status != 408 || a.Body != gate.RefuseSlowBody.Body {
			t.Errorf("a body that stops: got %d %s, want 408 %s", a.Status, a.Body, gate.RefuseSlowBody.Body)
		}
	})
}

// trickle calls send at intervals until stop is called.
func trickle(every time.Duration, send func()) (stop func()) {
	stopped := make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stopped:
				return
			case <-tick.C:
				send()
			}
		}
	}()
	return func() { close(stopped) }
}

func TestABodyThatTricklesIsCut(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }),
			func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = 100 * time.Millisecond })
		for what, head := range map[string]string{
			"small":   "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n",
			"large":   "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n",
			"refused": "PUT /v2/keys/conftool/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n",
		} {
			c := f.Dial()
			if err := c.Send(head); err != nil {
				t.Fatal(err)
			}
			stop := trickle(10*time.Millisecond, func() { _ = c.Send("x") }) // at intervals that are shorter than BodyTimeout
			a, err := c.Answer("PUT")
			if what == "refused" { // answered before its body arrives
				if err != nil || a.Status != 401 {
					t.Errorf("%s body that trickles: got %+v, %v; want status 401", what, a, err)
				}
			} else if err != nil || a.Status != 408 {
				t.Errorf("%s body that trickles: got %+v, %v; want status 408", what, a, err)
			}
			if end := c.End(); end == proxytest.StaysOpen {
				t.Errorf("%s body: the connection stays open, want it closed", what)
			}
			stop()
		}
	})
}

func TestAConnectionThatWaitedIsAnswered(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const pause = 30 * time.Millisecond
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}),
			func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = pause })
		c := f.Dial()
		for _, request := range []string{"GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"} {
			if err := c.Send(request); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Answer("GET"); err != nil {
				t.Errorf("%.7s after a pause: %v", request, err)
			}
			<-time.After(2 * pause) // longer than any deadline of the last answer
		}
	})
}

func TestAHeadThatBreaksOffLeavesNothingToTheNextConnection(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		for range 50 {
			c := f.Dial()
			// These lines are longer than the whole next request.
			if err := c.Send("GET /v2/keys/" + strings.Repeat("a", 200) + " HTTP/1.1\r\nHost: h\r\nA: b\r\nHalf"); err != nil {
				t.Fatal(err)
			}
			_ = c.CloseWrite()
			c.End()
			if a := f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 200 {
				t.Fatalf("after a head that broke off: got %d %s, want 200", a.Status, a.Body)
			}
		}
	})
}

func TestRequestsOfEverySizeAreServedAtOnce(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := echo(t, l)
		c := f.Dial()
		const frame = "GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"
		for size := len(frame) + 1; size < 2*512+10; size++ {
			if err := c.Send("GET /v2/keys/" + strings.Repeat("a", size-len(frame)) + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
				t.Fatalf("a request of %d bytes: got %+v, %v; want status 200", size, a, err)
			}
		}
	})
}

func TestALargeBodyOfAReadIsRefused(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }), nil)
		if a := f.Exchange("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"); a.Status != 413 {
			t.Errorf("a read with a large body: got %d %s, want 413", a.Status, a.Body)
		}
	})
}

func TestALongRequestLineIsServedOnAnyConnection(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		// The first goes over a new connection to etcd, the others over a used one. etcd resets
		// new connections at 4,096 bytes.
		for range 3 {
			if a := f.Exchange("GET /v2/keys/" + strings.Repeat("x", 3987) + " HTTP/1.1\r\nHost: h\r\n\r\n"); a.Status != 404 {
				t.Errorf("a long request line: got %d %s, want 404", a.Status, a.Body)
			}
		}
	})
}

func TestWhatComesBehindARefusedBodyOfHTTP10IsNoRequest(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }), nil)
		c := f.Dial()
		if err := c.Send("PUT /v2/keys/x HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 44\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := c.Answer("PUT")
		if err != nil || a.Status != 401 {
			t.Fatalf("a refused write of HTTP/1.0: got %+v, %v; want status 401", a, err)
		}
		// The connection may be closed already. Otherwise the body is dropped, and the request
		// behind it is the next.
		_ = c.Send("OPTIONS /v2/keys/smuggled HTTP/1.1\nHost: a\n\n" + "DELETE /v2/keys/x HTTP/1.0\r\n\r\n")
		if a, err := c.Answer("DELETE"); err == nil && a.Status != 401 {
			t.Errorf("got the answer %+v, want none to the bytes of the body and status 401 for the request behind it", a)
		}
		if a, err := c.Answer("DELETE"); err == nil {
			t.Errorf("got one more answer: %+v", a)
		}
	})
}
