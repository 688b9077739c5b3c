// Package seed has the table and the users of the operator's manual, for tests: root may
// write everything, conftool what is below /conftool, and everyone what is below
// /eventlogging.
package seed

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
)

// Policy returns a policy with the table and the users root, conftool and alice. It has a
// certificate for localhost.
func Policy(t testing.TB) *gate.Policy {
	t.Helper()
	p, err := newPolicy()
	if err != nil {
		t.Fatalf("making a policy: %v", err)
	}
	p.Rules = Rules(t)
	return p
}

func newPolicy() (*gate.Policy, error) {
	pki, err := proxytest.NewPKI()
	if err != nil {
		return nil, err
	}
	cert, key, err := pki.Server("localhost", "127.0.0.1")
	if err != nil {
		return nil, err
	}
	generation, err := certs.New(certs.Options{Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key}})
	if err != nil {
		return nil, err
	}
	lines, err := proxytest.Htpasswd(map[string]string{"root": Password("root"), "conftool": Password("conftool"), "alice": Password("alice")})
	if err != nil {
		return nil, err
	}
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: lines})
	if err != nil {
		return nil, err
	}
	return &gate.Policy{Users: users, Certs: generation, MaxTarget: 4000}, nil
}

// Rules returns the table, with more rules.
func Rules(t testing.TB, more ...acl.Rule) *acl.Rules {
	t.Helper()
	rules, err := acl.NewRules(acl.MatchSegments, append([]acl.Rule{
		{Prefix: "/", Read: acl.Everyone(), Write: acl.Only("root")},
		{Prefix: "/conftool", Read: acl.Everyone(), Write: acl.Only("root", "conftool")},
		{Prefix: "/eventlogging", Read: acl.Everyone(), Write: acl.Everyone()},
	}, more...)...)
	if err != nil {
		t.Fatalf("making rules: %v", err)
	}
	return rules
}

// Password returns the password of a user: the name followed by "-pw".
func Password(user string) string { return user + "-pw" }

// Basic returns the Authorization value of a user, or "" for no user.
func Basic(user string) string {
	if user == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s:%s", user, Password(user)))
}

// Peer returns a client at an address of the documentation range, without a certificate.
func Peer() *gate.Peer { return gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:1234"), nil) }
