package proxy_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/share"
)

// TestAnEventThatIsNotTakenMakesRoomForThatOfAnotherClient lets a client watch a key that gets a
// large value, and not take the event. All events together have memory for only one of that
// size.
func TestAnEventThatIsNotTakenMakesRoomForThatOfAnotherClient(t *testing.T) {
	fronttest.SkipWithV3(t, "the store has the events")
	const size = 6 << 20
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, func(s *lane.Snapshot, _ *proxytest.PKI) {
			s.Limits.Body, s.Limits.BodyTimeout = 16<<20, time.Hour
			s.Watches = share.NewWatches(share.WatchOptions{Pool: s.Upstream, Memory: 16 << 20})
		})
		watch := func(c *tls.Conn, key string) *http.Response {
			t.Helper()
			if _, err := io.WriteString(c, "GET /v2/keys"+key+"?wait=true HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("watching %s: got %+v and the error %v, want status 200", key, resp, err)
			}
			return resp
		}
		attacker := dialFrom(t, f, "127.0.1.1", "http/1.1")
		if err := attacker.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		watch(attacker, "/conftool/theirs")
		f.Put(t, "/conftool/theirs", strings.Repeat("x", size))
		fronttest.Eventually(t, "the event is in memory", func() bool {
			held, _ := f.Server.Snapshot().Watches.Memory()
			return held >= size
		})
		mine := watch(dialFrom(t, f, "127.0.2.1", "http/1.1"), "/conftool/mine")
		f.Put(t, "/conftool/mine", strings.Repeat("y", size))
		if event, err := io.ReadAll(mine.Body); err != nil || len(event) < size {
			t.Errorf("the event of another client: got %d bytes and the error %v, want at least %d", len(event), err, size)
		}
		fronttest.Eventually(t, "no event is held", func() bool {
			held, _ := f.Server.Snapshot().Watches.Memory()
			return held == 0
		})
	})
}
