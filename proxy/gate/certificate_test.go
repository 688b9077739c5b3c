package gate_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func newPKI(t *testing.T) *proxytest.PKI {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	return pki
}

// generation returns certificates of a server whose clients have certificates of pki.
func generation(t *testing.T, pki *proxytest.PKI, require bool) *certs.Generation {
	t.Helper()
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	g, err := certs.New(certs.Options{
		Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key},
		ClientCA: certs.PEM{File: "ca", Data: pki.CA()}, Require: require,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// clientOf returns a connection of a client with a certificate for a user, and its end.
func clientOf(t *testing.T, pki *proxytest.PKI, user string) (*gate.Peer, time.Time) {
	t.Helper()
	cert, key, err := pki.Client(user)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:1234"), []*x509.Certificate{pair.Leaf}), pair.Leaf.NotAfter
}

// request is a request on a connection, with a user's password unless user is "".
func request(g *gate.Gate, p *gate.Policy, peer *gate.Peer, method, target, user string) (*gate.Refusal, gate.Operation) {
	var op gate.Operation
	refusal := g.Decide(context.Background(), p, &gate.Request{Method: method, Target: target, Authorization: seed.Basic(user), Peer: peer}, &op)
	return refusal, op
}

func TestACertificateGivesItsUserTheirRights(t *testing.T) {
	pki := newPKI(t)
	g, p := newGate(t, func(p *gate.Policy) { p.Certs = generation(t, pki, false) })
	var logins []string
	g.Login = func(l gate.Login) { logins = append(logins, l.Means().String()+" "+l.Result()) }
	conftool, _ := clientOf(t, pki, "conftool")
	alien, _ := clientOf(t, newPKI(t), "conftool")
	for what, c := range map[string]struct {
		peer   *gate.Peer
		target string
		user   string
		want   *gate.Refusal
		login  string
	}{
		"their own key":                      {conftool, "/v2/keys/conftool/a", "", nil, "certificate ok"},
		"the key of another":                 {conftool, "/v2/keys/a", "", gate.RefuseIdentity, "certificate ok"},
		"a certificate of another CA":        {alien, "/v2/keys/conftool/a", "", gate.RefuseIdentity, "certificate failed"},
		"no certificate":                     {seed.Peer(), "/v2/keys/conftool/a", "", gate.RefuseIdentity, "anonymous none"},
		"a password beside a certificate":    {conftool, "/v2/keys/a", "root", nil, "password ok"},
		"a wrong password beside a good one": {conftool, "/v2/keys/conftool/a", "nobody", gate.RefuseIdentity, "password failed"},
	} {
		logins = nil
		refusal, op := request(g, p, c.peer, "PUT", c.target, c.user)
		if refusal != c.want || !slices.Equal(logins, []string{c.login}) {
			t.Errorf("PUT, %s: got the refusal %v and the logins %q, want %v and %q", what, refusal, logins, c.want, c.login)
		}
		if c.login == "certificate ok" && (op.Identity.Name != "conftool" || op.Identity.Known != gate.ByCertificate) {
			t.Errorf("PUT, %s: got the identity %+v, want conftool by certificate", what, op.Identity)
		}
	}
}

func TestWhereCertificatesAreRequiredEveryRequestNeedsOne(t *testing.T) {
	pki := newPKI(t)
	g, p := newGate(t, func(p *gate.Policy) { p.Certs = generation(t, pki, true) })
	good, _ := clientOf(t, pki, "conftool")
	alien, _ := clientOf(t, newPKI(t), "conftool")
	for _, c := range []struct {
		method, target, user string
	}{
		{"GET", "/v2/keys/a", ""}, {"GET", "/version", ""}, {"OPTIONS", "/v2/keys/a", ""}, {"PUT", "/v2/keys/eventlogging/a", ""}, {"PUT", "/v2/keys/a", "root"},
	} {
		if refusal, _ := request(g, p, good, c.method, c.target, c.user); refusal != nil {
			t.Errorf("%s %s by %q with a certificate: got the refusal %v, want none", c.method, c.target, c.user, refusal)
		}
		for what, peer := range map[string]*gate.Peer{"without a certificate": seed.Peer(), "with one of another CA": alien} {
			if refusal, _ := request(g, p, peer, c.method, c.target, c.user); refusal != gate.RefuseIdentity {
				t.Errorf("%s %s by %q %s: got the refusal %v, want %v", c.method, c.target, c.user, what, refusal, gate.RefuseIdentity)
			}
		}
	}
}

func still(g *gate.Gate, p *gate.Policy, op *gate.Operation, peer *gate.Peer) bool {
	yes, _ := g.Still(p, op, peer)
	return yes
}

func TestACertificateThatExpiresOnALiveConnectionGivesNoMoreRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pki := newPKI(t)
		for _, require := range []bool{false, true} {
			g, p := newGate(t, func(p *gate.Policy) { p.Certs = generation(t, pki, require) })
			p.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("conftool"), Write: acl.Only("conftool")})
			peer, until := clientOf(t, pki, "conftool")
			refusal, op := request(g, p, peer, "GET", "/v2/keys/secret/a?wait=true", "")
			if refusal != nil || !still(g, p, &op, peer) {
				t.Fatalf("a watch with a valid certificate: got the refusal %v, want one that goes on", refusal)
			}
			time.Sleep(time.Until(until)) //nolint:forbidigo // the clock is the bubble's: nothing waits
			if refusal, _ := request(g, p, peer, "GET", "/v2/keys/secret/a", ""); refusal != nil {
				t.Errorf("a read in the last second of the certificate: got the refusal %v, want none", refusal)
			}
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the bubble's: nothing waits
			for _, method := range []string{"GET", "PUT"} {
				refusal, op := request(g, p, peer, method, "/v2/keys/secret/a", "")
				if refusal != gate.RefuseIdentity || op.Login != gate.LoginExpired {
					t.Errorf("%s on the same connection after the certificate, required %t: got the refusal %v and the login %v, want %v and %v",
						method, require, refusal, op.Login, gate.RefuseIdentity, gate.LoginExpired)
				}
			}
			if still(g, p, &op, peer) {
				t.Errorf("Still of a watch after its certificate, required %t: got true, want false", require)
			}
			pki = newPKI(t) // the first one's CA is as old as the certificate
		}
	})
}

func TestAWatchGoesOnOnlyWithTheRightAndTheIdentityItWasGivenFor(t *testing.T) {
	pki := newPKI(t)
	reads := func(read acl.Group) *acl.Rules {
		return seed.Rules(t, acl.Rule{Prefix: "/secret", Read: read, Write: acl.Only("root")})
	}
	g, p := newGate(t, func(p *gate.Policy) {
		p.Certs = generation(t, pki, false)
		p.Rules = reads(acl.Only("conftool"))
	})
	withCertificate, _ := clientOf(t, pki, "conftool")
	const watch = "/v2/keys/secret/a?wait=true"
	refusal, byCertificate := request(g, p, withCertificate, "GET", watch, "")
	if refusal != nil || byCertificate.Identity.Known != gate.ByCertificate {
		t.Fatalf("a watch by certificate: got the refusal %v and %+v", refusal, byCertificate.Identity)
	}
	plain := seed.Peer()
	refusal, byPassword := request(g, p, plain, "GET", watch, "conftool")
	if refusal != nil || byPassword.Identity.Known != gate.ByPassword {
		t.Fatalf("a watch by password: got the refusal %v and %+v", refusal, byPassword.Identity)
	}
	anonymous := gate.Operation{Method: "GET", Surface: gate.Keys, Key: byPassword.Key, Watch: true}

	users := func(passwords map[string]string) *acl.Users {
		lines, err := proxytest.Htpasswd(passwords)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: lines})
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for what, c := range map[string]struct {
		change                               func(p *gate.Policy)
		byCertificate, byPassword, anonymous bool
	}{
		"no change":                 {func(*gate.Policy) {}, true, true, false},
		"everyone may read":         {func(p *gate.Policy) { p.Rules = reads(acl.Everyone()) }, true, true, true},
		"another user may read":     {func(p *gate.Policy) { p.Rules = reads(acl.Only("alice")) }, false, false, false},
		"the password is another":   {func(p *gate.Policy) { p.Users = users(map[string]string{"conftool": "new"}) }, true, false, false},
		"the user is gone":          {func(p *gate.Policy) { p.Users = users(map[string]string{"root": "x"}) }, true, false, false},
		"the CA is another":         {func(p *gate.Policy) { p.Certs = generation(t, newPKI(t), false) }, false, true, false},
		"certificates are required": {func(p *gate.Policy) { p.Certs = generation(t, pki, true) }, true, false, false},
		"certificates are required, and everyone may read": {func(p *gate.Policy) {
			p.Certs, p.Rules = generation(t, pki, true), reads(acl.Everyone())
		}, true, false, false},
	} {
		next := *p
		c.change(&next)
		for _, w := range []struct {
			means string
			op    *gate.Operation
			peer  *gate.Peer
			want  bool
		}{
			{"certificate", &byCertificate, withCertificate, c.byCertificate},
			{"password", &byPassword, plain, c.byPassword},
			{"no identity", &anonymous, plain, c.anonymous},
		} {
			if got := still(g, &next, w.op, w.peer); got != w.want {
				t.Errorf("Still of a watch by %s after the change %q: got %t, want %t", w.means, what, got, w.want)
			}
		}
	}
	// A name without a password, such as one that a rule still has, proves nothing.
	ghost := gate.Operation{Method: "GET", Surface: gate.Keys, Key: byPassword.Key, Watch: true, Identity: gate.Identity{Name: "ghost", Known: gate.ByPassword}}
	admitting := *p
	admitting.Rules = reads(acl.Only("ghost"))
	if still(g, &admitting, &ghost, plain) {
		t.Error("Still of a watch by a user who has no password any more: got true, want false")
	}
	// The user of the connection's certificate is not the one that the right was given to.
	other, _ := clientOf(t, pki, "alice")
	next := *p
	next.Rules = reads(acl.Only("conftool", "alice"))
	if still(g, &next, &byCertificate, other) {
		t.Error("Still with the certificate of another user who may read: got true, want false")
	}
}
