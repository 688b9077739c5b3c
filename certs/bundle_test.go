package certs

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestACertificateThatSaysItIsNoCAIsRefusedInTheBundle(t *testing.T) {
	ca := newAuthority(t, "CA")
	// A certificate without basic constraints is another case, and so is one that has them
	// and says CA:FALSE, which is what openssl and most CAs issue to clients.
	leaf, _ := ca.issue("root", x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) { c.BasicConstraintsValid = true })
	if !leaf.BasicConstraintsValid || leaf.IsCA {
		t.Fatalf("the test's certificate: got basic constraints %t and CA %t, want true and false", leaf.BasicConstraintsValid, leaf.IsCA)
	}
	o := ca.serverOptions()
	for what, c := range map[string]struct {
		bundle []*x509.Certificate
		want   string
	}{
		"alone":       {[]*x509.Certificate{leaf}, "clients.pem: certificate 1 (line 1) is not a CA certificate"},
		"behind a CA": {[]*x509.Certificate{ca.cert, leaf}, "clients.pem: certificate 2 (line 11) is not a CA certificate"},
	} {
		o.ClientCA = PEM{"clients.pem", certPEM(c.bundle...)}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New with a client's certificate in the bundle, %s: got the error %v, want %q in it", what, err, c.want)
		}
	}
}

func TestABundleWithAnExpiredCAWarnsOfIt(t *testing.T) {
	ca, old := newAuthority(t, "CA"), (&authority{t: t}).issueCA("old", -time.Hour)
	o := ca.serverOptions()
	o.ClientCA = PEM{"clients.pem", certPEM(ca.cert, old.cert)}
	warnings := mustNew(t, o).Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "clients.pem: certificate 2 (line 11) expired at "+old.cert.NotAfter.Format(time.RFC3339)) {
		t.Errorf("Warnings: got %q, want one of the second certificate and its end", warnings)
	}
}

func TestClientsAreSentTheNamesOfTheCAs(t *testing.T) {
	ca, second := newAuthority(t, "CA"), newAuthority(t, "second")
	o := ca.serverOptions()
	o.ClientCA = PEM{"clients.pem", certPEM(ca.cert, second.cert)}
	s := newTestServer(t, ca, o)
	var sent [][]byte
	_, _, err := s.connect(s.config(), func(c *tls.Config) {
		c.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			sent = r.AcceptableCAs
			return &tls.Certificate{}, nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	// A browser or a client with several certificates chooses by these names.
	for _, want := range []*x509.Certificate{ca.cert, second.cert} {
		if !slices.ContainsFunc(sent, func(got []byte) bool { return string(got) == string(want.RawSubject) }) {
			t.Errorf("names in the request for a certificate: got %d without %v, want it among them", len(sent), want.Subject)
		}
	}
}

func TestABundleWithoutANameOfItsFileIsReadAsWell(t *testing.T) {
	ca := newAuthority(t, "CA")
	o := ca.serverOptions()
	for what, data := range map[string][]byte{"a byte": []byte("x"), "a line": []byte("x\n")} {
		o.ClientCA = PEM{Data: data}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), "it contains no certificate") {
			t.Errorf("New with a bundle of %s: got the error %v, want one that it contains no certificate", what, err)
		}
	}
}
