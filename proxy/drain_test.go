package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
)

func TestDrainingFinishesRequestsAndBreaksWatchesOff(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFront(t, listen(t), standIn(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("wait") {
			w.Header().Set("X-Etcd-Index", "7")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		asked <- struct{}{}
		<-answer
		_, _ = io.WriteString(w, "done")
	}), nil)
	watcher, watchAnswer := startWatch(t, f, watchRequest)
	idle := f.raw()
	if err := idle.Send("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Answer("OPTIONS"); err != nil {
		t.Fatal(err)
	}
	slow := f.raw()
	if err := slow.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		drained <- f.server.Drain(ctx)
	}()
	if err := watcher.ReadBody(watchAnswer, "GET"); err != nil || watchAnswer.Whole {
		t.Errorf("the watch: %+v, %v", watchAnswer, err)
	}
	for who, c := range map[string]*proxytest.Raw{"the watch": watcher, "the idle one": idle} {
		if end := c.End(); end != proxytest.EndedWell {
			t.Errorf("%s ended with %s", who, end)
		}
	}
	if c, err := net.Dial("tcp", f.addr); err == nil {
		c.Close()
		t.Error("a connection was accepted")
	}
	if len(drained) > 0 {
		t.Error("drained before the request was answered")
	}
	close(answer)
	if a, err := slow.Answer("PUT"); err != nil || a.Body != "done" {
		t.Errorf("the request: %+v, %v", a, err)
	}
	if end := slow.End(); end != proxytest.EndedWell {
		t.Errorf("its connection ended with %s", end)
	}
	if err := <-drained; err != nil {
		t.Errorf("draining: %v", err)
	}
}

func TestDrainingCutsWhatDoesNotFinish(t *testing.T) {
	asked, given := make(chan struct{}, 1), make(chan struct{})
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-given
	}), nil)
	defer close(given)
	c := f.raw()
	if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := f.server.Drain(ctx); err == nil {
		t.Error("it says that all requests finished")
	}
	if end := c.End(); end != proxytest.EndedWell {
		t.Errorf("the connection ended with %s", end)
	}
}

func TestConnectionsBeyondTheLimitAreTurnedAway(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	f := newFront(t, listen(t), standIn(t, func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}), nil)
	f.server.open.Store(9_999) // as if all others were taken
	c := f.raw()
	if err := c.Send("GET /v2/keys/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked // it is not silent, so it is not ended for the second
	if second, err := net.Dial("tcp", f.addr); err == nil {
		_ = second.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := second.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the second connection: %v", err)
		}
		second.Close()
	}
	close(answer)
	if a, err := c.Answer("GET"); err != nil || a.Status != 200 {
		t.Errorf("the first: %+v, %v", a, err)
	}
}

func TestAMistakeOfOursInOneRequestIsLoggedAndHurtsNoOther(t *testing.T) {
	f, _ := newEmbedded(t, nil)
	good := f.server.Snapshot()
	bad := *good
	bad.Upstream, bad.Reads = nil, nil // what must never be
	other := f.raw()
	if err := other.Send("GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := other.Answer("GET"); err != nil || a.Status != 200 {
		t.Fatalf("%+v, %v", a, err)
	}
	f.server.Publish(&bad)
	for _, proto := range []string{"h1", "h2"} {
		if resp, err := f.client(proto).Get(f.url() + "/v2/keys/"); err == nil {
			resp.Body.Close()
			t.Errorf("%s: %s", proto, resp.Status)
		}
	}
	f.server.Publish(good)
	if err := other.Send("GET /v2/keys/ HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a, err := other.Answer("GET"); err != nil || a.Status != 200 {
		t.Errorf("%+v, %v", a, err)
	}
	if text := f.log.String(); strings.Count(text, "given up") < 2 || !strings.Contains(text, "nil pointer") {
		t.Errorf("the log says %q", text)
	}
}
