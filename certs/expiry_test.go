package certs

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

// chainTimes are the ends of the certificates of one chain.
type chainTimes struct{ leaf, middle, root time.Duration }

func TestANameEndsWithWhicheverCertificateOfItsChainEndsFirst(t *testing.T) {
	for what, c := range map[string]chainTimes{
		"the client's own certificate":  {leaf: 1 * time.Hour, middle: 2 * time.Hour, root: 3 * time.Hour},
		"the intermediate certificate":  {leaf: 3 * time.Hour, middle: 1 * time.Hour, root: 2 * time.Hour},
		"the certificate of the root":   {leaf: 3 * time.Hour, middle: 2 * time.Hour, root: 1 * time.Hour},
		"the client's, then the root's": {leaf: 1 * time.Hour, middle: 3 * time.Hour, root: 2 * time.Hour},
	} {
		root := (&authority{t: t}).issueCA("root", c.root)
		middle := root.issueCA("middle", c.middle)
		leaf, _ := middle.issue("alice", x509.ExtKeyUsageClientAuth, func(l *x509.Certificate) { l.NotAfter = time.Now().Add(c.leaf) })
		first := leaf.NotAfter
		for _, other := range []*x509.Certificate{middle.cert, root.cert} {
			if other.NotAfter.Before(first) {
				first = other.NotAfter
			}
		}
		g := mustNew(t, root.serverOptions().withClients(root))
		chain := []*x509.Certificate{leaf, middle.cert}
		name, err := g.Identify(chain, time.Now())
		if err != nil || name.Value != "alice" || !name.Until.Equal(first) {
			t.Errorf("Identify where %s ends first: got %q until %v, %v; want alice until %v", what, name.Value, name.Until, err, first)
		}
		if got, err := g.Identify(chain, first.Add(time.Second)); err == nil {
			t.Errorf("Identify after the end of %s: got %q, want an error", what, got.Value)
		}
	}
}

func TestANameHoldsAsLongAsTheLastOfItsChainsDoes(t *testing.T) {
	// The same key with two certificates, as after a renewal of the CA.
	early := newAuthority(t, "CA")
	late := *early
	renewed := caTemplate("CA")
	renewed.NotAfter = early.cert.NotAfter.Add(24 * time.Hour)
	late.cert = sign(t, renewed, renewed, early.key.Public(), early.key)
	leaf, _ := early.issue("alice", x509.ExtKeyUsageClientAuth, func(l *x509.Certificate) { l.NotAfter = late.cert.NotAfter.Add(time.Hour) })
	for what, bundle := range map[string][]*x509.Certificate{
		"the old CA first": {early.cert, late.cert}, "the new CA first": {late.cert, early.cert},
	} {
		o := early.serverOptions()
		o.ClientCA = PEM{"clients.pem", certPEM(bundle...)}
		name, err := mustNew(t, o).Identify([]*x509.Certificate{leaf}, time.Now())
		if err != nil || !name.Until.Equal(late.cert.NotAfter) {
			t.Errorf("Identify with %s: got a name until %v, %v; want one until the new CA ends, %v", what, name.Until, err, late.cert.NotAfter)
		}
	}
}

// TestWithoutClientCAsNoCertificateGivesAName: without the check, crypto/x509 would verify with
// the CAs of the system, and any public certificate would name a user.
func TestWithoutClientCAsNoCertificateGivesAName(t *testing.T) {
	ca := newAuthority(t, "CA")
	leaf, _ := ca.issue("alice", x509.ExtKeyUsageClientAuth, nil)
	for what, chain := range map[string][]*x509.Certificate{"a certificate": {leaf}, "no certificate": nil} {
		if name, err := mustNew(t, ca.serverOptions()).Identify(chain, time.Now()); !errors.Is(err, errNoClientCA) || name != (Name{}) {
			t.Errorf("Identify of %s without client CAs: got %+v, %v; want an empty name and %v", what, name, err, errNoClientCA)
		}
	}
}
