package proxy

import (
	"context"
	"encoding/base64"
	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/certs"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/lane"
	"etcd-tlsproxy/proxy/observe"
	"etcd-tlsproxy/proxy/proxytest"
	"net/netip"
	"testing"
	"time"
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
