package proxy_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// TestEtcdIsNotSentManySmallWritesOfALargeValueAtTheSameTime lets one client write a large value
// once, and then send many writes of a few bytes, whose answers contain the value twice. Each
// answer is in etcd's memory as soon as the write was carried out.
func TestEtcdIsNotSentManySmallWritesOfALargeValueAtTheSameTime(t *testing.T) {
	const (
		requests = 40
		value    = 8 << 20
		fit      = 6 // answers of 16 MiB into the 112 MiB of one client
	)
	for _, c := range []struct{ name, query string }{
		{"their answers are not known", ""},
		{"an answer that shows no value was the last one", "noValueOnSuccess=true"},
		{"a malformed read was the last one", "sorted=perhaps"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var underWay, most atomic.Int64
			endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				switch {
				case r.URL.Query().Has("sorted"):
					w.WriteHeader(http.StatusBadRequest)
				case r.URL.Query().Has("refresh"):
					n := underWay.Add(1)
					defer underWay.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					_, _ = w.Write(bytes.Repeat([]byte("x"), 2*value)) // in one chunk, like etcd
				}
			})
			f := fronttest.Fast.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) {
				s.Upstream.Close()
				s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: 1024}, endpoint)
				s.Limits.BodyTimeout = time.Hour
				s.Limits.Body = 2 * value
			})
			client := f.Client("h1")
			if status, body, _ := fronttest.Do(t, client, http.MethodPut, f.URL()+"/v2/keys/eventlogging/a?noValueOnSuccess=true", "", "value="+strings.Repeat("x", value)); status != 200 {
				t.Fatalf("the large write: got %d %.200s, want 200", status, body)
			}
			if method := http.MethodPut; c.query != "" {
				if strings.HasPrefix(c.query, "sorted") {
					method = http.MethodGet
				}
				fronttest.Do(t, client, method, f.URL()+"/v2/keys/eventlogging/a?"+c.query, "", "")
			}
			for range requests {
				conn := dialFrom(t, f, "127.0.0.2")
				if _, err := io.WriteString(conn, "PUT /v2/keys/eventlogging/a?refresh=true&prevExist=true&ttl=9 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
			}
			fronttest.Eventually(t, "all writes wait for their turn but those whose answers fit", func() bool {
				return underWay.Load() == fit && f.PoolGauge("etcd_tlsproxy_pool_waiting", "large_answers") == requests-fit
			})
			if n := most.Load(); n != fit {
				t.Errorf("%d writes of a value of 8 MiB: got %d at etcd at the same time, want %d", requests, n, fit)
			}
			if status, body, _ := fronttest.Do(t, client, http.MethodPut, f.URL()+"/v2/keys/x", "root", "value=1"); status != 200 {
				t.Errorf("a write of another client: got %d %.200s, want 200", status, body)
			}
		})
	}
}
