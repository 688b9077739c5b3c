package gate_test

import (
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// A path that only begins like one of etcd's is none.
func TestAPathIsPartOfASurfaceByWholeSegments(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Surfaces = map[gate.Surface]acl.Group{
			gate.Members: acl.Only("root"), gate.Auth: acl.Only("root"), gate.Config: acl.Only("root"), gate.Debug: acl.Only("root"), gate.V3: acl.Only("root"),
		}
	})
	for target, want := range map[string]gate.Surface{
		"/v2/keys": gate.Keys, "/v2/keys/a": gate.Keys, "/v2/keysX": gate.Closed, "/v2/keys:a": gate.Closed, "/v2/key": gate.Closed,
		"/v2/members": gate.Members, "/v2/members/1": gate.Members, "/v2/membersX": gate.Closed,
		"/v2/machines": gate.Info, "/v2/machines/1": gate.Closed, "/v2/machinesX": gate.Closed,
		"/v2/stats/self": gate.Info, "/v2/stats/store": gate.Info, "/v2/stats/leader": gate.Info, "/v2/stats": gate.Closed, "/v2/stats/other": gate.Closed,
		"/version": gate.Info, "/health": gate.Info, "/metrics": gate.Info, "/metrics/x": gate.Closed,
		"/v2/auth": gate.Auth, "/v2/auth/users": gate.Auth, "/v2/authX": gate.Closed,
		"/config": gate.Config, "/config/local": gate.Config, "/configX": gate.Closed,
		"/debug": gate.Debug, "/debug/vars": gate.Debug, "/debugX": gate.Closed, "/debug/auth": gate.Debug, "/debug/cluster/x": gate.Debug,
		"/v3/kv/put": gate.V3, "/v3alpha/kv/put": gate.V3, "/v3beta/kv/put": gate.V3, "/v3": gate.V3, "/v3x/kv": gate.Closed, "/v3x": gate.Closed,
		"/": gate.Closed, "/x": gate.Closed, "/livezX": gate.Closed,
	} {
		wantStatus := 0
		if want == gate.Closed {
			wantStatus = 404
		}
		if status, op := decide(g, p, "GET", target, "root"); op.Surface != want || status != wantStatus {
			t.Errorf("GET %s: got the surface %v and status %d, want %v and %d", target, op.Surface, status, want, wantStatus)
		}
	}
}

// The parts of the v3 API are parts of that only.
func TestAnotherSurfaceHasNoParts(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) { p.Surfaces = map[gate.Surface]acl.Group{gate.Debug: acl.Only("root")} })
	for _, target := range []string{"/debug/auth", "/debug/cluster/x"} {
		if status, _ := decide(g, p, "GET", target, "root"); status != 0 {
			t.Errorf("GET %s: got status %d, want 0", target, status)
		}
	}
}

// etcd has these paths, so they are closed and not unknown.
func TestTheHealthChecksOfTheV3APIAreClosed(t *testing.T) {
	g, p := newGate(t, nil)
	for _, target := range []string{"/livez", "/livez/ping", "/readyz", "/readyz/data"} {
		if status, _ := decide(g, p, "GET", target, "root"); status != 403 {
			t.Errorf("GET %s: got status %d, want 403", target, status)
		}
	}
}

// Opening the users of the v2 API does not open the v3 API.
func TestThePartsOfTheV3APINeedItsOwnSurface(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Surfaces = map[gate.Surface]acl.Group{gate.Auth: acl.Only("root"), gate.Members: acl.Everyone()}
		p.EtcdUsers = gate.EtcdClients
	})
	for _, target := range []string{"/v3/auth/enable", "/v3/cluster/member/add", "/v3/kv/put"} {
		if status, _ := decide(g, p, "POST", target, "root"); status != 403 {
			t.Errorf("POST %s where the v3 API is closed: got status %d, want 403", target, status)
		}
	}
}

func TestOnlyOptionsMayAskAboutTheWholeServer(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root"), Write: acl.Only("root")})
	})
	for _, c := range []struct {
		target  string
		status  int
		surface gate.Surface
	}{
		{"*", 0, gate.Info}, {"/v2/keys/a", 0, gate.Keys}, {"/v2/keys/secret/a", 0, gate.Keys}, {"/debug/vars", 403, gate.Debug}, {"/nothing", 404, gate.Closed}, {"**", 400, gate.Closed},
	} {
		if status, op := decide(g, p, "OPTIONS", c.target, ""); status != c.status || op.Surface != c.surface {
			t.Errorf("OPTIONS %s: got status %d and the surface %v, want %d and %v", c.target, status, op.Surface, c.status, c.surface)
		}
	}
}

// etcd's members panic at a write, but a read of such a key is like any other.
func TestReservedKeysCanBeRead(t *testing.T) {
	g, p := newGate(t, nil)
	const target = "/v2/keys/0/members/1/attributes"
	for method, want := range map[string]int{"GET": 0, "HEAD": 0, "OPTIONS": 0, "PUT": 403, "POST": 403, "DELETE": 403} {
		if status, _ := decide(g, p, method, target, "root"); status != want {
			t.Errorf("%s %s: got status %d, want %d", method, target, status, want)
		}
	}
}

func TestTheRuleThatDecidedIsNamedForReadsAndWrites(t *testing.T) {
	g, p := newGate(t, nil)
	for target, want := range map[string]acl.Key{"/v2/keys/conftool/x": "/conftool", "/v2/keys/x": "/", "/v2/keys/eventlogging": "/eventlogging"} {
		for _, method := range []string{"GET", "PUT", "OPTIONS"} {
			if _, op := decide(g, p, method, target, "root"); op.Rule != want {
				t.Errorf("the rule that decided on %s %s: got %v, want %v", method, target, op.Rule, want)
			}
		}
	}
}

func TestWritesThatCannotBeRecordedAreRefused(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) { p.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root")} })
	for _, recorded := range []bool{true, false} {
		g.Audited = func() bool { return recorded }
		for method, refused := range map[string]bool{"PUT": !recorded, "POST": !recorded, "DELETE": !recorded, "GET": false, "HEAD": false, "OPTIONS": false} {
			for _, target := range []string{"/v2/keys/x", "/v2/members"} {
				refusal, _ := request(g, p, seed.Peer(), method, target, "root")
				if got := refusal == gate.RefuseUnaudited; got != refused || !refused && refusal != nil {
					t.Errorf("%s %s where a record can be written: %t: got the refusal %v", method, target, recorded, refusal)
				}
			}
		}
	}
}

func TestARightEndsWithACertificateOnlyIfItRestsOnOne(t *testing.T) {
	pki := newPKI(t)
	for _, c := range []struct {
		known    gate.Known
		required bool
		want     bool
	}{
		{gate.Anonymous, false, false}, {gate.ByPassword, false, false}, {gate.ByCertificate, false, true},
		{gate.Anonymous, true, true}, {gate.ByPassword, true, true}, {gate.ByCertificate, true, true},
	} {
		p := &gate.Policy{Certs: generation(t, pki, c.required)}
		op := gate.Operation{Identity: gate.Identity{Known: c.known}}
		if got := op.Expires(p); got != c.want {
			t.Errorf("Expires of a right by %v, certificates required %t: got %t, want %t", c.known, c.required, got, c.want)
		}
	}
}
