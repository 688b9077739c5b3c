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

// discoverAt finds a server by a name that only the test's DNS server knows.
func discoverAt(t testing.TB, service, target string, server net.Addr) ([]Endpoint, *Resolver) {
	t.Helper()
	_, port, err := net.SplitHostPort(server.String())
	if err != nil {
		t.Fatal(err)
	}
	dns := dnstest.New(t)
	dns.Set(dnstest.SRV(service, "example.org", 0, 0, target, port), target+". IN A 127.0.0.1")
	resolver := NewResolver(dns.Addr())
	found, err := Discover(t.Context(), resolver, "example.org", maphash.MakeSeed())
	if err != nil {
		t.Fatal(err)
	}
	return found, resolver
}

func TestADiscoveredEndpointIsDialledThroughItsResolver(t *testing.T) {
	s := serve(t, always)
	found, resolver := discoverAt(t, "etcd-client", "a.example.org", s.ln.Addr())
	p := newPool(t, Options{Resolver: resolver}, found...)
	if body, kind := ask(t, p, "GET"); body != "ok" || kind != -1 {
		t.Errorf("%q, %v", body, kind)
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
		found, resolver := discoverAt(t, "etcd-client-ssl", target, s.Listener.Addr())
		p := newPool(t, Options{Resolver: resolver, TLS: &tls.Config{RootCAs: roots, ServerName: name}}, found...)
		defer p.Close()
		if body, kind := ask(t, p, "PUT"); kind != want {
			t.Errorf("target %s, server name %q: %q, %v", target, name, body, kind)
		}
	}
	check("example.com", "", -1)
	check("elsewhere.example.org", "", Unreachable) // example.org was asked for, and is not what counts
	check("elsewhere.example.org", "example.com", -1)
	check("example.com", "elsewhere.example.org", Unreachable)
}

func TestAQuestionWithoutAnAnswerEndsWithItsContext(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := NewResolver(silent.LocalAddr().String()).dial(ctx, "udp", "elsewhere.invalid:53")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("waiting for an answer ended with %v", err)
	}
}
