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

func TestNamesFromCertificates(t *testing.T) {
	ca := newAuthority(t, "CA")
	base := ca.serverOptions().withClients(ca)
	name := func(what string, rule NameRule, want string, wantErr error, change func(*x509.Certificate)) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			o := base
			o.Name = rule
			cert, _ := ca.issue("alice", x509.ExtKeyUsageClientAuth, change)
			got, err := mustNew(t, o).Identify([]*x509.Certificate{cert}, time.Now())
			if got.Value != want || !errors.Is(err, wantErr) {
				t.Errorf("Identify by %v: got %q, %v; want %q, %v", rule, got.Value, err, want, wantErr)
			}
		})
	}
	uri := func(s string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
	}
	name("a common name", CN, "alice", nil, nil)
	name("two common names", CN, "", errManyNames, func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: "root"}, {Type: oidCommonName, Value: "alice"}}
	})
	name("no common name", CN, "", errNoName, func(c *x509.Certificate) {
		c.Subject = pkix.Name{Organization: []string{"x"}}
		c.DNSNames = []string{"root"}
	})
	name("a common name that is empty", CN, "", errBadName, func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: ""}}
	})
	name("a common name with a newline", CN, "", errBadName, func(c *x509.Certificate) { c.Subject.CommonName = "root\n" })
	name("a common name with a NUL", CN, "", errBadName, func(c *x509.Certificate) {
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidCommonName, Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("root\x00.x")}}}
	})
	name("a common name that is too long", CN, "", errBadName, func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 257) })
	name("a host", DNS, "mw1001.example", nil, func(c *x509.Certificate) { c.DNSNames = []string{"MW1001.example"} })
	name("two hosts", DNS, "", errManyNames, func(c *x509.Certificate) { c.DNSNames = []string{"a.example", "b.example"} })
	name("no host, though a common name", DNS, "", errNoName, nil)
	name("a wildcard", DNS, "", errBadName, func(c *x509.Certificate) { c.DNSNames = []string{"*.example"} })
	name("a URI, unchanged", URI, "spiffe://example/Conftool%20x", nil, uri("spiffe://example/Conftool%20x"))
	name("two URIs", URI, "", errManyNames, func(c *x509.Certificate) { uri("a:b")(c); uri("c:d")(c) })
	name("no URI", URI, "", errNoName, func(c *x509.Certificate) { c.DNSNames = []string{"a"} })
	name("an address", Email, "ops@example.org", nil, func(c *x509.Certificate) { c.EmailAddresses = []string{"ops@example.org"} })
	name("two addresses", Email, "", errManyNames, func(c *x509.Certificate) { c.EmailAddresses = []string{"a@b", "c@d"} })
}

func TestNameRulesAreReadByName(t *testing.T) {
	for _, rule := range []NameRule{CN, DNS, URI, Email} {
		if got, err := ParseNameRule(rule.String()); err != nil || got != rule {
			t.Errorf("ParseNameRule(%q): got %v, %v; want %v", rule, got, err, rule)
		}
	}
	if _, err := ParseNameRule("CN"); err == nil || !strings.Contains(err.Error(), "cn, dns, uri, email") {
		t.Errorf("ParseNameRule(%q): got the error %v, want one that lists the rules", "CN", err)
	}
}

func TestANameHoldsUntilTheFirstCertificateOfItsChainExpires(t *testing.T) {
	root := newAuthority(t, "root")
	middle := root.issueCA("middle", 2*time.Hour)
	cert, _ := middle.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	g := mustNew(t, root.serverOptions().withClients(root))
	chain := []*x509.Certificate{cert, middle.cert}
	name, err := g.Identify(chain, time.Now())
	if err != nil || !name.Until.Equal(middle.cert.NotAfter) {
		t.Errorf("Identify: got a name until %v, %v; want one until %v", name.Until, err, middle.cert.NotAfter)
	}
	if _, err := g.Identify(chain, name.Until.Add(time.Second)); err == nil {
		t.Error("Identify after the chain has expired: got a name, want an error")
	}
	if _, err := g.Identify(chain[:1], time.Now()); err == nil {
		t.Error("Identify without the intermediate certificate: got a name, want an error")
	}
	if _, err := mustNew(t, root.serverOptions()).Identify(chain, time.Now()); err == nil {
		t.Error("Identify without client CAs: got a name, want an error")
	}
}
