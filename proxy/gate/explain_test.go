package gate_test

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

func TestAnExplanationSaysWhatTheGateDecides(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Rules = seed.Rules(t, acl.Rule{Prefix: "/conftool/locked", Read: acl.Everyone(), Write: acl.Only("alice")},
			acl.Rule{Prefix: "/secret", Read: acl.Only("alice"), Write: acl.Only("alice")})
		p.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root")}
	})
	for _, method := range []string{"GET", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		for _, target := range []string{"/v2/keys", "/v2/keys/x", "/v2/keys/conftool/x", "/v2/keys/conftool", "/v2/keys/eventlogging/x?recursive=true", "/v2/keys/secret/x", "/v2/members", "/v3/kv/put",
			"/v2/keys/a/../b", "/v2/keys/0/members/1/attributes", "/metrics", "/nothing", "*"} {
			for _, user := range []string{"", "root", "conftool", "alice"} {
				status, op := decide(g, p, method, target, user)
				e := p.Explain(method, target, user)
				if target == "/nothing" { // operators write keys without the API's prefix
					status, op = decide(g, p, method, "/v2/keys/nothing", user)
				}
				if e.Allowed != (status == 0) || e.Status != status || op.Target != "" && e.Target != op.Target || e.Rule != string(op.Rule) {
					t.Errorf("%s %s by %q: got %+v, want status %d by rule %q", method, target, user, e, status, op.Rule)
				}
			}
		}
	}
}

func TestAnExplanationSaysWhoMay(t *testing.T) {
	_, p := newGate(t, func(p *gate.Policy) { p.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root")} })
	for call, want := range map[string]string{
		"PUT /conftool/x": "conftool,root", "PUT /eventlogging/x": "everyone", "GET /x": "everyone", "POST /v2/members": "root", "POST /v3/kv/put": "", "GET /version": "everyone",
	} {
		method, target, _ := strings.Cut(call, " ")
		e := p.Explain(method, target, "")
		got := strings.Join(e.May, ",")
		if e.Everyone {
			got = "everyone"
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", call, got, want)
		}
	}
	// Where the user does not matter, nobody may.
	for _, target := range []string{"/0/members/1/attributes", "/v2/keys/0/members/1/attributes", "/v2/nothing", "/v2/auth/users"} {
		if e := p.Explain("PUT", target, "root"); e.Allowed || e.May != nil || e.Everyone {
			t.Errorf("PUT %s: got %+v, want that nobody may", target, e)
		}
	}
	if text := fmt.Sprintf("%+v", p.Explain("PUT", "/0/members/1/attributes", "root")); !strings.Contains(text, "nobody may write it") {
		t.Errorf("a reserved key: got %s, want the reason", text)
	}
}

func TestAnExplanationTakesWhatOperatorsWriteForAKey(t *testing.T) {
	_, p := newGate(t, nil)
	for target, want := range map[string]string{
		"/x":                 "/v2/keys/x",
		"/dns://a":           "/v2/keys/dns:/a",
		"/v3x":               "/v2/keys/v3x",
		"/v2/keys/x":         "/v2/keys/x",
		"/v2/keys/":          "/v2/keys",
		"/v2/stats/self":     "/v2/stats/self",
		"/v2/nothing":        "/v2/nothing",
		"/version":           "/version",
		"http://h/v2/keys/x": "/v2/keys/x",
		// These have no canonical form, so they are shown as they were written.
		"/a/../b": "/a/../b",
		"/a%2fb":  "/a%2fb",
		"x":       "x",
	} {
		if got := p.Explain("GET", target, "").Target; got != want {
			t.Errorf("the target of an explanation of %s: got %s, want %s", target, got, want)
		}
	}
}

func TestAnExplanationNeedsNeitherUsersNorCertificates(t *testing.T) {
	_, p := newGate(t, nil)
	p.Certs, p.Users = generation(t, newPKI(t), true), nil
	if e := p.Explain("PUT", "/conftool/x", "conftool"); !e.Allowed {
		t.Errorf("PUT by conftool where certificates are required: got %+v, want it allowed", e)
	}
	p.Certs = nil
	if e := p.Explain("PUT", "/conftool/x", "alice"); e.Allowed || e.Status != 401 {
		t.Errorf("PUT by alice without certificates: got %+v, want status 401", e)
	}
}

func TestADecisionWithoutARuleNamesNone(t *testing.T) {
	rules, err := acl.NewRules(acl.MatchSegments, acl.Rule{Prefix: "/a", Read: acl.Everyone(), Write: acl.Only("root")})
	if err != nil {
		t.Fatal(err)
	}
	p := &gate.Policy{Rules: rules, MaxTarget: 4096}
	for target, want := range map[string]gate.Explanation{
		"/b":             {Rule: "", NoRule: true},
		"/a/b":           {Rule: "/a"},
		"/v2/stats/self": {},
	} {
		for _, method := range []string{"GET", "PUT"} {
			if e := p.Explain(method, target, "root"); e.Rule != want.Rule || e.NoRule != want.NoRule {
				t.Errorf("%s %s: got the rule %q (none: %t), want %q (none: %t)", method, target, e.Rule, e.NoRule, want.Rule, want.NoRule)
			}
		}
	}
}
