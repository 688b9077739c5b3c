package proxy

import (
	"crypto/tls"
	"etcd-tlsproxy/proxy/lane"
	"testing"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/proxytest"
)

// withClientCA lets clients show certificates of the test's CA.
func withClientCA(t testing.TB, require bool, f func(*lane.Snapshot)) func(*lane.Snapshot, *proxytest.PKI) {
	return func(s *lane.Snapshot, pki *proxytest.PKI) {
		s.Certs = clientGeneration(t, pki, pki.CA(), require)
		if f != nil {
			f(s)
		}
	}
}

func clientGeneration(t testing.TB, pki *proxytest.PKI, ca []byte, require bool) *certs.Generation {
	t.Helper()
	cert, key, err := pki.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	g, err := certs.New(certs.Options{Certificate: certs.PEM{File: "c", Data: cert}, Key: certs.PEM{File: "k", Data: key},
		ClientCA: certs.PEM{File: "ca", Data: ca}, Require: require, NextProtos: NextProtos()})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (f *front) certificate(cn string) tls.Certificate {
	f.t.Helper()
	cert, key, err := f.pki.Client(cn)
	if err != nil {
		f.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		f.t.Fatal(err)
	}
	return pair
}

func TestACertificateIsAnIdentityAndAPasswordReplacesIt(t *testing.T) {
	f, e := newEmbedded(t, withClientCA(t, false, nil))
	for _, proto := range []string{"h1", "h2"} {
		write := func(cn, user, key string, want int) {
			t.Helper()
			client := f.client(proto)
			if cn != "" {
				client = f.client(proto, f.certificate(cn))
			}
			if status, body, _ := do(t, client, "PUT", f.url()+"/v2/keys"+key, user, "value=1"); (status < 300) != (want < 300) || want == 401 && status != 401 {
				t.Errorf("%s: %s by certificate %q and password %q: %d %s", proto, key, cn, user, status, body)
			}
		}
		write("conftool", "", "/conftool/a", 200)
		write("conftool", "", "/a", 401)
		write("root", "", "/a", 200)
		write("stranger", "", "/conftool/a", 401)
		write("", "", "/conftool/a", 401)
		write("", "conftool", "/conftool/a", 200)
		// Never the union: a password that is wrong, or another's, decides alone.
		write("root", "alice", "/a", 401)
		write("root", "nobody", "/a", 401)
		write("alice", "root", "/a", 200)
	}
	// A CA that is taken away ends the identity of a connection that lives on.
	client := f.client("h1", f.certificate("root"))
	if status, _, _ := do(t, client, "PUT", f.url()+"/v2/keys/a", "", "value=1"); status != 200 {
		t.Fatalf("before: %d", status)
	}
	other, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	next := *f.server.Snapshot()
	next.Certs = clientGeneration(t, f.pki, other.CA(), false)
	f.server.Publish(&next)
	before := dump(t, e)
	if status, _, _ := do(t, client, "PUT", f.url()+"/v2/keys/a", "", "value=2"); status != 401 || dump(t, e) != before {
		t.Errorf("after its CA is gone: %d", status)
	}
}

func TestRequiredCertificates(t *testing.T) {
	f, _ := newEmbedded(t, withClientCA(t, true, nil))
	if _, err := f.client("h1").Get(f.url() + "/v2/keys"); err == nil {
		t.Error("a client without a certificate was let in")
	}
	client := f.client("h1", f.certificate("alice"))
	if status, _, _ := do(t, client, "GET", f.url()+"/v2/keys", "", ""); status != 200 {
		t.Errorf("a client with one: %d", status)
	}
	other, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	next := *f.server.Snapshot()
	next.Certs = clientGeneration(t, f.pki, other.CA(), true)
	f.server.Publish(&next)
	if status, _, _ := do(t, client, "GET", f.url()+"/v2/keys", "", ""); status != 401 {
		t.Errorf("an open read on a connection whose CA is gone: %d", status)
	}
}
