package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// TestEtcdIsNotAskedForManyLargeAnswersAtTheSameTime lets one client ask for large trees many
// times, under names that cannot be shared, and take none of the answers. Each answer is in etcd's
// memory from the moment in which it is asked for.
func TestEtcdIsNotAskedForManyLargeAnswersAtTheSameTime(t *testing.T) {
	const requests = 60
	large := bytes.Repeat([]byte("x"), 24<<20)
	for _, c := range []struct{ name, target string }{
		{"the same tree", "/v2/keys/large?recursive=true&waitIndex=%d"},
		{"different trees", "/v2/keys/large/%d?recursive=true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var underWay, most atomic.Int64
			endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/v2/keys/large") {
					_, _ = io.WriteString(w, "small")
					return
				}
				n := underWay.Add(1)
				defer underWay.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				_, _ = w.Write(large) // in one chunk, like etcd; [io.WriteString] makes many
			})
			f := fronttest.Fast.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) {
				s.Upstream.Close()
				s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: 256}, endpoint) // one tree of unknown size at a time
				s.Reads, s.Watches = nil, nil
				s.Limits.BodyTimeout = time.Hour
			})
			attacker := dialFrom(t, f, "127.0.0.2", "h2")
			b := newHTTP2Bytes(t).start()
			for i := range uint32(requests) {
				target := fmt.Sprintf(c.target, i+1)
				head := fmt.Sprintf("\x82\x87\x04%c%s\x01\x01h", len(target), target)
				b.must(b.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte(head), EndStream: true, EndHeaders: true}))
			}
			if _, err := io.WriteString(attacker, b.cut(0)); err != nil {
				t.Fatal(err)
			}
			// Four answers fit into 128 MiB. All others are known to be large, and wait.
			fronttest.Eventually(t, "all other requests wait for their turn", func() bool {
				return f.PoolGauge("etcd_tlsproxy_pool_waiting", "large_answers") == requests-4
			})
			// Four answers under way, one that has begun when its size was unknown, and a few that
			// were given up a moment ago.
			if n := most.Load(); n > 16 {
				t.Errorf("%d reads of 24 MiB by one client: got %d answers under way at etcd at the same time, want at most 16", requests, n)
			}
			client := f.Client("h1")
			for _, target := range []string{"/v2/keys/a", "/v2/keys/b?recursive=true"} {
				if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+target, "", ""); status != 200 || body != "small" {
					t.Errorf("a small read of another client, %s: got %d %.200s, want 200 small", target, status, body)
				}
			}
			if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/large/mine?recursive=true", "", ""); status != 200 || body != string(large) {
				t.Errorf("a large read of another client: got %d and %d bytes, want 200 and %d", status, len(body), len(large))
			}
		})
	}
}
