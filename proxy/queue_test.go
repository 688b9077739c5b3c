package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// TestRequestsThatWaitForTheirTurnEndWhenMemoryIsShort lets one client have many requests that
// wait for its own requests at etcd. While memory is short, their connections could not be
// taken back, and everybody was refused.
func TestRequestsThatWaitForTheirTurnEndWhenMemoryIsShort(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		const atEtcd, waiting = 12, 20 // of the reads of one client; etcd is sent no more of 16 requests
		release := make(chan struct{})
		var asked atomic.Int64
		endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v2/keys/slow") {
				asked.Add(1)
				<-release
			}
			_, _ = io.WriteString(w, "small")
		})
		var percent atomic.Uint64
		f := l.New(t, endpoint, func(o *proxy.Options) {
			o.MaxMemory = 100 << 20
			o.SetUsage(func() uint64 { return percent.Load() << 20 })
		}, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Upstream.Close()
			s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: 16}, endpoint)
			s.Reads, s.Watches = nil, nil
		})
		f.Serve(fronttest.Listen(t))
		defer close(release)
		read := func(from string, i int) {
			t.Helper()
			if _, err := fmt.Fprintf(dialFrom(t, f, from), "GET /v2/keys/slow%d HTTP/1.1\r\nHost: h\r\n\r\n", i); err != nil {
				t.Fatal(err)
			}
		}
		read("127.0.0.3", 0)
		fronttest.Eventually(t, "etcd works for the other client", func() bool { return asked.Load() == 1 })
		for i := range atEtcd - 1 + waiting {
			read("127.0.0.2", i+1)
		}
		inQueue := func() float64 { return f.PoolGauge("etcd_tlsproxy_pool_waiting", "requests") }
		fronttest.Eventually(t, "all other reads wait", func() bool { return asked.Load() == atEtcd && inQueue() == waiting })
		percent.Store(85)
		fronttest.Eventually(t, "the reads that wait have ended", func() bool { return inQueue() == 0 && f.Connections() == atEtcd })
		if n := asked.Load(); n != atEtcd {
			t.Errorf("reads that were ended while they waited: got %d at etcd, want the %d before", n, atEtcd)
		}
	})
}
