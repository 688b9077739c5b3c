package attack

import (
	"crypto/tls"
	"testing"

	"etcd-tlsproxy/proxy/proxytest"
)

// testCertificate returns a certificate for localhost and its CA.
func testCertificate(t *testing.T) (pair tls.Certificate, ca []byte) {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return pair, pki.CA()
}
