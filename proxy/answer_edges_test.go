package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestAnswersOfSizesAtTheEdgesOfBuffersArriveWhole has heads and bodies of etcd that just
// fit into the buffers of the lanes, and that just do not. All answers come on one
// connection, so that each is read by where the one before has ended.
func TestAnswersOfSizesAtTheEdgesOfBuffersArriveWhole(t *testing.T) {
	t.Parallel()
	pattern := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz\n", 8<<20/37)
	etcd := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		size, _ := strconv.Atoi(query.Get("size"))
		pad, _ := strconv.Atoi(query.Get("pad"))
		w.Header().Set("X-Pad", strings.Repeat("p", pad))
		if query.Get("framing") == "length" {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		} else {
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.WriteString(w, pattern[:size])
	})
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, etcd, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Surfaces = map[gate.Surface]acl.Group{gate.Debug: acl.Everyone()}
		})
		c := f.Dial()
		check := func(method, path string, size, pad int, framing string) {
			t.Helper()
			target := fmt.Sprintf("%s?size=%d&pad=%d&framing=%s", path, size, pad, framing)
			if err := c.Send(method + " " + target + " HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatalf("%s %s: %v", method, target, err)
			}
			a, err := c.Answer(method)
			if err != nil || a.Status != 200 || !a.Whole {
				t.Fatalf("%s %s: got %.200v and error %v, want a whole answer", method, target, a, err)
			}
			want := pattern[:size]
			if method == "HEAD" {
				want = ""
			}
			if a.Body != want {
				t.Errorf("%s %s: got %d bytes, want %d, and the same", method, target, len(a.Body), len(want))
			}
			if field, _ := a.Field("X-Pad"); len(field) != pad {
				t.Errorf("%s %s: got a field of %d bytes, want %d", method, target, len(field), pad)
			}
		}
		sizes := []int{0, 1, 2048, 65536, 131072, 4<<20 - 1, 4 << 20, 4<<20 + 1}
		for size := 15<<10 - 20; size <= 16<<10+20; size += 7 {
			sizes = append(sizes, size)
		}
		for size := 15340; size < 15360; size++ { // the fast lane receives 15,353 at first
			sizes = append(sizes, size)
		}
		for _, path := range []string{"/v2/keys/eventlogging/a", "/debug/a"} {
			for _, framing := range []string{"length", "chunks"} {
				for _, size := range sizes {
					check("GET", path, size, 10, framing)
				}
				check("HEAD", path, 20_000, 10, framing)
				for pad := 800; pad < 1024; pad++ { // the fast lane has room for 1,018 of a head
					check("GET", path, 100, pad, framing)
				}
				for _, pad := range []int{5_000, 15_000, 16_200, 20_000} {
					for _, size := range []int{0, 100, 15_353, 20_000, 5 << 20} {
						check("GET", path, size, pad, framing)
					}
				}
			}
		}
	})
}
