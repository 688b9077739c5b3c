package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/share"
)

func TestDrainingFinishesRequestsAndBreaksWatchesOff(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		received, answer := make(chan struct{}), make(chan struct{})
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("wait") {
				w.Header().Set("X-Etcd-Index", "7")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			received <- struct{}{}
			<-answer
			_, _ = io.WriteString(w, "done")
		}), nil)
		watcher, watchAnswer := startWatch(t, f, watchRequest)
		idle := f.Dial()
		if err := idle.Send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := idle.Answer("OPTIONS"); err != nil {
			t.Fatal(err)
		}
		slow := f.Dial()
		if err := slow.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-received
		drained := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
			defer cancel()
			drained <- f.Server.Drain(ctx)
		}()
		if err := watcher.ReadBody(watchAnswer, "GET"); err != nil || watchAnswer.Whole {
			t.Errorf("reading the watch: got %+v, %v; want a body that breaks off", watchAnswer, err)
		}
		for which, c := range map[string]*proxytest.Raw{"the connection of the watch": watcher, "the idle connection": idle} {
			if end := c.End(); end != proxytest.EndedWell {
				t.Errorf("%s ended with %s, want %s", which, end, proxytest.EndedWell)
			}
		}
		if c, err := net.Dial("tcp", f.Addr); err == nil {
			c.Close()
			t.Error("a connection was accepted while the proxy drained")
		}
		if len(drained) > 0 {
			t.Error("Drain returned before the running request was answered")
		}
		close(answer)
		if a, err := slow.Answer("PUT"); err != nil || a.Body != "done" {
			t.Errorf("reading the answer of the running request: got %+v, %v; want \"done\"", a, err)
		}
		if end := slow.End(); end != proxytest.EndedWell {
			t.Errorf("the connection of the running request ended with %s, want %s", end, proxytest.EndedWell)
		}
		if err := <-drained; err != nil {
			t.Errorf("draining: %v", err)
		}
	})
}

func TestDrainingCutsWhatDoesNotFinish(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		received, release := make(chan struct{}, 1), make(chan struct{})
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {
			received <- struct{}{}
			<-release
		}), nil)
		defer close(release)
		c := f.Dial()
		if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-received
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		if err := f.Server.Drain(ctx); err == nil {
			t.Error("Drain returned no error although a request was cut")
		}
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("the connection ended with %s, want %s", end, proxytest.EndedWell)
		}
	})
}

// A connection waits for its place as long as a handshake may take.
func TestConnectionsBeyondTheLimitAreTurnedAway(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		received, answer := make(chan struct{}), make(chan struct{})
		f := l.FrontWith(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {
			received <- struct{}{}
			<-answer
		}), func(o *proxy.Options) { o.MaxConnections, o.HandshakeTimeout = 1, 200*time.Millisecond }, nil)
		c := f.Dial()
		if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-received // the connection is busy, so it is not closed in favor of the second
		if second, err := net.Dial("tcp", f.Addr); err == nil {
			_ = second.SetDeadline(time.Now().Add(fronttest.Patience))
			if _, err := second.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("reading from the second connection: got %v, want %v", err, io.EOF)
			}
			second.Close()
		}
		close(answer)
		if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("reading from the first connection: got %+v, %v; want status 200", a, err)
		}
	})
}

func TestAMistakeOfOursInOneRequestIsLoggedAndHurtsNoOther(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, nil)
		good := f.Server.Snapshot()
		bad := *good
		cause := "uninitialized Seed"
		bad.Reads = new(share.Reads) // a handler panics when it uses it
		if fronttest.V3() {
			bad.Origin, cause = new(lane.Origin), "nil pointer"
		}
		other := f.Dial()
		if err := other.Send("GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := other.Answer("GET"); err != nil || a.Status != 200 {
			t.Fatalf("reading before the panic: got %+v, %v; want status 200", a, err)
		}
		f.Server.Publish(&bad)
		for _, proto := range []string{"h1", "h2"} {
			if resp, err := f.Client(proto).Get(f.URL() + "/v2/keys/"); err == nil {
				resp.Body.Close()
				t.Errorf("%s: the request that panics got %s, want a closed connection", proto, resp.Status)
			}
		}
		f.Server.Publish(good)
		if err := other.Send("GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a, err := other.Answer("GET"); err != nil || a.Status != 200 {
			t.Errorf("reading on another connection after the panic: got %+v, %v; want status 200", a, err)
		}
		if text := f.Log.String(); strings.Count(text, "because of a bug") < 2 || !strings.Contains(text, cause) {
			t.Errorf("got the log %q, want two panics with their cause", text)
		}
	})
}

func TestAnEmptiedProxyServesEachConnectionForOneRequest(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			if r.URL.Query().Has("wait") {
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
			_, _ = io.WriteString(w, "answered")
		}), nil)
		const read = "GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"
		ask := func(what string, c *proxytest.Raw, stays bool) {
			t.Helper()
			if err := c.Send(read); err != nil {
				t.Fatal(err)
			}
			a, err := c.Answer("GET")
			if err != nil || a.Body != "answered" {
				t.Fatalf("%s: got %+v, %v; want an answer", what, a, err)
			}
			if connection, _ := a.Field("Connection"); (connection == "close") == stays {
				t.Errorf("%s: got the Connection %q, want the connection to stay: %t", what, connection, stays)
			}
		}
		watcher, watchAnswer := startWatch(t, f, watchRequest)
		idle := f.Dial()
		ask("before", idle, true)
		f.Server.Empty(true)
		if !f.Server.Emptying() || f.Server.Draining() {
			t.Errorf("emptying: got %t and draining %t, want true and false", f.Server.Emptying(), f.Server.Draining())
		}
		if err := watcher.ReadBody(watchAnswer, "GET"); err != nil || watchAnswer.Whole {
			t.Errorf("reading the watch: got %+v, %v; want a body that breaks off", watchAnswer, err)
		}
		if end := idle.End(); end != proxytest.EndedWell {
			t.Errorf("the idle connection ended with %s, want %s", end, proxytest.EndedWell)
		}
		for range 2 {
			c := f.Dial()
			ask("a new connection", c, false)
			if end := c.End(); end != proxytest.EndedWell {
				t.Errorf("a new connection ended with %s, want %s", end, proxytest.EndedWell)
			}
		}
		late, lateAnswer := startWatch(t, f, watchRequest)
		f.Server.Empty(true)
		if err := late.ReadBody(lateAnswer, "GET"); err != nil || lateAnswer.Whole {
			t.Errorf("reading a watch that came in between: got %+v, %v; want a body that breaks off", lateAnswer, err)
		}
		f.Server.Empty(false)
		c := f.Dial()
		ask("after it was stopped", c, true)
		ask("again on the same connection", c, true)
	})
}
