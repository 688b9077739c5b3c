package victim

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestFailuresAndLatenciesCountForTheirPhaseAndKind(t *testing.T) {
	var connections atomic.Int64
	served := make(chan string, 1<<16)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if user, password, _ := r.BasicAuth(); user != "root" || password != "pw" || r.PostFormValue("value") != "v" {
				t.Errorf("got user %q, password %q, value %q; want root, pw, v", user, password, r.PostFormValue("value"))
			}
			http.Error(w, `{"errorCode":300,"message":"Busy","cause":"Too many","index":0}`, http.StatusServiceUnavailable)
		}
		served <- r.Method
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	g := &Group{
		Client: &Client{Address: s.Listener.Addr().String(), From: net.IPv4(127, 2, 2, 1), TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}},
		Kinds: []Kind{
			{Name: "read", Rate: 100, Request: func(int) *Request { return &Request{Method: "GET", Path: "/"} }},
			{Name: "write", Rate: 100, Request: func(int) *Request {
				return &Request{Method: "PUT", Path: "/", User: "root", Password: "pw", Value: "v"}
			}},
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g.Enter("first")
	g.Start(ctx)
	for range 20 {
		<-served
	}
	g.Enter("second")
	for range 20 {
		<-served
	}
	cancel()
	g.Wait()
	total := int64(0)
	for _, phase := range []string{"first", "second"} {
		read, write := g.Figures(phase)["read"], g.Figures(phase)["write"]
		if read == nil || write == nil {
			t.Fatalf("%s: got reads %v and writes %v, want some of both", phase, read, write)
		}
		if read.Failed != 0 || read.Quantile(99) <= 0 {
			t.Errorf("%s, reads: got %d failed (%s) and p99 %v, want none and a latency", phase, read.Failed, read.FirstError, read.Quantile(99))
		}
		if write.Failed != write.Requests || !strings.Contains(write.FirstError, "status 503: Busy: Too many") {
			t.Errorf("%s, writes: got %d of %d failed (%s), want all with status 503", phase, write.Failed, write.Requests, write.FirstError)
		}
		total += read.Requests + write.Requests
	}
	if got := connections.Load(); got != total {
		t.Errorf("got %d connections for %d requests, want one for each", got, total)
	}
}
