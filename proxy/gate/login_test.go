package gate_test

import (
	"context"
	"encoding/base64"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestEveryClientThatIsNotIdentifiedHasAReason(t *testing.T) {
	pki := newPKI(t)
	g, p := newGate(t, func(p *gate.Policy) { p.Certs = generation(t, pki, false) })
	var reported []gate.Login
	g.Login = func(l gate.Login) { reported = append(reported, l) }
	alien, _ := clientOf(t, newPKI(t), "conftool")
	conftool, _ := clientOf(t, pki, "conftool")
	unnamed, _ := clientOf(t, pki, "")
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for what, c := range map[string]struct {
		peer          *gate.Peer
		authorization string
		want          gate.Login
		text, claimed string
	}{
		"no credentials":             {seed.Peer(), "", gate.LoginMissing, "no_credentials", ""},
		"a token":                    {seed.Peer(), "Bearer conftool", gate.LoginScheme, "other_scheme", ""},
		"no base64":                  {seed.Peer(), "Basic !", gate.LoginMalformed, "malformed_credentials", ""},
		"no password":                {seed.Peer(), basic("conftool:"), gate.LoginMalformed, "malformed_credentials", ""},
		"a name that nothing has":    {seed.Peer(), basic("hunter2:x"), gate.LoginUnknownUser, "unknown_user", ""},
		"a wrong password":           {seed.Peer(), basic("conftool:x"), gate.LoginWrongPassword, "wrong_password", "conftool"},
		"a certificate of others":    {alien, "", gate.LoginUntrusted, "untrusted_certificate", ""},
		"a certificate without name": {unnamed, "", gate.LoginUnnamed, "certificate_name", ""},
		"a certificate":              {conftool, "", gate.LoginCertified, "ok", ""},
		"a password":                 {seed.Peer(), seed.Basic("root"), gate.LoginVerified, "ok", ""},
		"a password with no right":   {seed.Peer(), seed.Basic("alice"), gate.LoginVerified, "ok", ""},
	} {
		reported = nil
		var op gate.Operation
		g.Decide(context.Background(), p, &gate.Request{Method: "PUT", Target: "/v2/keys/x", Authorization: c.authorization, Peer: c.peer}, &op)
		if op.Login != c.want || op.Login.String() != c.text || op.Claimed != c.claimed {
			t.Errorf("%s: got the login %v and the claimed name %q, want %s and %q", what, op.Login, op.Claimed, c.text, c.claimed)
		}
		if len(reported) != 1 || reported[0] != c.want {
			t.Errorf("%s: got the reports %v, want one of %v", what, reported, c.want)
		}
	}
}

func TestAClaimedNameIsKeptOnlyIfAFileOrARuleHasIt(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Rules = seed.Rules(t, acl.Rule{Prefix: "/dns", Read: acl.Everyone(), Write: acl.Only("powerdns")})
		p.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("operator"), gate.Debug: acl.Everyone()}
	})
	for name, want := range map[string]string{"alice": "alice", "powerdns": "powerdns", "operator": "operator", "hunter2": "", "Alice": ""} {
		var op gate.Operation
		g.Decide(context.Background(), p, &gate.Request{
			Method: "PUT", Target: "/v2/keys/x", Peer: seed.Peer(), Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":wrong")),
		}, &op)
		if op.Claimed != want || op.Identity.Name != "" {
			t.Errorf("a login as %s that failed: got the claimed name %q and the verified name %q, want %q and none", name, op.Claimed, op.Identity.Name, want)
		}
	}
}

func TestAThrottledClientIsNamedIfItsNameIsKnown(t *testing.T) {
	g, p := newGate(t, nil)
	g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 1, Every: time.Hour})
	var op gate.Operation
	for range 2 {
		g.Decide(context.Background(), p, &gate.Request{
			Method: "PUT", Target: "/v2/keys/x", Peer: seed.Peer(), Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("conftool:wrong")),
		}, &op)
	}
	if op.Login != gate.LoginThrottled || op.Claimed != "conftool" {
		t.Errorf("the second of two wrong passwords: got the login %v and the claimed name %q, want throttled and conftool", op.Login, op.Claimed)
	}
}

func TestAMissingCertificateThatIsRequiredIsReported(t *testing.T) {
	pki := newPKI(t)
	g, p := newGate(t, func(p *gate.Policy) { p.Certs = generation(t, pki, true) })
	alien, _ := clientOf(t, newPKI(t), "conftool")
	for _, c := range []struct {
		peer *gate.Peer
		want gate.Login
	}{{seed.Peer(), gate.LoginMissing}, {alien, gate.LoginUntrusted}} {
		var reported []gate.Login
		g.Login = func(l gate.Login) { reported = append(reported, l) }
		refusal, op := request(g, p, c.peer, "GET", "/v2/keys/a", "")
		if refusal != gate.RefuseIdentity || op.Login != c.want || len(reported) != 1 || reported[0] != c.want {
			t.Errorf("a read where certificates are required: got the refusal %v, the login %v and the reports %v, want %v and %v", refusal, op.Login, reported, gate.RefuseIdentity, c.want)
		}
	}
}
