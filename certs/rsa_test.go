package certs

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
)

func TestSmallRSAKeysAreRefusedOrWarnedAbout(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // lets the test make such keys
	ca := newAuthority(t, "CA")
	for bits, want := range map[int]struct{ err, warning string }{
		512:  {"server.crt: certificate 1 (line 1) has an RSA key of 512 bits, which no connection can use (hint: make a new key with at least 2,048 bits", ""},
		1024: {"", "server.crt: certificate 1 of the chain has an RSA key of 1024 bits; many programs refuse keys below 2,048 bits"},
		2048: {"", ""},
	} {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		leaf := template("localhost")
		leaf.DNSNames = []string{"localhost"}
		cert := sign(t, leaf, ca.cert, key.Public(), ca.key)
		g, err := New(Options{Certificate: PEM{"server.crt", certPEM(cert)}, Key: PEM{"server.key", keyPEM(t, key)}})
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) {
				t.Errorf("a key of %d bits: got the error %v, want %q", bits, err, want.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("a key of %d bits: got the error %v, want none", bits, err)
			continue
		}
		if got := strings.Join(g.Warnings(), "; "); got != want.warning {
			t.Errorf("a key of %d bits: got the warnings %q, want %q", bits, got, want.warning)
		}
	}
}

func TestASmallRSAKeyOfAClientCAIsWarnedAbout(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	c := template("weak CA")
	c.IsCA, c.BasicConstraintsValid = true, true
	weak := &authority{t: t, key: key, cert: sign(t, c, c, key.Public(), key)}
	g := mustNew(t, newAuthority(t, "CA").serverOptions().withClients(weak))
	if got := strings.Join(g.Warnings(), "; "); !strings.Contains(got, "clients.pem: certificate 1 (line 1) has an RSA key of 1024 bits") {
		t.Errorf("got the warnings %q, want one about the key", got)
	}
}
