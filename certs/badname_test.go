package certs

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestACertificateWhoseNamesCannotBeReadGivesNoName calls nameOf itself: crypto/x509 refuses most
// of these certificates, but that is not what the names rest on.
func TestACertificateWhoseNamesCannotBeReadGivesNoName(t *testing.T) {
	altNames := func(der ...byte) *x509.Certificate {
		return &x509.Certificate{Extensions: []pkix.Extension{{Id: oidAltName, Value: der}}}
	}
	for what, c := range map[string]struct {
		rule NameRule
		cert *x509.Certificate
		want error
	}{
		"a common name that is not text":                  {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: 7}}}}, errBadName},
		"two common names, of which one is not text":      {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: 7}, {Type: oidCommonName, Value: "root"}}}}, errBadName},
		"a URI with a byte behind it":                     {URI, altNames(0x30, 0x04, 0x86, 0x01, 'a', 0x05), errBadName},
		"alternative names that are not DER":              {URI, altNames(0x30, 0x05, 0x86), errBadName},
		"alternative names with a byte behind them":       {URI, altNames(0x30, 0x03, 0x86, 0x01, 'a', 0x05), errBadName},
		"an alternative name that is cut off":             {URI, altNames(0x30, 0x03, 0x86, 0x05, 'a'), errBadName},
		"a name of the URI's tag but of another class":    {URI, altNames(0x30, 0x03, 0x06, 0x01, 'a'), errNoName},
		"an alternative name of another kind":             {URI, altNames(0x30, 0x03, 0x82, 0x01, 'a'), errNoName},
		"an extension that is not the alternative names":  {URI, &x509.Certificate{Extensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2}, Value: []byte{0x30, 0x03, 0x86, 0x01, 'a'}}}}, errNoName},
		"a DNS name that is an address":                   {DNS, &x509.Certificate{DNSNames: []string{"192.0.2.1"}}, errBadName},
		"an attribute that is not the common name":        {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: "root"}}}}, errNoName},
		"a common name that is not UTF-8":                 {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "\xff"}}}}, errBadName},
		"a common name that is longer than a user name":   {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: strings.Repeat("x", 257)}}}}, errBadName},
		"a common name in which a character is invisible": {CN, &x509.Certificate{Subject: pkix.Name{Names: []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "ro\u200bot"}}}}, errBadName},
	} {
		if got, err := nameOf(c.rule, c.cert); got != "" || !errors.Is(err, c.want) {
			t.Errorf("nameOf %s: got %q, %v; want no name and %v", what, got, err, c.want)
		}
	}
}

func TestIdentifyGivesNoNameWithAnError(t *testing.T) {
	ca := newAuthority(t, "CA")
	o := ca.serverOptions().withClients(ca)
	o.Name = URI
	g := mustNew(t, o)
	cert, _ := ca.issue("alice", x509.ExtKeyUsageClientAuth, func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "a", Opaque: "b"}, {Scheme: "c", Opaque: "d"}}
	})
	if name, err := g.Identify([]*x509.Certificate{cert}, time.Now()); !errors.Is(err, errManyNames) || name != (Name{}) {
		t.Errorf("Identify: got %+v, %v; want an empty name and %v", name, err, errManyNames)
	}
	if name, err := g.Identify(nil, time.Now()); !errors.Is(err, errNoCertificate) || name != (Name{}) {
		t.Errorf("Identify without a certificate: got %+v, %v; want an empty name and %v", name, err, errNoCertificate)
	}
}

func TestANameOfTheGreatestLengthIsTaken(t *testing.T) {
	want := strings.Repeat("x", 256)
	cert := &x509.Certificate{DNSNames: []string{want}}
	if got, err := nameOf(DNS, cert); got != want || err != nil {
		t.Errorf("nameOf a name of 256 bytes: got %q, %v; want it", got, err)
	}
}
