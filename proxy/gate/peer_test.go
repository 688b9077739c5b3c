package gate

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/proxytest"
)

// A certificate is verified once for each generation of CAs, whether it is good or bad.
// Otherwise each request on a connection would cost some signatures.
func TestTheCertificateOfAConnectionIsVerifiedOnce(t *testing.T) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	other, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	g, err := certs.New(certs.Options{Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key}, ClientCA: certs.PEM{File: "ca", Data: pki.CA()}})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		issuer *proxytest.PKI
		good   bool
	}{"a valid certificate": {pki, true}, "a certificate of another CA": {other, false}} {
		cert, key, err := c.issuer.Client("alice")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		peer := NewPeer(netip.MustParseAddrPort("192.0.2.1:1"), []*x509.Certificate{pair.Leaf})
		if _, _, err := peer.certificate(g); (err == nil) != c.good {
			t.Errorf("the name of %s: got the error %v, want success: %t", what, err, c.good)
		}
		if n := testing.AllocsPerRun(10, func() { _, _, _ = peer.certificate(g) }); n > 0 {
			t.Errorf("the name of %s, asked for again: got %v allocations, want none", what, n)
		}
	}
}

func TestAnIPv4AddressAtASocketOfIPv6HasItsOwnForm(t *testing.T) {
	for addr, want := range map[string]string{"192.0.2.1:1": "192.0.2.1", "[::ffff:192.0.2.1]:1": "192.0.2.1", "[2001:db8::1]:1": "2001:db8::1"} {
		p := NewPeer(netip.MustParseAddrPort(addr), nil)
		if p.Address != want || p.Addr.Addr().String() != want || p.Addr.Port() != 1 {
			t.Errorf("NewPeer(%s): got the address %s and %v, want %s", addr, p.Address, p.Addr, want)
		}
	}
}

func TestWhyACertificateDidNotIdentifyItsClient(t *testing.T) {
	wrapped := func(err error) error { return fmt.Errorf("verifying: %w", err) }
	for want, err := range map[Login]error{
		LoginMissing:   wrapped(errNoCertificate),
		LoginUnnamed:   wrapped(certs.NameError("no name")),
		LoginRevoked:   wrapped(certs.ErrRevoked),
		LoginExpired:   wrapped(x509.CertificateInvalidError{Reason: x509.Expired}),
		LoginUntrusted: wrapped(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}),
	} {
		if got := loginOf(err); got != want {
			t.Errorf("loginOf(%v): got %v, want %v", err, got, want)
		}
	}
	if got := loginOf(errors.New("unknown")); got != LoginUntrusted {
		t.Errorf("loginOf another error: got %v, want %v", got, LoginUntrusted)
	}
	for login, want := range map[Login]string{LoginUnneeded: "not_needed", LoginVerified: "ok", LoginRemembered: "ok", LoginCertified: "ok", LoginRevoked: "revoked_certificate"} {
		if got := login.String(); got != want {
			t.Errorf("login %d in logs: got %q, want %q", login, got, want)
		}
	}
}

func TestTargetsThatAreRefusedForTheirForm(t *testing.T) {
	refusals := map[string]*Refusal{
		"": RefuseTarget, "v2/keys": RefuseTarget, "ftp://h/v2/keys": RefuseTarget, "http://u@h/v2/keys": RefuseTarget, "http:///v2/keys": RefuseTarget,
		"http://h": RefuseTarget, "http://h?/v2/keys": RefuseTarget, "http": RefuseTarget, "https": RefuseTarget, "*": RefuseTarget,
		"/v2/keys/a?x y": RefuseQuery, "/v2/keys/a?x=\x00": RefuseQuery, "/v2/keys/a?x=\x7f": RefuseQuery, "/v2/keys/a?#": RefuseQuery, "/v2/keys/a?;": RefuseSemicolon,
		"/v2/keys/a?x=!": nil, "/v2/keys/a?x=\x80": nil, "/v2/keys/a?x=\"": nil, "/v2/keys/a?x=~": nil,
	}
	p := &Policy{MaxTarget: 100}
	for target, want := range refusals {
		if got := readTarget(p, &Request{Target: target}, &Operation{Method: MethodGet}); got != want {
			t.Errorf("the target %q: got the refusal %+v, want %+v", target, got, want)
		}
	}
	long := "/v2/keys/a"
	for len(long) < 101 {
		long += "/" // shorter than the limit in canonical form
	}
	if got := readTarget(p, &Request{Target: long}, &Operation{Method: MethodGet}); got != RefuseTooLong {
		t.Errorf("a target of 101 bytes that is received: got the refusal %+v, want %+v", got, RefuseTooLong)
	}
	if got := readTarget(p, &Request{Target: long[:100]}, &Operation{Method: MethodGet}); got != nil {
		t.Errorf("a target of 100 bytes that is received: got the refusal %+v, want none", got)
	}
}

// Only what waits for an event is a watch, and only what ends is shared.
func TestHowReadsAreCarried(t *testing.T) {
	for _, c := range []struct {
		method, target string
		watch, shared  bool
		query          string
	}{
		{MethodGet, "/v2/keys/a?wait=true&recursive=true", true, false, ""},
		{MethodHead, "/v2/keys/a?wait=true&recursive=true", false, false, ""},
		{MethodGet, "/v2/keys/a?recursive=true", false, true, "recursive=true"},
		{MethodHead, "/v2/keys/a?recursive=true", false, true, "recursive=true"},
		{MethodGet, "/v2/keys/a?recursive=true&sorted=x", false, false, ""},
		{MethodOptions, "/v2/keys/a?wait=true", false, false, ""},
	} {
		op := Operation{Method: c.method}
		if refusal := readTarget(&Policy{MaxTarget: 100}, &Request{Target: c.target}, &op); refusal != nil {
			t.Errorf("%s %s: got the refusal %+v, want none", c.method, c.target, refusal)
		}
		if op.Watch != c.watch || op.Shared != c.shared || op.SharedQuery != c.query {
			t.Errorf("%s %s: got watch %t, shared %t with the query %q; want %t, %t and %q", c.method, c.target, op.Watch, op.Shared, op.SharedQuery, c.watch, c.shared, c.query)
		}
	}
}
