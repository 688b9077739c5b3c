package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

func TestFailuresOfEtcdAreToldInItsOwnForm(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if strings.HasSuffix(r.URL.Path, "nonsense") {
				_, _ = rw.WriteString("nonsense\r\n\r\n")
				_ = rw.Flush()
			}
		}), nil)
		for _, c := range []struct {
			method, key string
			status      int
			reason      *gate.Refusal
		}{
			{"GET", "nonsense", 502, gate.RefuseBroken}, {"GET", "closed", 502, gate.RefuseBroken},
			{"PUT", "nonsense", 503, gate.RefuseUnknownOutcome}, {"PUT", "closed", 503, gate.RefuseUnknownOutcome}, {"DELETE", "closed", 503, gate.RefuseUnknownOutcome},
		} {
			status, body, _ := fronttest.Do(t, f.Client("h1"), c.method, f.URL()+"/v2/keys/eventlogging/"+c.key, "", "")
			if status != c.status || body != c.reason.Body {
				t.Errorf("%s when etcd fails (%s): got %d %s, want %d %s", c.method, c.key, status, body, c.status, c.reason.Body)
			}
		}
		unused := fronttest.Listen(t)
		unused.Close()
		f = l.Front(t, "http://"+unused.Addr().String(), nil)
		for _, method := range []string{"GET", "PUT"} {
			status, body, _ := fronttest.Do(t, f.Client("h1"), method, f.URL()+"/v2/keys/eventlogging/a", "", "")
			if status != 503 || body != gate.RefuseUnreachable.Body {
				t.Errorf("%s without an etcd: got %d %s, want 503 %s", method, status, body, gate.RefuseUnreachable.Body)
			}
		}
		// A refusal needs no etcd.
		status, body, _ := fronttest.Do(t, f.Client("h1"), "PUT", f.URL()+"/v2/keys/x", "", "")
		if status != 401 || body != gate.RefuseIdentity.Body {
			t.Errorf("a refused write without an etcd: got %d %s, want 401 %s", status, body, gate.RefuseIdentity.Body)
		}
	})
}

func TestAnAnswerThatBreaksOffIsNotEndedWell(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			// More than the proxy buffers before it sends the head.
			_, _ = w.Write(make([]byte, upstream.MaxBuffered+100_000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), nil)
		c := f.Dial()
		if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := c.Answer("GET")
		if err != nil || a.Status != 200 || a.Whole || len(a.Body) < upstream.MaxBuffered {
			t.Errorf("%d, whole %v, %d bytes, %v", a.Status, a.Whole, len(a.Body), err)
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("the connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

func TestAnAnswerThatBreaksOffBeforeTheClientHasAnyOfItIsAnError(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 100_000))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), nil)
		for _, proto := range []string{"h1", "h2"} {
			status, body, _ := fronttest.Do(t, f.Client(proto), "GET", f.URL()+"/v2/keys/a", "", "")
			if status != 502 || body != gate.RefuseBroken.Body {
				t.Errorf("%s: reading an answer that breaks off: got %d %s, want 502 %s", proto, status, body, gate.RefuseBroken.Body)
			}
		}
	})
}

func TestWhatEtcdSaysWithoutEndReachesTheClientAsItComes(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		received := make(chan struct{}, 2)
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, 100_000))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-received:
			case <-r.Context().Done():
			}
		}), func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Surfaces = map[gate.Surface]acl.Group{gate.Debug: acl.Everyone()}
		})
		for _, proto := range []string{"h1", "h2"} {
			resp, err := f.Client(proto).Get(f.URL() + "/debug/trace")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 32_000)); err != nil {
				t.Errorf("%s: reading while etcd pauses: %v", proto, err)
			}
			received <- struct{}{}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Errorf("%s: reading to the end: %v", proto, err)
			}
			resp.Body.Close()
		}
	})
}
