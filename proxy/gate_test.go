package proxy

import (
	"context"
	"encoding/base64"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/proxytest"
)

// newTestGate is a gate and a snapshot with the seed's table and the users root,
// conftool and alice, whose passwords are their names with "-pw".
func newTestGate(t testing.TB, change func(*lane.Snapshot)) (*gate.Gate, *lane.Snapshot) {
	t.Helper()
	pki, err := proxytest.NewPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pki.Server("localhost")
	if err != nil {
		t.Fatal(err)
	}
	generation, err := certs.New(certs.Options{
		Certificate: certs.PEM{File: "cert", Data: cert}, Key: certs.PEM{File: "key", Data: key},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines, err := proxytest.Htpasswd(map[string]string{"root": "root-pw", "conftool": "conftool-pw", "alice": "alice-pw"})
	if err != nil {
		t.Fatal(err)
	}
	users, err := acl.ParseUsers(acl.NewHasher(acl.HasherOptions{}), acl.Source{Name: "htpasswd", Data: lines})
	if err != nil {
		t.Fatal(err)
	}
	s := &lane.Snapshot{
		Policy: gate.Policy{Rules: seedRules(t), Users: users, Certs: generation, MaxTarget: 4000},
		Limits: lane.Limits{Head: 32 << 10, Body: 1 << 20, HeaderTimeout: 10 * time.Second, BodyTimeout: 10 * time.Second},
	}
	if change != nil {
		change(s)
	}
	return &gate.Gate{Throttle: acl.NewThrottle(acl.ThrottleOptions{Burst: 1000}), Admits: (&memory{}).admits, Login: observe.NewMetrics("test").CountLogin}, s
}

func seedRules(t testing.TB, more ...acl.Rule) *acl.Rules {
	t.Helper()
	rules, err := acl.NewRules(acl.MatchSegments, append([]acl.Rule{
		{Prefix: "/", Read: acl.Everyone(), Write: acl.Only("root")},
		{Prefix: "/conftool", Read: acl.Everyone(), Write: acl.Only("root", "conftool")},
		{Prefix: "/eventlogging", Read: acl.Everyone(), Write: acl.Everyone()},
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func basic(user string) string {
	if user == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+user+"-pw"))
}

func testPeer() *gate.Peer { return gate.NewPeer(netip.MustParseAddrPort("192.0.2.1:1234"), nil) }

// ask puts one request to the gate and returns the status, 0 for allowed.
func ask(g *gate.Gate, s *lane.Snapshot, method, target, user string) (int, gate.Operation) {
	var op gate.Operation
	refusal := g.Decide(context.Background(), &s.Policy, &gate.Request{Method: method, Target: target, Authorization: basic(user), Peer: testPeer()}, &op)
	if refusal == nil {
		return 0, op
	}
	return refusal.Status, op
}

func TestTheSeedTableAtTheGate(t *testing.T) {
	g, s := newTestGate(t, nil)
	decide := func(method, target, user string, want int) {
		t.Helper()
		if got, _ := ask(g, s, method, target, user); got != want {
			t.Errorf("%s %s by %q: %d, want %d", method, target, user, got, want)
		}
	}
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		decide(method, "/v2/keys/x", "root", 0)
		decide(method, "/v2/keys/conftool/v1/x", "root", 0)
		decide(method, "/v2/keys/conftool/v1/x", "conftool", 0)
		decide(method, "/v2/keys/conftool", "conftool", 0)
		decide(method, "/v2/keys/conftool/", "conftool", 0)
		decide(method, "/v2/keys/eventlogging/x", "", 0)
		decide(method, "/v2/keys/eventlogging/x", "alice", 0)
		decide(method, "/v2/keys/x", "", 401)
		decide(method, "/v2/keys/x", "conftool", 401)
		decide(method, "/v2/keys/x", "alice", 401)
		decide(method, "/v2/keys", "conftool", 401)
		decide(method, "/v2/keys/", "", 401)
		decide(method, "/v2/keys", "root", 0)
		decide(method, "/v2/keys/conftool/x", "", 401)
		decide(method, "/v2/keys/conftool/x", "alice", 401)
	}
	for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
		for _, user := range []string{"", "root", "alice", "nobody"} {
			decide(method, "/v2/keys/conftool?recursive=true", user, 0)
			decide(method, "/v2/machines", user, 0)
		}
	}
	decide("OPTIONS", "*", "", 0)
	decide("GET", "*", "", 400)
	decide("PATCH", "/v2/keys/x", "root", 405)
	decide("get", "/v2/keys/x", "", 405)
	decide("TRACE", "/v2/keys/x", "", 405)
	decide("CONNECT", "localhost:2379", "", 405)
	decide("PROPFIND", "/v2/keys/x", "", 405)
}

func TestHolesOfTheNginxSiteAreClosed(t *testing.T) {
	g, s := newTestGate(t, nil)
	refused := func(hole, method, target, user string, want int) {
		t.Helper()
		t.Run(hole, func(t *testing.T) {
			if got, op := ask(g, s, method, target, user); got != want {
				t.Errorf("%s %s by %q: %d, want %d (%+v)", method, target, user, got, want, op)
			}
		})
	}
	refused("a user of a prefix writes its neighbour with a longer name", "PUT", "/v2/keys/conftoolX/a", "conftool", 401)
	refused("anyone writes the neighbour of an open prefix", "PUT", "/v2/keys/eventloggingX/k", "", 401)
	refused("anyone adds a member", "POST", "/v2/members", "", 403)
	refused("root adds a member although nobody opened it", "POST", "/v2/members", "root", 403)
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
	refused("a path nobody named", "GET", "/v2/leader", "", 403)
	refused("the root", "GET", "/", "", 403)
	refused("a write on an informative path", "PUT", "/metrics", "root", 403)
	refused("a longer name of an informative path", "GET", "/metricsX", "", 403)
	refused("upper case", "GET", "/V2/keys", "", 403)
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
	refused("a redirect to a host of the client's choice", "GET", "/v2/keys", "", 0)
}

func TestWritingADirectoryNeedsTheRightBelow(t *testing.T) {
	g, s := newTestGate(t, func(s *lane.Snapshot) {
		s.Rules = seedRules(t, acl.Rule{Prefix: "/conftool/locked", Read: acl.Everyone(), Write: acl.Only("alice")})
	})
	for target, want := range map[string]int{"/v2/keys/conftool/other": 0, "/v2/keys/conftool": 401, "/v2/keys/": 401} {
		if got, op := ask(g, s, "DELETE", target+"?recursive=true", "root"); got != want || want == 401 && op.Rule != "/conftool/locked" {
			t.Errorf("%s: %d by rule %v, want %d", target, got, op.Rule, want)
		}
	}
}

func TestWhatEtcdIsSentIsTheCanonicalTarget(t *testing.T) {
	g, s := newTestGate(t, nil)
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
		if status, op := ask(g, s, "GET", target, ""); status != 0 || op.Target != want {
			t.Errorf("%s: %d, %q, want %q", target, status, op.Target, want)
		}
	}
	for _, target := range []string{"", "v2/keys", "ftp://h/v2/keys", "http://u@h/v2/keys", "http:///v2/keys", "http://h", "http://h?/v2/keys", "://h/v2/keys"} {
		if status, op := ask(g, s, "GET", target, ""); status != 400 {
			t.Errorf("%q: %d, %q", target, status, op.Target)
		}
	}
}

func TestATargetThatEtcdWouldResetTheConnectionForIsTooLong(t *testing.T) {
	g, s := newTestGate(t, nil)
	short := "/v2/keys/" + strings.Repeat("a", 4000-9)
	if status, _ := ask(g, s, "GET", short, ""); status != 0 {
		t.Errorf("4000 bytes: %d", status)
	}
	if status, _ := ask(g, s, "GET", short+"a", ""); status != 414 {
		t.Errorf("4001 bytes: %d", status)
	}
	// Each of these three bytes becomes three when it is encoded.
	if status, _ := ask(g, s, "GET", "/v2/keys/"+strings.Repeat("{", 2000), ""); status != 414 {
		t.Errorf("encoded it is too long: %d", status)
	}
}

func TestReadOnlyRefusesEveryWriteAndNothingElse(t *testing.T) {
	g, s := newTestGate(t, func(s *lane.Snapshot) { s.ReadOnly = true })
	for _, target := range []string{"/v2/keys/eventlogging/x", "/v2/keys/x", "/v2/members", "/metricsX", "/v3/kv/put"} {
		if status, _ := ask(g, s, http.MethodPut, target, "root"); status != 403 {
			t.Errorf("%s: %d", target, status)
		}
	}
	if status, _ := ask(g, s, http.MethodGet, "/v2/keys/x", ""); status != 0 {
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
	g, s := newTestGate(t, func(s *lane.Snapshot) {
		s.Surfaces = map[gate.Surface]acl.Group{gate.Members: acl.Only("root"), gate.Auth: acl.Only("alice")}
	})
	for _, c := range []struct {
		method, target, user string
		want                 int
	}{
		{"POST", "/v2/members", "root", 0}, {"POST", "/v2/members", "alice", 401}, {"POST", "/v2/members", "", 401},
		{"GET", "/v2/members", "", 0}, {"GET", "/v2/auth/users", "", 401}, {"GET", "/v2/auth/users", "alice", 0},
		{"GET", "/debug/vars", "root", 403},
	} {
		if got, _ := ask(g, s, c.method, c.target, c.user); got != c.want {
			t.Errorf("%s %s by %q: %d, want %d", c.method, c.target, c.user, got, c.want)
		}
	}
}

func TestUpgradesAreRefused(t *testing.T) {
	g, s := newTestGate(t, nil)
	var op gate.Operation
	if r := g.Decide(context.Background(), &s.Policy, &gate.Request{Method: "GET", Target: "/v2/keys/a", Upgrade: true, Peer: testPeer()}, &op); r != gate.RefuseUpgrade {
		t.Errorf("%+v", r)
	}
}

func TestRestrictedReadsNeedAReader(t *testing.T) {
	g, s := newTestGate(t, func(s *lane.Snapshot) {
		s.Rules = seedRules(t, acl.Rule{Prefix: "/secret", Read: acl.Only("root", "alice"), Write: acl.Only("root")})
	})
	for _, c := range []struct {
		target, user string
		want         int
	}{
		{"/v2/keys/secret/x", "", 401}, {"/v2/keys/secret/x?wait=true", "conftool", 401}, {"/v2/keys/secret/x", "alice", 0},
		{"/v2/keys/?recursive=true", "", 401}, {"/v2/keys", "conftool", 401}, {"/v2/keys", "alice", 0}, {"/v2/keys/conftool", "", 0},
	} {
		if got, _ := ask(g, s, "GET", c.target, c.user); got != c.want {
			t.Errorf("%s by %q: %d, want %d", c.target, c.user, got, c.want)
		}
	}
}

func TestAWatchIsWhatEtcdTakesForOne(t *testing.T) {
	g, s := newTestGate(t, nil)
	for target, want := range map[string]bool{
		"/v2/keys/a?wait=true": true, "/v2/keys/a?recursive=true&wait=1&waitIndex=0": true, "/v2/keys/a?w%61it=t": true, "/v2/keys/a?wait=%74rue": true,
		"/v2/keys/a": false, "/v2/keys/a?wait=false&wait=true": false, "/v2/keys/a?wait=tRue": false, "/v2/keys/a?Wait=true": false, "/v2/machines?wait=true": false,
	} {
		if _, op := ask(g, s, "GET", target, ""); op.Watch != want {
			t.Errorf("%s: %v", target, op.Watch)
		}
	}
}
