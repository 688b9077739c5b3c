package proxy_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

const watchRequest = "GET /v2/keys/eventlogging/w?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"

// startWatch sends a watch and reads the head of its answer, which is sent before there is
// an event.
func startWatch(t *testing.T, f *fronttest.Front, request string) (*proxytest.Raw, *proxytest.Answer) {
	t.Helper()
	c := f.Dial()
	if err := c.Send(request); err != nil {
		t.Fatal(err)
	}
	a, err := c.Head()
	if err != nil {
		t.Fatal(err)
	}
	if index, ok := a.Field("X-Etcd-Index"); a.Status != 200 || !ok || index == "" {
		t.Fatalf("reading the head of a watch: got %+v, want status 200 and an index", a)
	}
	return c, a
}

func TestAWatchIsAnsweredAtOnceAndHearsOfItsEvent(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		c, a := startWatch(t, f, watchRequest)
		f.Put(t, "/eventlogging/w", "event")
		if err := c.ReadBody(a, "GET"); err != nil || !a.Whole || !strings.Contains(a.Body, `"value":"event"`) {
			t.Errorf("reading the event: got %+v, %v; want it whole with the value", a, err)
		}
		// The connection can be reused.
		if err := c.Send("GET /v2/keys/eventlogging/w HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("reading after the watch: got %+v, %v; want status 200", a, err)
		}
	})
}

func TestAWatchMayWaitLongerThanABodyMayPause(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const pause = 50 * time.Millisecond
		f, _ := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = pause })
		for _, proto := range []string{"h1", "h2"} {
			resp, err := f.Client(proto).Get(f.URL() + "/v2/keys/eventlogging/w?wait=true")
			if err != nil {
				t.Fatal(err)
			}
			later := time.AfterFunc(4*pause, func() { f.Put(t, "/eventlogging/w", "late") })
			if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "late") {
				t.Errorf("%s: reading an event after a long wait: got %q, %v", proto, body, err)
			}
			resp.Body.Close()
			later.Stop()
		}
	})
}

func TestWatchesBeyondTheLimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxWatches = 1 }, nil)
		startWatch(t, f, watchRequest)
		if a := f.Exchange(watchRequest); a.Status != 503 || a.Body != gate.RefuseWatches.Body {
			t.Errorf("a second watch: got %d %s, want 503 %s", a.Status, a.Body, gate.RefuseWatches.Body)
		}
	})
}
