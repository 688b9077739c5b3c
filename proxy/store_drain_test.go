package proxy_test

import (
	"context"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestDrainingFinishesTheWritesOfAStoreAndBreaksItsWatchesOff has an etcd that hangs while it
// carries out a write.
func TestDrainingFinishesTheWritesOfAStoreAndBreaksItsWatchesOff(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		e := fronttest.StartStore(t)
		f := l.Front(t, e.URL(), nil)
		watcher, watchAnswer := startWatch(t, f, watchRequest)
		stream, streamAnswer := startWatch(t, f, strings.Replace(watchRequest, "wait=true", "wait=true&stream=true", 1))
		writer := f.Dial()
		e.Pause()
		defer e.Resume()
		if err := writer.Send("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\nvalue=1"); err != nil {
			t.Fatal(err)
		}
		fronttest.Eventually(t, "the write waits for etcd", func() bool { return f.PoolGauge("etcd_tlsproxy_pool_used", "requests") == 1 })
		drained := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), fronttest.Patience)
			defer cancel()
			drained <- f.Server.Drain(ctx)
		}()
		for which, c := range map[string]struct {
			*proxytest.Raw
			answer *proxytest.Answer
		}{"the watch": {watcher, watchAnswer}, "the stream": {stream, streamAnswer}} {
			if err := c.ReadBody(c.answer, "GET"); err != nil || c.answer.Whole || c.answer.Body != "" {
				t.Errorf("reading %s: got %+v, %v; want a body that breaks off", which, c.answer, err)
			}
			if end := c.End(); end != proxytest.EndedWell {
				t.Errorf("the connection of %s ended with %s, want %s", which, end, proxytest.EndedWell)
			}
		}
		if len(drained) > 0 {
			t.Error("Drain returned before the running write was answered")
		}
		e.Resume()
		if a, err := writer.Answer("PUT"); err != nil || a.Status != 201 {
			t.Errorf("reading the answer of the running write: got %+v, %v; want status 201", a, err)
		}
		if err := <-drained; err != nil {
			t.Errorf("draining: %v", err)
		}
	})
}
