package daemon_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/daemon/daemontest"
)

// negotiated returns the protocol of a new connection whose client offers some.
func (s *service) negotiated(offers ...string) string {
	s.T.Helper()
	c, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: s.PKI.Pool(), NextProtos: offers})
	if err != nil {
		s.T.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().NegotiatedProtocol
}

func TestHTTP2IsOfferedUnlessItIsTurnedOff(t *testing.T) {
	t.Parallel()
	s := newService(t, daemontest.Echo)
	transport := s.Transport()
	transport.ForceAttemptHTTP2 = true
	get := func() string {
		resp, err := (&http.Client{Transport: transport}).Get(s.URL + "/v2/keys/a")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Proto
	}
	if got := s.negotiated("h2", "http/1.1"); got != "h2" {
		t.Errorf("a client of both protocols by default: got %q, want h2", got)
	}
	if got := get(); got != "HTTP/2.0" {
		t.Errorf("a request by default: got %s, want HTTP/2.0", got)
	}
	s.Write("etcd-tlsproxy.toml", "http2 = false\n"+s.Read("etcd-tlsproxy.toml"))
	s.Eventually("HTTP/2 is turned off", func() bool { return s.negotiated("h2", "http/1.1") == "http/1.1" })
	if got := get(); got != "HTTP/2.0" {
		t.Errorf("a request on a connection that was open: got %s, want HTTP/2.0", got)
	}
	transport.CloseIdleConnections()
	if got := get(); got != "HTTP/1.1" {
		t.Errorf("a request on a new connection: got %s, want HTTP/1.1", got)
	}
	if got := s.negotiated("http/1.0"); got != "http/1.0" {
		t.Errorf("a client of HTTP/1.0: got %q, want http/1.0", got)
	}
}
