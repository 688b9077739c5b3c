package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/url"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/fronttest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// authority issues certificates that proxytest's PKI would not issue.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.issue(nil, &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return a
}

// issue signs template with the parent's key, or with its own key if parent is nil.
func (a *authority) issue(parent *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer, signing := template, key
	if parent != nil {
		signer, signing = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signing)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// client issues a certificate for the user root, after change has altered it.
func (a *authority) client(change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(template)
	}
	cert, key := a.issue(a, template)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// TestNoCertificateButTheRightOneIsRoots presents certificates that are nearly right.
// Sources: CVE-2009-2408 and Moxie Marlinspike, Null Prefix Attacks (2009); RFC 5280 4.2.1;
// the SPIFFE ID standard.
func TestNoCertificateButTheRightOneIsRoots(t *testing.T) {
	fronttest.EachLane(t, func(t *testing.T, l fronttest.Lane) {
		good, other := newAuthority(t, "clients"), newAuthority(t, "clients")
		chain := func(parent tls.Certificate, change func(*x509.Certificate)) tls.Certificate {
			cert, err := x509.ParseCertificate(parent.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			child := (&authority{t, cert, parent.PrivateKey.(*ecdsa.PrivateKey)}).client(change)
			child.Certificate = append(child.Certificate, parent.Certificate[0])
			return child
		}
		named := func(name string) func(*x509.Certificate) {
			return func(c *x509.Certificate) { c.Subject.CommonName = name }
		}
		id := func(text string) func(*x509.Certificate) {
			return func(c *x509.Certificate) {
				u, err := url.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				c.Subject.CommonName, c.URIs = "spiffe://example.org/root", []*url.URL{u}
			}
		}
		twoNames := func(c *x509.Certificate) {
			cn := asn1.ObjectIdentifier{2, 5, 4, 3}
			c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: cn, Value: "root"}, {Type: cn, Value: "alice"}}}
		}
		selfSigned := func() tls.Certificate {
			cert, key := good.issue(nil, &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
		}
		stolen := good.client(nil)
		stolen.PrivateKey = other.key
		for _, c := range []struct {
			what  string
			rule  string
			cert  tls.Certificate
			roots bool
		}{
			{"the right one", "cn", good.client(nil), true},
			{"expired", "cn", good.client(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}), false},
			{"not valid yet", "cn", good.client(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
			}), false},
			{"for servers", "cn", good.client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), false},
			{"for signing code", "cn", good.client(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }), false},
			{"self-signed", "cn", selfSigned(), false},
			{"of an authority with the same name", "cn", other.client(nil), false},
			{"issued by another client", "cn", chain(good.client(named("alice")), nil), false},
			{"issued by an authority that may not sign", "cn", chain(good.client(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), nil), false},
			{"with another's key", "cn", stolen, false},
			{"with an unknown critical extension", "cn", good.client(func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
			}), false},
			{"without a name", "cn", good.client(named("")), false},
			{"with two names", "cn", good.client(twoNames), false},
			{"with a name in capitals", "cn", good.client(named("ROOT")), false},
			{"with a blank behind its name", "cn", good.client(named("root ")), false},
			{"with a NUL in its name", "cn", good.client(named("root\x00.evil")), false},
			{"with a line end in its name", "cn", good.client(named("root\n")), false},
			{"with a list for a name", "cn", good.client(named("root,alice")), false},
			{"with root as another attribute", "cn", good.client(func(c *x509.Certificate) {
				c.Subject = pkix.Name{Organization: []string{"root"}, OrganizationalUnit: []string{"CN=root"}, CommonName: "alice"}
			}), false},
			{"with root as a DNS name only", "cn", good.client(func(c *x509.Certificate) { c.Subject.CommonName, c.DNSNames = "alice", []string{"root"} }), false},
			{"with root as its common name, where DNS names count", "dns", good.client(nil), false},
			{"with root as one of two DNS names", "dns", good.client(func(c *x509.Certificate) { c.DNSNames = []string{"alice", "root"} }), false},
			{"with root as its DNS name", "dns", good.client(func(c *x509.Certificate) { c.DNSNames = []string{"root"} }), true},
			{"with root as its mail address's start", "email", good.client(func(c *x509.Certificate) { c.EmailAddresses = []string{"root@example.org"} }), false},
			{"with the right SPIFFE ID", "uri", good.client(id("spiffe://example.org/root")), true},
			{"with the SPIFFE ID as its common name", "uri", good.client(named("spiffe://example.org/root")), false},
			{"with a SPIFFE ID of another domain", "uri", good.client(id("spiffe://example.com/root")), false},
			{"with a longer SPIFFE ID", "uri", good.client(id("spiffe://example.org/root/x")), false},
			{"with a SPIFFE ID that ends in a slash", "uri", good.client(id("spiffe://example.org/root/")), false},
			{"with a SPIFFE ID that climbs", "uri", good.client(id("spiffe://example.org/alice/../root")), false},
			{"with a SPIFFE ID with a port", "uri", good.client(id("spiffe://example.org:443/root")), false},
			{"with a SPIFFE ID with a user", "uri", good.client(id("spiffe://root@example.org/root")), false},
			{"with a SPIFFE ID with a query", "uri", good.client(id("spiffe://example.org/root?x")), false},
			{"with a SPIFFE ID that is encoded", "uri", good.client(id("spiffe://example.org/%72oot")), false},
			{"with a SPIFFE ID in capitals", "uri", good.client(id("SPIFFE://EXAMPLE.ORG/root")), false},
			{"with an https URL", "uri", good.client(id("https://example.org/root")), false},
		} {
			r := newRecorder(t)
			rule, err := certs.ParseNameRule(c.rule)
			if err != nil {
				t.Fatal(err)
			}
			f := l.Front(t, r.url, func(s *lane.Snapshot, pki *proxytest.PKI) {
				underAttack(s, pki)
				s.Rules = seed.Rules(t)
				if c.rule == "uri" {
					s.Rules = seed.Rules(t, acl.Rule{Prefix: "/conftool/x", Read: acl.Everyone(), Write: acl.Only("spiffe://example.org/root")})
				}
				cert, key, err := pki.Server("localhost")
				if err != nil {
					t.Fatal(err)
				}
				if s.Certs, err = certs.New(certs.Options{
					Certificate: certs.PEM{File: "c", Data: cert}, Key: certs.PEM{File: "k", Data: key}, ClientCA: certs.PEM{File: "ca", Data: pemOf(good.cert)}, Name: rule, NextProtos: proxy.NextProtos(true),
				}); err != nil {
					t.Fatal(err)
				}
			})
			passes := 0
			if c.roots {
				passes = 1
			}
			r.start(by("conftool"))
			answer := writeWith(t, f, c.cert)
			// The recorder does not see certificates. It judges the write by the rights of
			// conftool, which root has too.
			for _, wrong := range r.stop(passes) {
				t.Errorf("writing with a certificate %s: %s\nthe answer: %.200q", c.what, wrong, answer)
			}
		}
	})
}

// writeWith sends a write with a client certificate.
func writeWith(t *testing.T, f *fronttest.Front, cert tls.Certificate) string {
	t.Helper()
	c, err := tls.Dial("tcp", f.Addr, &tls.Config{RootCAs: f.PKI.Pool(), ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }})
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(fronttest.Patience))
	_, _ = io.WriteString(c, request("PUT", "/v2/keys/conftool/x", "Connection: close\r\n", "value=attack"))
	answer, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(answer)
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
