package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// authority is a CA made for a test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// template returns a certificate that is valid from an hour ago until tomorrow.
func template(cn string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// caTemplate returns a certificate of a CA.
func caTemplate(cn string) *x509.Certificate {
	c := template(cn)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	return c
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	return (&authority{t: t}).issueCA(name, time.Hour*48)
}

// issueCA makes an intermediate CA below a, or a root CA if a has no key.
func (a *authority) issueCA(name string, lasts time.Duration) *authority {
	a.t.Helper()
	ca := &authority{t: a.t, key: newKey(a.t)}
	c := caTemplate(name)
	c.NotBefore, c.NotAfter = time.Now().Add(-96*time.Hour), time.Now().Add(lasts)
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = c, ca.key
	}
	ca.cert = sign(a.t, c, parent, ca.key.Public(), signer)
	return ca
}

func sign(t testing.TB, c, parent *x509.Certificate, public any, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// issue makes an end-entity certificate. The function change modifies it before it is
// signed.
func (a *authority) issue(cn string, usage x509.ExtKeyUsage, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	c := template(cn)
	c.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	if change != nil {
		change(c)
	}
	key := newKey(a.t)
	return sign(a.t, c, a.cert, key.Public(), a.key), key
}

func certPEM(certificates ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certificates {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return b.Bytes()
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// serverOptions returns the options of a server named localhost.
func (a *authority) serverOptions() Options {
	a.t.Helper()
	cert, key := a.issue("localhost", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })
	return Options{
		Certificate: PEM{"server.crt", certPEM(cert)},
		Key:         PEM{"server.key", keyPEM(a.t, key)},
		NextProtos:  []string{"h2", "http/1.1"},
	}
}

func (o Options) withClients(ca *authority) Options {
	o.ClientCA = PEM{"clients.pem", certPEM(ca.cert)}
	return o
}

func mustNew(t testing.TB, o Options) *Generation {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func clientCert(c *x509.Certificate, key crypto.Signer) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}
