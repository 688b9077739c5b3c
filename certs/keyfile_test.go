package certs

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
)

func TestRSAAndEd25519KeysAreRead(t *testing.T) {
	ca := newAuthority(t, "CA")
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(small)})
	for what, c := range map[string]struct {
		key  crypto.Signer
		file []byte
	}{
		"RSA in PKCS #1": {small, pkcs1}, "RSA in PKCS #8": {small, keyPEM(t, small)}, "Ed25519": {edwards, keyPEM(t, edwards)},
	} {
		leaf := template("localhost")
		cert := sign(t, leaf, ca.cert, c.key.Public(), ca.key)
		g, err := New(Options{Certificate: PEM{"server.crt", certPEM(cert)}, Key: PEM{"server.key", c.file}})
		if err != nil {
			t.Errorf("New with a key of the kind %s: got the error %v, want none", what, err)
			continue
		}
		if got := g.config.Certificates[0].PrivateKey; !c.key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(got.(crypto.Signer).Public()) {
			t.Errorf("New with a key of the kind %s: got another key", what)
		}
	}
}

func TestAKeyFileThatIsHalfWrittenIsRefused(t *testing.T) {
	o := newAuthority(t, "CA").serverOptions()
	agreement, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(agreement)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, headers map[string]string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: headers, Bytes: []byte("x")})
	}
	for what, c := range map[string]struct {
		data []byte
		want string
	}{
		"half of a key":                          {o.Key.Data[:len(o.Key.Data)/2], "server.key: PEM block 1, which begins on line 1, cannot be decoded"},
		"a key and half of another":              {append(bytes.Clone(o.Key.Data), o.Key.Data[:len(o.Key.Data)/2]...), "server.key: PEM block 2, which begins on line 6, cannot be decoded"},
		"a PKCS #1 block that is no key":         {block("RSA PRIVATE KEY", nil), "server.key: the private key is not valid"},
		"a SEC 1 block that is no key":           {block("EC PRIVATE KEY", nil), "server.key: the private key is not valid"},
		"an encrypted key of old openssl":        {block("RSA PRIVATE KEY", map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}), "server.key: the private key is encrypted"},
		"two keys that are encrypted and broken": {append(block("ENCRYPTED PRIVATE KEY", nil), block("PRIVATE KEY", nil)...), "server.key: the private key is encrypted: PEM block 1"},
		"a key that cannot sign":                 {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "server.key: the private key is not valid"},
	} {
		o.Key.Data = c.data
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New with %s: got the error %v, want %q in it", what, err, c.want)
		}
	}
}

func TestACertificateFileWithOtherBlocksIsRefused(t *testing.T) {
	o := newAuthority(t, "CA").serverOptions()
	good := bytes.Clone(o.Certificate.Data)
	for what, c := range map[string]struct {
		block pem.Block
		want  string
	}{
		"a message":                       {pem.Block{Type: "PKCS7", Bytes: []byte("x")}, "server.crt: PEM block 2 (PKCS7, line 11) is not a certificate"},
		"a revocation list":               {pem.Block{Type: "X509 CRL", Bytes: []byte("x")}, "server.crt: PEM block 2 (X509 CRL, line 11) is a revocation list"},
		"a certificate that is not valid": {pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}, "server.crt: certificate 2 (line 11): "},
	} {
		o.Certificate.Data = append(bytes.Clone(good), pem.EncodeToMemory(&c.block)...)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New with %s behind the certificate: got the error %v, want %q in it", what, err, c.want)
		}
	}
}
