package proxy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// TestPyBalFollowsAPool opens a connection for each watch, without ALPN, and continues at
// the index in the head of the answer.
func TestPyBalFollowsAPool(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		f.Put(t, "/conftool/v1/pools/a", "0")
		next := uint64(0)
		for i := 1; i < 6; i++ {
			c, err := proxytest.DialRaw(f.Addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			query := "recursive=true&wait=true"
			if next > 0 {
				query = fmt.Sprintf("recursive=true&waitIndex=%d&wait=true", next)
			}
			if err := c.Send("GET /v2/keys/conftool/v1/pools/?" + query + " HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			a, err := c.Head()
			if err != nil {
				t.Fatal(err)
			}
			index, spelled := a.Field("X-Etcd-Index")
			if !spelled {
				t.Fatalf("reading the head of a watch: got the fields %q, want X-Etcd-Index", a.Lines)
			}
			f.Put(t, "/conftool/v1/pools/a", fmt.Sprint(i))
			if err := c.ReadBody(a, "GET"); err != nil || !a.Whole {
				t.Fatalf("reading the event of watch %d: got %+v, %v; want a whole body", i, a, err)
			}
			// If the index is from before the last event, etcd sends that event again.
			event, err := eventIndex(a.Body)
			if err != nil || event < next {
				t.Errorf("watching since index %d: got event %d, %v", next, event, err)
			}
			if _, err := fmt.Sscan(index, &next); err != nil {
				t.Fatal(err)
			}
			next++
			if n, _ := io.Copy(io.Discard, c); n != 0 {
				t.Errorf("got %d bytes after the event, want none", n)
			}
		}
	})
}

func TestPyBalsWatchOverHTTP10IsNotChunkedAndEndsItsConnection(t *testing.T) {
	t.Parallel()
	fronttest.EachEtcd(t, func(t *testing.T, f *fronttest.Front, _ fronttest.Etcd) {
		f.Put(t, "/conftool/v1/pools/a", "old")
		// Like PyBal: no ALPN, no SNI, no port in the host, a slash before the query.
		c, err := proxytest.DialRaw(f.Addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Send("GET /v2/keys/conftool/v1/pools/?recursive=true&wait=true HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		a, err := c.Head()
		if err != nil {
			t.Fatal(err)
		}
		_, spelled := a.Field("X-Etcd-Index")
		_, chunked := a.Field("Transfer-Encoding")
		if !spelled || chunked {
			t.Errorf("got the fields %q, want X-Etcd-Index and no Transfer-Encoding", a.Lines)
		}
		f.Put(t, "/conftool/v1/pools/a", "new")
		if err := c.ReadBody(a, "GET"); err != nil || !a.Whole {
			t.Errorf("reading the event: got %+v, %v; want it whole, which takes close_notify", a, err)
		}
		if !strings.HasPrefix(a.Body, `{"action":"set"`) || !strings.Contains(a.Body, `"value":"new"`) {
			t.Errorf("reading the event: got %s, want the set of \"new\"", a.Body)
		}
	})
}
