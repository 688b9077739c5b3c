package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

func TestBodiesReachEtcdWholeWhateverTheirFraming(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		large := bytes.Repeat([]byte("value=0123456789"), 50_000)
		bodies := make(chan []byte, 1)
		lengths := make(chan int64, 1)
		f := l.Front(t, fronttest.StandIn(t, func(_ http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies <- body
			lengths <- r.ContentLength
		}), nil)
		for _, proto := range []string{"h1", "h2"} {
			client := f.Client(proto)
			for _, chunked := range []bool{false, true} {
				var body io.Reader = bytes.NewReader(large)
				if chunked {
					body = io.MultiReader(body) // hides the length from the client
				}
				req, err := http.NewRequest("PUT", f.URL()+"/v2/keys/eventlogging/a", body)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got := <-bodies; !bytes.Equal(got, large) {
					t.Errorf("%s, chunked %v: etcd received %d bytes that differ, want %d", proto, chunked, len(got), len(large))
				}
				if length := <-lengths; length != int64(len(large)) {
					t.Errorf("%s, chunked %v: etcd received Content-Length %d, want %d", proto, chunked, length, len(large))
				}
			}
		}
	})
}

func TestABodyThatBreaksOffNeverReachesEtcd(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		reached := make(chan struct{}, 1)
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }), nil)
		for _, text := range []string{
			"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nvalue=1",
			"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=1\r\n",
			"PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nvalue=1\r\n0;x\r\n\r\n",
		} {
			c := f.Dial()
			if err := c.Send(text); err != nil {
				t.Fatal(err)
			}
			_ = c.CloseWrite()
			if end := c.End(); end != proxytest.EndedWell {
				t.Errorf("after %q the connection ended with %s, want %s", text, end, proxytest.EndedWell)
			}
		}
		if len(reached) > 0 {
			t.Error("etcd received a request")
		}
	})
}

func TestTooLargeABodyIsRefusedWithoutReadingIt(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) { t.Error("etcd received a request") }), nil)
		a := f.Exchange("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1048577\r\n\r\n")
		if a.Status != 413 || !strings.Contains(a.Body, `"errorCode":210`) {
			t.Errorf("announcing a body that is too large: got %d %s, want 413 and code 210", a.Status, a.Body)
		}
		status, body, _ := fronttest.Do(t, f.Client("h2"), "PUT", f.URL()+"/v2/keys/eventlogging/a", "", strings.Repeat("x", 1<<20+1))
		if status != 413 {
			t.Errorf("sending a body that is too large over HTTP/2: got %d %s, want 413", status, body)
		}
	})
}

func TestASmallLimitOnBodiesHoldsInBothLanes(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f := l.Front(t, fronttest.StandIn(t, func(http.ResponseWriter, *http.Request) {}), func(s *lane.Snapshot, _ *proxytest.PKI) { s.Limits.Body = 1024 })
		for length, want := range map[int]int{1024: 200, 1025: 413} {
			if a := f.Exchange(fmt.Sprintf("PUT /v2/keys/eventlogging/a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length))); a.Status != want {
				t.Errorf("sending a body of %d bytes: got %d %s, want %d", length, a.Status, a.Body, want)
			}
		}
	})
}
