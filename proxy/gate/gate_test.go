package gate_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest/seed"
)

// newGate returns a gate and the seed's policy, which change alters.
func newGate(t testing.TB, change func(*gate.Policy)) (*gate.Gate, *gate.Policy) {
	t.Helper()
	p := seed.Policy(t)
	if change != nil {
		change(p)
	}
	return &gate.Gate{
		Throttle: acl.NewThrottle(acl.ThrottleOptions{Burst: 1000}),
		Admits:   func(*gate.Peer, acl.Access) bool { return true },
		Login:    func(gate.Login) {},
	}, p
}

// decide passes one request to the gate and returns the status, 0 for allowed.
func decide(g *gate.Gate, p *gate.Policy, method, target, user string) (int, gate.Operation) {
	var op gate.Operation
	refusal := g.Decide(context.Background(), p, &gate.Request{Method: method, Target: target, Authorization: seed.Basic(user), Peer: seed.Peer()}, &op)
	if refusal == nil {
		return 0, op
	}
	return refusal.Status, op
}

func TestTheSeedTableAtTheGate(t *testing.T) {
	g, p := newGate(t, nil)
	expect := func(method, target, user string, want int) {
		t.Helper()
		if got, _ := decide(g, p, method, target, user); got != want {
			t.Errorf("%s %s by %q: %d, want %d", method, target, user, got, want)
		}
	}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		expect(method, "/v2/keys/x", "root", 0)
		expect(method, "/v2/keys/conftool/v1/x", "root", 0)
		expect(method, "/v2/keys/conftool/v1/x", "conftool", 0)
		expect(method, "/v2/keys/conftool", "conftool", 0)
		expect(method, "/v2/keys/conftool/", "conftool", 0)
		expect(method, "/v2/keys/eventlogging/x", "", 0)
		expect(method, "/v2/keys/eventlogging/x", "alice", 0)
		expect(method, "/v2/keys/x", "", 401)
		expect(method, "/v2/keys/x", "conftool", 401)
		expect(method, "/v2/keys/x", "alice", 401)
		expect(method, "/v2/keys", "conftool", 401)
		expect(method, "/v2/keys/", "", 401)
		expect(method, "/v2/keys", "root", 0)
		expect(method, "/v2/keys/conftool/x", "", 401)
		expect(method, "/v2/keys/conftool/x", "alice", 401)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		for _, user := range []string{"", "root", "alice", "nobody"} {
			expect(method, "/v2/keys/conftool?recursive=true", user, 0)
			expect(method, "/v2/machines", user, 0)
		}
	}
	expect("OPTIONS", "*", "", 0)
	expect("GET", "*", "", 400)
	expect("PATCH", "/v2/keys/x", "root", 405)
	expect("get", "/v2/keys/x", "", 405)
	expect("TRACE", "/v2/keys/x", "", 405)
	expect("CONNECT", "localhost:2379", "", 405)
	expect("PROPFIND", "/v2/keys/x", "", 405)
}

func TestHolesOfTheNginxSiteAreClosed(t *testing.T) {
	g, p := newGate(t, nil)
	refused := func(hole, method, target, user string, want int) {
		t.Helper()
		t.Run(hole, func(t *testing.T) {
			if got, op := decide(g, p, method, target, user); got != want {
				t.Errorf("%s %s by %q: %d, want %d (%+v)", method, target, user, got, want, op)
			}
		})
	}
	refused("a user of a prefix writes its neighbor with a longer name", "PUT", "/v2/keys/conftoolX/a", "conftool", 401)
	refused("anyone writes the neighbor of an open prefix", "PUT", "/v2/keys/eventloggingX/k", "", 401)
	refused("anyone adds a member", "POST", "/v2/members", "", 403)
	refused("root adds a member although the surface is closed", "POST", "/v2/members", "root", 403)
	refused("anyone removes a member", "DELETE", "/v2/members/1", "", 403)
	refused("anyone creates etcd's root user", "PUT", "/v2/auth/users/root", "", 403)
	refused("anyone reads etcd's users", "GET", "/v2/auth/users", "", 403)
	refused("anyone switches etcd's authentication on", "PUT", "/v2/auth/enable", "", 403)
	refused("anyone changes etcd's log level", "PUT", "/config/local/log", "", 403)
	refused("anyone reads etcd's command line", "GET", "/debug/vars", "", 403)
	refused("anyone writes v3 keys", "POST", "/v3/kv/put", "", 403)
	refused("anyone writes v3 keys by the old name", "POST", "/v3beta/kv/put", "", 403)
	refused("anyone defragments", "POST", "/v3/maintenance/defragment", "", 403)
	refused("an encoded name of the v3 API", "POST", "/%76%33/kv/put", "", 403)
	refused("a doubled slash before the v3 API", "POST", "//v3/kv/put", "", 403)
	refused("an encoded slash in the v3 API", "POST", "/v3%2Fkv%2Fput", "", 400)
	refused("an unlisted path", "GET", "/v2/leader", "", 404)
	refused("the root", "GET", "/", "", 404)
	refused("a write on an informative path", "PUT", "/metrics", "root", 403)
	refused("a longer name of an informative path", "GET", "/metricsX", "", 404)
	refused("upper case", "GET", "/V2/keys", "", 404)
	refused("climbing out of an open prefix", "PUT", "/v2/keys/eventlogging/..%2fconftool/x", "", 400)
	refused("climbing out with encoded dots", "PUT", "/v2/keys/eventlogging/%2e%2e/conftool/x", "", 400)
	refused("climbing out with raw dots", "PUT", "/v2/keys/eventlogging/../conftool/x", "", 400)
	refused("climbing into the members' store", "GET", "/v2/keys/..%2f0?recursive=true", "", 400)
	refused("a fragment that nginx cuts and etcd does not", "PUT", "/v2/keys/eventlogging/a#/../../conftool", "", 400)
	refused("a NUL", "GET", "/v2/keys/a%00b", "", 400)
	refused("a line feed in the query", "GET", "/v2/keys/a?x=\n", "", 400)
	refused("a fragment in the query", "GET", "/v2/keys/a?x=#", "", 400)
	refused("the key that etcd does not survive, under an open prefix", "PUT", "/v2/keys/eventlogging/0/members/1/attributes", "", 403)
	refused("the key that etcd does not survive, by root", "PUT", "/v2/keys/a/b/0/members/8e9e05c52164694d/attributesX", "root", 403)
	refused("the key that etcd does not survive, encoded", "PUT", "/v2/keys/eventlogging/%30/%6dembers/1/attribute%73", "", 403)
	refused("the key that etcd does not survive, with doubled slashes", "POST", "/v2/keys//eventlogging//0//members//1//attributes/", "", 403)
	if want := fmt.Sprintf("more than %d segments", acl.MaxDepth); !strings.Contains(gate.RefuseDepth.Cause, want) {
		t.Errorf("the refusal of a deep key says %q, want %q", gate.RefuseDepth.Cause, want)
	}
	deepest := "/v2/keys/eventlogging" + strings.Repeat("/d", acl.MaxDepth-1)
	refused("a key of as many segments as are served", "PUT", deepest, "", 0)
	refused("a key that is too deep", "PUT", deepest+"/d", "", 400)
	refused("a key that is too deep, by root", "PUT", deepest+"/d", "root", 400)
	refused("a key that is too deep, with empty segments", "PUT", deepest+"//d//", "root", 400)
	refused("reading a key that is too deep", "GET", deepest+"/d", "", 400)
	refused("watching a key that is too deep", "GET", deepest+"/d?wait=true", "", 400)
	refused("deleting a key that is too deep", "DELETE", deepest+"/d?recursive=true", "root", 400)
	refused("a key in a directory of as many segments as are served", "POST", deepest, "", 400)
	refused("a key that etcd names, of as many segments as are served", "POST", strings.TrimSuffix(deepest, "/d"), "", 0)
	refused("a redirect to a host of the client's choice", "GET", "/v2/keys", "", 0)
}

func TestOpeningTheV3APIDoesNotOpenMembersAndUsersInIt(t *testing.T) {
	root := acl.Only("root", "alice")
	v3 := func(more ...gate.Surface) func(*gate.Policy) {
		return func(p *gate.Policy) {
			p.Surfaces = map[gate.Surface]acl.Group{gate.V3: root}
			for _, s := range more {
				p.Surfaces[s] = acl.Only("root", "conftool")
			}
		}
	}
	for _, c := range []struct {
		target, user string
		change       func(*gate.Policy)
		want         int
	}{
		{"/v3/kv/put", "root", v3(), 0},
		{"/v3/clusters", "root", v3(), 0},
		{"/v3/cluster/member/add", "root", v3(), 403},
		{"/v3beta/cluster/member/remove", "root", v3(gate.Auth), 403},
		{"/v3/%63luster/member/add", "root", v3(), 403},
		{"//v3//auth//enable", "root", v3(gate.Members), 403},
		{"/v3alpha/auth/user/add", "root", v3(), 403},
		{"/v3/cluster/member/add", "root", v3(gate.Members), 0},
		{"/v3/auth/user/add", "root", v3(gate.Auth), 0},
		{"/v3/cluster/member/add", "alice", v3(gate.Members), 401},
		{"/v3/cluster/member/add", "conftool", v3(gate.Members), 401},
	} {
		g, p := newGate(t, c.change)
		if got, _ := decide(g, p, "POST", c.target, c.user); got != c.want {
			t.Errorf("POST %s by %s with %v: got %d, want %d", c.target, c.user, p.Surfaces, got, c.want)
		}
		if got, _ := decide(g, p, "GET", c.target, c.user); got != c.want {
			t.Errorf("GET %s by %s with %v: got %d, want %d", c.target, c.user, p.Surfaces, got, c.want)
		}
	}
}

func TestWritingADirectoryNeedsTheRightBelow(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Rules = seed.Rules(t, acl.Rule{Prefix: "/conftool/locked", Read: acl.Everyone(), Write: acl.Only("alice")})
	})
	for target, want := range map[string]int{"/v2/keys/conftool/other": 0, "/v2/keys/conftool": 401, "/v2/keys/": 401} {
		if got, op := decide(g, p, "DELETE", target+"?recursive=true", "root"); got != want || want == 401 && op.Rule != "/conftool/locked" {
			t.Errorf("%s: %d by rule %v, want %d", target, got, op.Rule, want)
		}
	}
}

func TestWhatEtcdIsSentIsTheCanonicalTarget(t *testing.T) {
	g, p := newGate(t, nil)
	for target, want := range map[string]string{
		"/v2/keys":                         "/v2/keys",
		"/v2/keys/?recursive=true":         "/v2/keys?recursive=true",
		"//v2//keys/a//b/":                 "/v2/keys/a/b",
		"/v2/keys/a%3ab?wait=%74rue&x=%zz": "/v2/keys/a:b?wait=%74rue&x=%zz",
		"/v2/keys/caf\xc3\xa9":             "/v2/keys/caf%C3%A9",
		"https://evil.example/v2/keys/a?b": "/v2/keys/a?b",
		"HTTP://h:1/v2/keys/a":             "/v2/keys/a",
		"/v2/keys/a?":                      "/v2/keys/a?",
		"/v2/keys/a/?":                     "/v2/keys/a?",
		"/v2/keys/a%3Fb??x":                "/v2/keys/a%3Fb??x",
	} {
		if status, op := decide(g, p, "GET", target, ""); status != 0 || op.Target != want {
			t.Errorf("%s: %d, %q, want %q", target, status, op.Target, want)
		}
	}
	for _, target := range []string{"", "v2/keys", "ftp://h/v2/keys", "http://u@h/v2/keys", "http:///v2/keys", "http://h", "http://h?/v2/keys", "://h/v2/keys"} {
		if status, op := decide(g, p, "GET", target, ""); status != 400 {
			t.Errorf("%q: %d, %q", target, status, op.Target)
		}
	}
}

func TestATargetThatEtcdWouldResetTheConnectionForIsTooLong(t *testing.T) {
	g, p := newGate(t, nil)
	short := "/v2/keys/" + strings.Repeat("a", 4000-9)
	if status, _ := decide(g, p, "GET", short, ""); status != 0 {
		t.Errorf("4000 bytes: %d", status)
	}
	if status, _ := decide(g, p, "GET", short+"a", ""); status != 414 {
		t.Errorf("4001 bytes: %d", status)
	}
	// Each of these three bytes becomes three when it is encoded.
	if status, _ := decide(g, p, "GET", "/v2/keys/"+strings.Repeat("{", 2000), ""); status != 414 {
		t.Errorf("encoded it is too long: %d", status)
	}
}

func TestReadOnlyRefusesEveryWriteAndNothingElse(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) { p.ReadOnly = true })
	for _, target := range []string{"/v2/keys/eventlogging/x", "/v2/keys/x", "/v2/members", "/metricsX", "/v3/kv/put"} {
		if status, _ := decide(g, p, http.MethodPut, target, "root"); status != 403 {
			t.Errorf("%s: %d", target, status)
		}
	}
	if status, _ := decide(g, p, http.MethodGet, "/v2/keys/x", ""); status != 0 {
		t.Errorf("a read: %d", status)
	}
	const want = `{"errorCode":107,"message":"This cluster is in read-only mode","cause":"Cluster configured to be read-only","index":0}`
	if gate.RefuseReadOnly.Body != want {
		t.Errorf("body %s", gate.RefuseReadOnly.Body)
	}
}

func TestTheBodyOf401IsWhatClientsParse(t *testing.T) {
	const want = `{"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}`
	if gate.RefuseIdentity.Body != want || len(want) != 115 {
		t.Errorf("body %s", gate.RefuseIdentity.Body)
	}
}

func TestASurfaceOpensToNamedUsersOnly(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root"), gate.Auth: acl.Only("alice")}
	})
	for _, c := range []struct {
		method, target, user string
		want                 int
	}{
		{"POST", "/v2/members", "root", 0}, {"POST", "/v2/members", "alice", 401}, {"POST", "/v2/members", "", 401},
		{"GET", "/v2/members", "", 0}, {"GET", "/v2/auth/users", "", 401}, {"GET", "/v2/auth/users", "alice", 0},
		{"GET", "/debug/vars", "root", 403},
	} {
		if got, _ := decide(g, p, c.method, c.target, c.user); got != c.want {
			t.Errorf("%s %s by %q: %d, want %d", c.method, c.target, c.user, got, c.want)
		}
	}
}

func TestUpgradesAreRefused(t *testing.T) {
	g, p := newGate(t, nil)
	var op gate.Operation
	if r := g.Decide(context.Background(), p, &gate.Request{Method: "GET", Target: "/v2/keys/a", Upgrade: true, Peer: seed.Peer()}, &op); r != gate.RefuseUpgrade {
		t.Errorf("%+v", r)
	}
}

func TestRestrictedReadsNeedAReader(t *testing.T) {
	g, p := newGate(t, func(p *gate.Policy) {
		p.Rules = seed.Rules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
	})
	for _, c := range []struct {
		target, user string
		want         int
	}{
		{"/v2/keys/secret/x", "", 401}, {"/v2/keys/secret/x?wait=true", "conftool", 401}, {"/v2/keys/secret/x", "alice", 0},
		{"/v2/keys/?recursive=true", "", 401}, {"/v2/keys", "conftool", 401}, {"/v2/keys", "alice", 0}, {"/v2/keys/conftool", "", 0},
	} {
		if got, _ := decide(g, p, "GET", c.target, c.user); got != c.want {
			t.Errorf("%s by %q: %d, want %d", c.target, c.user, got, c.want)
		}
	}
}

func TestAWatchIsWhatEtcdTakesForOne(t *testing.T) {
	g, p := newGate(t, nil)
	for target, want := range map[string]bool{
		"/v2/keys/a?wait=true": true, "/v2/keys/a?recursive=true&wait=1&waitIndex=0": true, "/v2/keys/a?w%61it=t": true, "/v2/keys/a?wait=%74rue": true,
		"/v2/keys/a": false, "/v2/keys/a?wait=false&wait=true": false, "/v2/keys/a?wait=tRue": false, "/v2/keys/a?Wait=true": false, "/v2/machines?wait=true": false,
	} {
		if _, op := decide(g, p, "GET", target, ""); op.Watch != want {
			t.Errorf("%s: %v", target, op.Watch)
		}
	}
}

func TestGuessingIsSlowedDownPerAddress(t *testing.T) {
	g, p := newGate(t, nil)
	g.Throttle = acl.NewThrottle(acl.ThrottleOptions{Burst: 3, Every: time.Hour})
	try := func(addr, user, password string) *gate.Refusal {
		var op gate.Operation
		return g.Decide(context.Background(), p, &gate.Request{
			Method: "PUT", Target: "/v2/keys/x", Peer: gate.NewPeer(netip.MustParseAddrPort(addr), nil),
			Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
		}, &op)
	}
	for range 3 {
		if r := try("192.0.2.1:1", "root", "guess"); r != gate.RefuseIdentity {
			t.Errorf("a guess: %+v", r)
		}
	}
	if r := try("192.0.2.1:2", "root", "root-pw"); r == nil || r.Status != 429 || r.RetryAfter < 1 {
		t.Errorf("the right one after too many: %+v", r)
	}
	for range 10 { // another address is not concerned, and success costs nothing
		if r := try("192.0.2.2:1", "root", "root-pw"); r != nil {
			t.Errorf("another address: %+v", r)
		}
	}
	if r := try("192.0.2.1:3", "root", "root-pw"); r != nil {
		t.Errorf("a remembered password: %+v", r)
	}
}

func TestLoginsAreReportedByMeansAndResult(t *testing.T) {
	g, p := newGate(t, nil)
	var reports []string
	g.Login = func(l gate.Login) { reports = append(reports, l.Means().String()+" "+l.Result()) }
	decide(g, p, "PUT", "/v2/keys/conftool/a", "conftool")
	decide(g, p, "PUT", "/v2/keys/conftool/a", "conftool")
	decide(g, p, "PUT", "/v2/keys/conftool/a", "nobody")
	decide(g, p, "PUT", "/v2/keys/conftool/a", "")
	decide(g, p, "GET", "/v2/keys/conftool/a", "conftool") // open to everyone: no login
	want := "password ok, password remembered, password failed, anonymous none"
	if got := strings.Join(reports, ", "); got != want {
		t.Errorf("reported %s, want %s", got, want)
	}
}

func TestWithoutMemoryNothingIsRead(t *testing.T) {
	g, p := newGate(t, nil)
	g.Admits = func(_ *gate.Peer, access acl.Access) bool { return access == acl.Write }
	if status, op := decide(g, p, "GET", "/v2/keys/a", ""); status != 503 || op.Path != "" {
		t.Errorf("a read: status %d with path %q, want 503 before the path is read", status, op.Path)
	}
	if status, _ := decide(g, p, "PUT", "/v2/keys/eventlogging/a", ""); status != 0 {
		t.Errorf("a write: status %d, want 0", status)
	}
}

func TestEtcdsOwnUsersAreNotEnabledWhereNobodyCouldDisableThem(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         [3]int // by NoEtcdUser, EtcdRoot and EtcdClients
	}{
		{"PUT", "/v2/auth/enable", [3]int{403, 0, 0}},
		{"POST", "/v2/auth//enable/", [3]int{403, 0, 0}},
		{"DELETE", "/v2/auth/enable", [3]int{0, 0, 0}},
		{"GET", "/v2/auth/enable", [3]int{0, 0, 0}},
		{"PUT", "/v2/auth/users/root", [3]int{0, 0, 0}},
		{"POST", "/v3/auth/enable", [3]int{403, 403, 0}},
		{"POST", "/v3beta/auth/enable", [3]int{403, 403, 0}},
		{"POST", "/v3/auth/disable", [3]int{0, 0, 0}},
	} {
		for users, want := range c.want {
			g, p := newGate(t, func(p *gate.Policy) {
				p.EtcdUsers = gate.EtcdUsers(users)
				p.Surfaces = map[gate.Surface]acl.Group{gate.Auth: acl.Only("root"), gate.V3: acl.Only("root")}
			})
			if got, _ := decide(g, p, c.method, c.path, "root"); got != want {
				t.Errorf("%s %s by root where etcd's users are %d: got %d, want %d", c.method, c.path, users, got, want)
			}
			// Whoever may not use the surface learns nothing of it.
			if got, _ := decide(g, p, c.method, c.path, "alice"); got != 401 {
				t.Errorf("%s %s by alice where etcd's users are %d: got %d, want 401", c.method, c.path, users, got)
			}
		}
	}
}
