package certs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net"
	"strings"
	"testing"
	"time"
)

func TestGenerationsThatAreRefused(t *testing.T) {
	ca := newAuthority(t, "CA")
	good := ca.serverOptions()
	other := ca.serverOptions()
	stranger := newAuthority(t, "stranger")
	leaf, _ := ca.issue("client", x509.ExtKeyUsageClientAuth, nil)
	refused := func(what, want string, change func(*Options)) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			o := good
			change(&o)
			_, err := New(o)
			if err == nil {
				t.Fatalf("New: got no error, want one with %q", want)
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("New: got the error %q, want %q in it", err, want)
			}
		})
	}
	refused("no certificate", "server.crt: it contains no certificate", func(o *Options) { o.Certificate.Data = nil })
	refused("a key instead of a certificate", "server.crt: it contains no certificate", func(o *Options) { o.Certificate.Data = o.Key.Data })
	refused("a truncated certificate", "server.crt: PEM block 1, which begins on line 1, cannot be decoded", func(o *Options) { o.Certificate.Data = o.Certificate.Data[:200] })
	refused("text in UTF-16", "server.crt: the text is in UTF-16", func(o *Options) { o.Certificate.Data = []byte("\xff\xfe-\x00") })
	refused("text in UTF-16 of the other order", "server.crt: the text is in UTF-16", func(o *Options) { o.Certificate.Data = []byte("\xfe\xff\x00-") })
	refused("the beginning of a block before another", "server.crt: PEM block 1, which begins on line 1, cannot be decoded", func(o *Options) {
		o.Certificate.Data = append([]byte(beginning), o.Certificate.Data...)
	})
	refused("two damaged blocks", "server.crt: PEM block 2, which begins on line 11, cannot be decoded", func(o *Options) {
		o.Certificate.Data = append(bytes.Clone(o.Certificate.Data), beginning+"A\n"+beginning+"B\n"...)
	})
	refused("two files joined without a newline", "server.crt: PEM block 2 begins in the middle of line 10", func(o *Options) {
		o.Certificate.Data = append(bytes.TrimSpace(bytes.Clone(o.Certificate.Data)), certPEM(ca.cert)...)
	})
	refused("no key", "server.key: it contains no private key", func(o *Options) { o.Key.Data = o.Certificate.Data })
	refused("the key of another certificate", "server.key: the key does not belong to the certificate in server.crt", func(o *Options) { o.Key = PEM{"server.key", other.Key.Data} })
	refused("an encrypted key", "the private key is encrypted", func(o *Options) {
		o.Key.Data = pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	})
	refused("a key that cannot be parsed", "the private key is not valid", func(o *Options) {
		o.Key.Data = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	})
	refused("a chain with an unrelated certificate", "server.crt: certificate 2 (line 11) did not sign certificate 1 (line 1)", func(o *Options) {
		o.Certificate.Data = append(bytes.Clone(o.Certificate.Data), certPEM(stranger.cert)...)
	})
	refused("a client's own certificate among the CAs", "clients.pem: certificate 1 (line 1) is not a CA certificate", func(o *Options) { o.ClientCA = PEM{"clients.pem", certPEM(leaf)} })
	refused("an empty bundle", "clients.pem: it contains no certificate", func(o *Options) { o.ClientCA = PEM{"clients.pem", nil} })
	refused("a bundle that has expired", "all CA certificates have expired", func(o *Options) {
		o.ClientCA = PEM{"clients.pem", certPEM((&authority{t: t}).issueCA("old", -time.Hour).cert)}
	})
	refused("certificates required without CAs", "no CAs", func(o *Options) { o.Require = true })
}

func TestKeysOfAllKindsAreRead(t *testing.T) {
	ca := newAuthority(t, "CA")
	cert, key := ca.issue("localhost", x509.ExtKeyUsageServerAuth, nil)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	for name, data := range map[string][]byte{
		"PKCS #8": keyPEM(t, key), "SEC 1": sec1, "with parameters": append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), sec1...),
		"one file for both": append(certPEM(cert), sec1...),
	} {
		if _, err := New(Options{Certificate: PEM{"c", append(certPEM(cert, ca.cert), bytes.ReplaceAll(data, certPEM(cert), nil)...)}, Key: PEM{"k", data}}); err != nil {
			t.Errorf("New with a key in the form %s: got the error %v, want none", name, err)
		}
	}
}

func TestWhatAnOperatorIsWarnedOf(t *testing.T) {
	ca := newAuthority(t, "CA")
	warned := func(want string, change func(*x509.Certificate)) {
		t.Helper()
		cert, key := ca.issue("x", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) {
			c.DNSNames = []string{"localhost"}
			change(c)
		})
		g := mustNew(t, Options{Certificate: PEM{"c", certPEM(cert)}, Key: PEM{"k", keyPEM(t, key)}})
		if got := strings.Join(g.Warnings(), "\n"); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("Warnings: got %q, want %q in them", got, want)
		}
	}
	warned("", func(*x509.Certificate) {})
	warned("expired at", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	warned("not valid before", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
	warned("names no host", func(c *x509.Certificate) { c.DNSNames = nil })
	warned("", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, []net.IP{{127, 0, 0, 1}} })
	warned("", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} })
	warned("", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })
	warned("", func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	warned("not for servers", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
}

func TestExpiryIsJudgedByTheClockOfTheOptions(t *testing.T) {
	o := newAuthority(t, "CA").serverOptions()
	o.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) }
	if got := strings.Join(mustNew(t, o).Warnings(), "\n"); !strings.Contains(got, "server.crt: the certificate expired at ") {
		t.Errorf("Warnings a year later: got %q, want one about the expired certificate", got)
	}
}

func TestTheCertificateOfThisProgramIsReadAsThatOfAClient(t *testing.T) {
	ca := newAuthority(t, "CA")
	for usage, want := range map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageClientAuth: "", x509.ExtKeyUsageServerAuth: "own.crt: the certificate is not for clients; servers that verify it will refuse it",
	} {
		cert, key := ca.issue("proxy", usage, nil)
		pair, warnings, err := ClientPair(PEM{"own.crt", certPEM(cert, ca.cert)}, PEM{"own.key", keyPEM(t, key)}, time.Now())
		if got := strings.Join(warnings, "; "); err != nil || got != want {
			t.Errorf("ClientPair: got the warnings %q and the error %v, want %q and none", got, err, want)
		}
		if len(pair.Certificate) != 2 || !key.Equal(pair.PrivateKey) {
			t.Errorf("ClientPair: got %d certificates, want the 2 of the chain with their key", len(pair.Certificate))
		}
		if pair, _, err := ClientPair(PEM{"own.crt", certPEM(cert)}, PEM{"own.key", keyPEM(t, newKey(t))}, time.Now()); err == nil || pair.Certificate != nil {
			t.Errorf("ClientPair with another key: got %d certificates and the error %v, want an error alone", len(pair.Certificate), err)
		}
	}
}

// What a reload takes for unchanged stays as it was.
func TestAChangeOfAnyOptionIsAnotherGeneration(t *testing.T) {
	ca := newAuthority(t, "CA")
	base := func() Options { return ca.serverOptions().withClients(ca) }
	o := base()
	first := mustNew(t, o)
	comment := func(p PEM) PEM { return PEM{p.File, append([]byte("a comment\n"), p.Data...)} }
	for what, change := range map[string]func(*Options){
		"certificate":         func(o *Options) { o.Certificate = comment(o.Certificate) },
		"key":                 func(o *Options) { o.Key = comment(o.Key) },
		"client CA":           func(o *Options) { o.ClientCA = comment(o.ClientCA) },
		"revocation list":     func(o *Options) { *o = o.withList(ca.revoke(nil)) },
		"requirement":         func(o *Options) { o.Require = true },
		"rule for names":      func(o *Options) { o.Name = URI },
		"protocols":           func(o *Options) { o.NextProtos = []string{"http/1.1"} },
		"further certificate": func(o *Options) { *o = o.withRSA(t, ca) },
	} {
		changed := o
		change(&changed)
		if first.Equal(mustNew(t, changed)) {
			t.Errorf("Equal with another %s: got true, want false", what)
		}
	}
	for _, has := range []bool{true, false} {
		o := base()
		if !has {
			o = ca.serverOptions()
		}
		if got := mustNew(t, o).HasClientCA(); got != has {
			t.Errorf("HasClientCA: got %t, want %t", got, has)
		}
	}
}

func TestTheSameBytesAreTheSameGeneration(t *testing.T) {
	ca := newAuthority(t, "CA")
	o := ca.serverOptions()
	a, b := mustNew(t, o), mustNew(t, o)
	if !a.Equal(b) {
		t.Error("Equal of two generations of the same options: got false, want true")
	}
	for name, changed := range map[string]Options{
		"certificate": ca.serverOptions(), "clients": o.withClients(ca),
	} {
		if a.Equal(mustNew(t, changed)) {
			t.Errorf("Equal with another %s: got true, want false", name)
		}
	}
	rewritten := o
	rewritten.Key.Data = append(bytes.Clone(o.Key.Data), "\n"...)
	if a.Equal(mustNew(t, rewritten)) {
		t.Error("Equal with another file of the key: got true, want false")
	}
	list := mustNew(t, o.withClients(ca)).Certificates()
	if len(list) != 2 || list[0].Role != "server" || list[1].Role != "client_ca" {
		t.Errorf("Certificates: got %+v, want one of the role server and one of the role client_ca", list)
	}
}

func FuzzPEM(f *testing.F) {
	ca := newAuthority(f, "CA")
	good := ca.serverOptions()
	f.Add(good.Certificate.Data, good.Key.Data, certPEM(ca.cert))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\n-----END RSA PRIVATE KEY-----\n"), []byte{})
	other := newServed(f)
	f.Add(append(bytes.Clone(byteOrderMark), certPEM(other.crossed, other.middle, other.leaf, other.leaf)...), append(good.Key.Data, other.key...), blockOf("TRUSTED CERTIFICATE", ca.cert.Raw))
	f.Add(append(blockOf("DH PARAMETERS", []byte("x")), good.Certificate.Data...), blockOf("ENCRYPTED PRIVATE KEY", []byte("x")), append(certPEM(ca.cert), certPEM(ca.cert)[:99]...))
	f.Fuzz(func(t *testing.T, cert, key, ca []byte) {
		if pool, _, err := Roots(PEM{"r", ca}); (pool == nil) == (err == nil) {
			t.Errorf("Roots: got %v and the error %v, want exactly one of the two", pool, err)
		}
		g, err := New(Options{Certificate: PEM{"c", cert}, Key: PEM{"k", key}, ClientCA: PEM{"a", ca}})
		if (g == nil) == (err == nil) {
			t.Errorf("New: got %v and the error %v, want exactly one of the two", g, err)
		}
	})
}

func TestTheNamesOfTheServer(t *testing.T) {
	ca := newAuthority(t, "CA")
	o := ca.serverOptions()
	leaf, key := ca.issue("server", x509.ExtKeyUsageServerAuth, func(c *x509.Certificate) { c.DNSNames = []string{"conf1001.example.org"} })
	o.Certificate.Data, o.Key.Data = certPEM(leaf), keyPEM(t, key)
	g := mustNew(t, o)
	for host, want := range map[string]bool{"conf1001.example.org": true, "CONF1001.example.org": true, "conf1002.example.org": false, "server": false, "": false} {
		if got := g.Serves(host); got != want {
			t.Errorf("Serves(%q): got %t, want %t", host, got, want)
		}
	}
}
