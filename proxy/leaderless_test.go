package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// TestPlainReadsGoOnWhileEtcdHasNoLeader sends more requests that need the leader than there are
// requests at etcd. Like an etcd without a leader, this one answers plain reads only.
func TestPlainReadsGoOnWhileEtcdHasNoLeader(t *testing.T) {
	t.Parallel()
	const requests = 16
	for what, request := range map[string]string{
		"quorum reads": "GET /v2/keys/a%d?quorum=true HTTP/1.1\r\nHost: h\r\n\r\n",
		"writes":       "PUT /v2/keys/eventlogging/a%d?value=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
				leader := make(chan struct{})
				endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodGet || strings.Contains(r.URL.RawQuery, "quorum") {
						<-leader
					}
					_, _ = io.WriteString(w, "{}")
				})
				f := l.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) {
					s.Upstream.Close()
					s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: requests}, endpoint)
					s.Reads = nil
				})
				defer close(leader)
				for i := range 2 * requests {
					if _, err := fmt.Fprintf(dialFrom(t, f, "127.0.1.1", "http/1.1"), request, i); err != nil {
						t.Fatal(err)
					}
				}
				waits := func() bool { return statusOf(t, f, "proposals").Waiting+statusOf(t, f, "requests").Waiting > 0 }
				fronttest.Eventually(t, "more proposals have been sent than can be at etcd", waits)
				parts := upstream.PartsOf(requests)
				most := parts.Proposals
				if what == "quorum reads" {
					most -= parts.ProposalsReserve
				}
				if used := statusOf(t, f, "proposals").Used; used != most {
					t.Errorf("%s of one client at etcd: got %d, want the %d that PartsOf says", what, used, most)
				}
				if !reads(f) {
					t.Errorf("a plain read beside %s that last: got no answer, want one", what)
				}
			})
		})
	}
}
