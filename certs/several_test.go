package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
)

// withRSA adds a certificate with an RSA key to the options of a server, before the other
// one.
func (o Options) withRSA(t testing.TB, ca *authority) Options {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	leaf := template("localhost")
	leaf.DNSNames, leaf.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert := sign(t, leaf, ca.cert, key.Public(), ca.key)
	o.Others = []KeyPair{{o.Certificate, o.Key}}
	o.Certificate, o.Key = PEM{"rsa.crt", certPEM(cert)}, PEM{"rsa.key", keyPEM(t, key)}
	return o
}

func TestEachClientIsShownACertificateThatItSupports(t *testing.T) {
	ca := newAuthority(t, "CA")
	s := newTestServer(t, ca, ca.serverOptions().withRSA(t, ca))
	onlyRSA := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
	for what, c := range map[string]struct {
		change func(*tls.Config)
		want   x509.PublicKeyAlgorithm
	}{
		"TLS 1.3":  {func(*tls.Config) {}, x509.ECDSA},
		"TLS 1.2":  {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, x509.ECDSA},
		"no name":  {func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = "", true }, x509.ECDSA},
		"RSA only": {func(c *tls.Config) { c.MaxVersion, c.CipherSuites = tls.VersionTLS12, onlyRSA }, x509.RSA},
		"RSA only, no name": {func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites, c.ServerName, c.InsecureSkipVerify = tls.VersionTLS12, onlyRSA, "", true
		}, x509.RSA},
		"RSA, another's name": {func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites, c.ServerName, c.InsecureSkipVerify = tls.VersionTLS12, onlyRSA, "elsewhere", true
		}, x509.RSA},
	} {
		state, _, err := s.connect(s.config(), c.change)
		if err != nil || state.PeerCertificates[0].PublicKeyAlgorithm != c.want {
			t.Errorf("a client with %s: got %v and the error %v, want a certificate of the kind %s", what, state.PeerCertificates, err, c.want)
		}
	}
}

func TestAClientThatSupportsNoCertificateIsToldInTheHandshake(t *testing.T) {
	ca := newAuthority(t, "CA")
	g := mustNew(t, ca.serverOptions().withRSA(t, ca))
	hello := &tls.ClientHelloInfo{
		ServerName: "localhost", SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{tls.PSSWithSHA256},
	}
	got, err := g.config.GetCertificate(hello)
	if err != nil || got.Leaf.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("choosing for a client of TLS 1.3 with RSA-PSS alone: got %v, %v; want the RSA certificate", got, err)
	}
	hello.SignatureSchemes = []tls.SignatureScheme{tls.Ed25519}
	if got, err := g.config.GetCertificate(hello); err != nil || got.Leaf.PublicKeyAlgorithm != x509.ECDSA {
		t.Errorf("choosing for a client without a common kind: got %v, %v; want the first certificate", got, err)
	}
	if hello.ServerName != "localhost" {
		t.Errorf("choosing changed the name in the hello: got %q, want localhost", hello.ServerName)
	}
}

func TestSeveralCertificatesAreCheckedEachAndHaveDifferentKinds(t *testing.T) {
	ca := newAuthority(t, "CA")
	good := ca.serverOptions().withRSA(t, ca)
	g := mustNew(t, good)
	if list := g.Certificates(); len(list) != 2 || !g.Serves("localhost") || !g.Equal(mustNew(t, good)) {
		t.Errorf("Certificates with two of the server: got %+v, want both", list)
	}
	again := good
	again.Others = []KeyPair{{ca.serverOptions().Certificate, good.Others[0].Key}}
	if _, err := New(again); err == nil || !strings.Contains(err.Error(), "server.key: the key does not belong to the certificate in server.crt") {
		t.Errorf("New with the key of another second certificate: got the error %v, want one that names it", err)
	}
	next := ca.serverOptions()
	again.Others = []KeyPair{{next.Certificate, next.Key}}
	if g.Equal(mustNew(t, again)) {
		t.Error("Equal with another second certificate: got true, want false")
	}
	again.Others = append(slices.Clone(good.Others), KeyPair{next.Certificate, next.Key})
	if _, err := New(again); err == nil || !strings.Contains(err.Error(), "server.crt: certificate 3 of the server has a second key of the kind ECDSA") {
		t.Errorf("New with two certificates of one kind: got the error %v, want one that says so", err)
	}
	old, key := ca.issue("old", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) { c.NotAfter = c.NotBefore })
	again.Others = []KeyPair{{PEM{"old.crt", certPEM(old)}, PEM{"old.key", keyPEM(t, key)}}}
	if all := strings.Join(mustNew(t, again).Warnings(), "\n"); !strings.Contains(all, "old.crt: the certificate expired") || strings.Contains(all, "rsa.crt") {
		t.Errorf("Warnings with an expired second certificate: got %q, want one of it alone", all)
	}
}
