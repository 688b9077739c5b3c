package proxy_test

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestAShortAnswerOfAnotherRequestNeedsNoBufferOnHTTP2 makes equal reads at the same time, so
// that many of them share an answer. One that gave back a buffer it had not taken would
// break a later read.
func TestAShortAnswerOfAnotherRequestNeedsNoBufferOnHTTP2(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			_, _ = io.WriteString(w, "value")
		}), nil)
		client := f.Client("h2")
		read := func(key string) {
			if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys"+key, "", ""); status != 200 || body != "value" {
				t.Errorf("reading %s: got %d %q, want 200 and the value", key, status, body)
			}
		}
		for f.Metrics.SharedReads.Load() < 100 && !t.Failed() {
			var reads sync.WaitGroup
			for range 50 {
				reads.Go(func() { read("/a") })
			}
			reads.Wait()
			read("/b")
		}
	})
}
