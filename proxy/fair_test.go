package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/upstream"
)

// dialer dials from an address of loopback.
func dialer(address string) *net.Dialer {
	return &net.Dialer{Timeout: fronttest.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// dialFrom connects a client from an address of loopback.
func dialFrom(t *testing.T, f *fronttest.Front, address string, protocols ...string) *tls.Conn {
	t.Helper()
	config := f.TLS()
	config.NextProtos = protocols
	c, err := tls.DialWithDialer(dialer(address), "tcp", f.Addr, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(fronttest.Patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// upload sends most of a large body from an address, and then a byte now and then. It returns
// whether the proxy ended it before stop was closed.
func upload(f *fronttest.Front, address string, stop <-chan struct{}) bool {
	c, err := tls.DialWithDialer(dialer(address), "tcp", f.Addr, f.TLS())
	if err == nil {
		defer c.Close()
		_, err = fmt.Fprintf(c, "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n%s", strings.Repeat("x", 900_000))
	}
	for {
		select {
		case <-stop:
			return false
		case <-time.After(20 * time.Millisecond):
			if err != nil {
				return true
			}
			_, err = io.WriteString(c, "x")
		}
	}
}

// TestUnfinishedUploadsOfOneClientDoNotRefuseThoseOfOthers lets a client hold all the memory
// for bodies, and send a byte now and then.
func TestUnfinishedUploadsOfOneClientDoNotRefuseThoseOfOthers(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.EmbeddedWith(t, func(o *proxy.Options) { o.MaxBodyMemory = 4 << 20 }, nil)
		stop := make(chan struct{})
		var uploads sync.WaitGroup
		defer uploads.Wait()
		defer close(stop)
		for range 8 {
			uploads.Go(func() {
				for upload(f, "127.0.0.2", stop) { // again when it was refused or cut
				}
			})
		}
		// The attack is under way when its own uploads wait for memory.
		fronttest.Eventually(t, "an upload of the client that holds the memory waits", func() bool {
			return f.PoolGauge("etcd_tlsproxy_pool_waiting", "bodies") > 0
		})
		client := f.Client("h1")
		for i := range 5 {
			status, body, _ := fronttest.Do(t, client, http.MethodPut, f.URL()+"/v2/keys/x", "root", "value="+strings.Repeat("y", 900_000))
			if status != 200 && status != 201 {
				t.Errorf("write %d of another client: got %d %.200s, want 200 or 201", i+1, status, body)
			}
		}
	})
}

// TestClientsThatTakeNoLargeAnswersDoNotKeepOthersFromEtcd lets one client ask for many
// answers that are too large to be held, and take none of them.
func TestClientsThatTakeNoLargeAnswersDoNotKeepOthersFromEtcd(t *testing.T) {
	large := strings.Repeat("x", upstream.MaxBuffered+1)
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			var asked atomic.Int64
			endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/v2/keys/large") {
					asked.Add(1)
					_, _ = io.WriteString(w, large)
					return
				}
				_, _ = io.WriteString(w, "small")
			})
			f := fronttest.Fast.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) {
				s.Upstream.Close()
				s.Upstream = fronttest.Pool(t, upstream.Options{MaxRequests: 256}, endpoint) // four large answers at a time
				s.Reads, s.Watches = nil, nil
				s.Limits.BodyTimeout = time.Hour
			})
			const requests = 40
			if proto == "h1" {
				for i := range requests {
					c := dialFrom(t, f, "127.0.0.2")
					if _, err := fmt.Fprintf(c, "GET /v2/keys/large%d HTTP/1.1\r\nHost: h\r\n\r\n", i); err != nil {
						t.Fatal(err)
					}
				}
			} else {
				c := dialFrom(t, f, "127.0.0.2", "h2")
				b := newHTTP2Bytes(t).start()
				for i := range uint32(requests) {
					head := fmt.Sprintf("\x82\x87\x04%c/v2/keys/large%d\x01\x01h", len(fmt.Sprintf("/v2/keys/large%d", i)), i)
					b.must(b.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: []byte(head), EndStream: true, EndHeaders: true}))
				}
				if _, err := io.WriteString(c, b.cut(0)); err != nil {
					t.Fatal(err)
				}
			}
			fronttest.Eventually(t, "etcd was asked for every large answer", func() bool { return asked.Load() >= requests })
			client := f.Client("h1")
			for range 20 {
				if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/small", "", ""); status != 200 || body != "small" {
					t.Fatalf("a small read of another client: got %d %.200s, want 200 small", status, body)
				}
			}
			// The other client gets its turn for a large answer, too.
			if status, body, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys/large", "", ""); status != 200 || body != large {
				t.Errorf("a large read of another client: got %d and %d bytes, want 200 and %d", status, len(body), len(large))
			}
		})
	}
}

// TestWritesWhoseAnswersAreNotTakenHoldNoMemoryOfBodies lets a client send whole bodies, and
// take none of the answers, which contain what was written.
func TestWritesWhoseAnswersAreNotTakenHoldNoMemoryOfBodies(t *testing.T) {
	const size = 1 << 20
	for _, proto := range []string{"h1", "h2"} {
		t.Run(proto, func(t *testing.T) {
			endpoint := fronttest.StandIn(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				// More than the buffers of both sides hold.
				_, _ = io.WriteString(w, strings.Repeat("x", 2*upstream.MaxBuffered))
			})
			f := fronttest.Standard.Front(t, endpoint, func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.BodyTimeout = time.Hour })
			if proto == "h1" {
				c := dialFrom(t, f, "127.0.0.2")
				if _, err := fmt.Fprintf(c, "PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size)); err != nil {
					t.Fatal(err)
				}
			} else {
				request, err := http.NewRequest(http.MethodPut, f.URL()+"/v2/keys/eventlogging/a", strings.NewReader(strings.Repeat("x", size)))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := f.Client(proto).Do(request)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
			}
			fronttest.Eventually(t, "the answer waits for its client", func() bool { return f.PoolGauge("etcd_tlsproxy_pool_used", "large_answers") > 0 })
			fronttest.Eventually(t, "the memory of the body is given back", func() bool { return f.PoolGauge("etcd_tlsproxy_pool_used", "bodies") == 0 })
		})
	}
}
