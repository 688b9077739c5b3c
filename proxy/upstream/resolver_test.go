package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"hash/maphash"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"etcd-tlsproxy/proxy/proxytest/dnstest"
)

// discoverAt discovers a server by a name that only the test's DNS server knows. The name
// no longer resolves when discoverAt returns.
func discoverAt(t testing.TB, service, target string, server net.Addr, addresses ...string) []Endpoint {
	t.Helper()
	_, port, err := net.SplitHostPort(server.String())
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t)
	records := []string{dnstest.SRV(service, "example.org", 0, 0, target, port)}
	for _, address := range addresses {
		records = append(records, target+". IN A "+address)
	}
	dns.Set(records...)
	found, err := Discover(t.Context(), NewResolver(dns.Addr()), "example.org", maphash.MakeSeed(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dns.Set()
	return found.Endpoints
}

func TestADiscoveredEndpointIsDialledWithoutDNS(t *testing.T) {
	s := serve(t, always)
	p := newPool(t, Options{}, discoverAt(t, "etcd-client", "a.example.org", s.ln.Addr(), "127.0.0.1")...)
	if body, kind := exchange(t, p, "GET"); body != "ok" || kind != -1 {
		t.Errorf("a request after the name is gone: got body %q, kind %d, want ok and no error", body, kind)
	}
}

func TestEachAddressOfAMemberIsTried(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, ln, always)
	// Nothing listens at the first and at the last address.
	p := newPool(t, Options{}, discoverAt(t, "etcd-client", "a.example.org", s.ln.Addr(), "127.0.0.1", "127.0.0.2", "127.0.0.3")...)
	if body, kind := exchange(t, p, "PUT"); body != "ok" || kind != -1 || s.conns.Load() != 1 {
		t.Errorf("a member that listens at its second address: got body %q, kind %d over %d connections, want ok over 1", body, kind, s.conns.Load())
	}
}

func TestACertificateMustBeForTheTargetOfTheRecord(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate()) // for example.com
	check := func(target, name string, want Kind) {
		t.Helper()
		found := discoverAt(t, "etcd-client-ssl", target, s.Listener.Addr(), "127.0.0.1")
		p := newPool(t, Options{TLS: &tls.Config{RootCAs: roots, ServerName: name}}, found...)
		defer p.Close()
		if body, kind := exchange(t, p, "PUT"); kind != want {
			t.Errorf("target %s, server name %q: got body %q, kind %d, want kind %d", target, name, body, kind, want)
		}
	}
	check("example.com", "", -1)
	check("elsewhere.example.org", "", Unreachable) // the name of the domain, example.org, does not count
	check("elsewhere.example.org", "example.com", -1)
	check("example.com", "elsewhere.example.org", Unreachable)
}

func TestAQuestionWithoutAnAnswerEndsWithItsContext(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := NewResolver(server.LocalAddr().String()).dial(ctx, "udp", "elsewhere.invalid:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading an answer after the context has ended: got error %v, want a deadline error", err)
	}
}
