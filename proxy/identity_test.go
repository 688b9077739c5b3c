package proxy_test

import (
	"crypto/tls"
	"testing"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
)

// withClientCA makes the proxy accept certificates that the test's PKI issues to clients.
// If require is set, it demands one.
func withClientCA(t testing.TB, require bool) func(*lane.Snapshot, *proxytest.PKI) {
	return func(s *lane.Snapshot, pki *proxytest.PKI) {
		s.Certs = clientGeneration(t, pki, pki.CA(), require)
	}
}

// clientGeneration returns certificates of the server together with the CA of clients.
func clientGeneration(t testing.TB, pki *proxytest.PKI, ca []byte, require bool) *certs.Generation {
	t.Helper()
	return fronttest.Generation(t, pki, certs.Options{ClientCA: certs.PEM{File: "ca", Data: ca}, Require: require})
}

// certificate issues a client certificate for the name cn.
func certificate(t *testing.T, f *fronttest.Front, cn string) tls.Certificate {
	t.Helper()
	cert, key, err := f.PKI.Client(cn)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func TestACertificateIsAnIdentityAndAPasswordReplacesIt(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, e := l.Embedded(t, withClientCA(t, false))
		for _, proto := range []string{"h1", "h2"} {
			write := func(cn, user, key string, want int) {
				t.Helper()
				client := f.Client(proto)
				if cn != "" {
					client = f.Client(proto, certificate(t, f, cn))
				}
				status, body, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys"+key, user, "value=1")
				if status != want && (want != 200 || status != 201) {
					t.Errorf("%s: writing %s by certificate %q and password %q: got %d %s, want %d", proto, key, cn, user, status, body, want)
				}
			}
			write("conftool", "", "/conftool/a", 200)
			write("conftool", "", "/a", 401)
			write("root", "", "/a", 200)
			write("stranger", "", "/conftool/a", 401)
			write("", "", "/conftool/a", 401)
			write("", "conftool", "/conftool/a", 200)
			// The rights are never joined: if there is a password, it decides alone.
			write("root", "alice", "/a", 401)
			write("root", "nobody", "/a", 401)
			write("alice", "root", "/a", 200)
		}
		// An open connection loses its identity when the CA of its certificate is removed.
		client := f.Client("h1", certificate(t, f, "root"))
		if status, _, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/a", "", "value=1"); status != 200 {
			t.Fatalf("writing before the CA is removed: got %d, want 200", status)
		}
		other, err := proxytest.NewPKI()
		if err != nil {
			t.Fatal(err)
		}
		next := *f.Server.Snapshot()
		next.Certs = clientGeneration(t, f.PKI, other.CA(), false)
		f.Server.Publish(&next)
		before := dump(t, e)
		if status, _, _ := fronttest.Do(t, client, "PUT", f.URL()+"/v2/keys/a", "", "value=2"); status != 401 {
			t.Errorf("writing after the CA is removed: got %d, want 401", status)
		}
		if dump(t, e) != before {
			t.Error("writing after the CA is removed changed etcd")
		}
	})
}

func TestRequiredCertificates(t *testing.T) {
	t.Parallel()
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		f, _ := l.Embedded(t, withClientCA(t, true))
		if _, err := f.Client("h1").Get(f.URL() + "/v2/keys"); err == nil {
			t.Error("a client without a certificate was served")
		}
		client := f.Client("h1", certificate(t, f, "alice"))
		if status, _, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", ""); status != 200 {
			t.Errorf("reading with a certificate: got %d, want 200", status)
		}
		other, err := proxytest.NewPKI()
		if err != nil {
			t.Fatal(err)
		}
		next := *f.Server.Snapshot()
		next.Certs = clientGeneration(t, f.PKI, other.CA(), true)
		f.Server.Publish(&next)
		if status, _, _ := fronttest.Do(t, client, "GET", f.URL()+"/v2/keys", "", ""); status != 401 {
			t.Errorf("reading on an open connection after the CA is removed: got %d, want 401", status)
		}
	})
}
