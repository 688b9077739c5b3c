package gate_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/upstream"
)

// FuzzKey sends requests to a real etcd, built with a release of Go that reads paths in the
// newer way. For every spelling that the gate allows, the key that etcd stores must be the
// one about which the gate decided. A forwarded target that is sent again must be forwarded
// unchanged.
func FuzzKey(f *testing.F) {
	for _, target := range []string{
		"/v2/keys/a", "//v2/keys//a//b/", "/v2/keys/a%20b%3f?x=y", "/v2/keys/caf\xc3\xa9/%c3%a9", "/v2/%6beys/a%25%32%66b", "/v2/keys/a;b=c/..;/d",
		"/v2/keys/%2e%2e/a", "/v2/keys/a/..%2fb", "/v2/keys/a%2fb", "/v2/keys/a\\b", "/v2/keys/a#b", "http://h/v2/keys/a+b%2bc", "/v2/keys/_a/.b/...",
		"/v2/keys/a&b'c(d)e*f,g:h@i!j$k~l-m.n_o", "/v2/keys/%E2%80%AEa/%F0%9F%92%A9", "/v2/keys/a|b^c`d{e}<f>\"g",
	} {
		f.Add(target)
	}
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(etcd.Close)
	at, err := upstream.ParseEndpoint(etcd.URL())
	if err != nil {
		f.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{RawSockets: true, Endpoints: []upstream.Endpoint{at}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pool.Close)
	g, p := newGate(f, func(p *gate.Policy) {
		var err error
		if p.Rules, err = acl.NewRules(acl.MatchSegments, acl.Rule{Prefix: acl.Root, Read: acl.Everyone(), Write: acl.Everyone()}); err != nil {
			f.Fatal(err)
		}
	})
	f.Fuzz(func(t *testing.T, target string) {
		var op gate.Operation
		if g.Decide(context.Background(), p, &gate.Request{Method: "PUT", Target: target, Peer: seed.Peer()}, &op) != nil || op.Surface != gate.Keys || op.Key == acl.Root {
			return
		}
		path, _, _ := strings.Cut(op.Target, "?")
		var again gate.Operation
		if r := g.Decide(context.Background(), p, &gate.Request{Method: "PUT", Target: op.Target, Peer: seed.Peer()}, &again); r != nil ||
			again.Target != op.Target || again.Key != op.Key {
			t.Fatalf("%q is forwarded as %q, and that as %q", target, op.Target, again.Target)
		}
		status, key := store(t, pool, path)
		if status != 201 || key != string(op.Key) {
			t.Fatalf("%q: decided on %q, forwarded %q; etcd answered %d and stored %q", target, op.Key, op.Target, status, key)
		}
		first, _, _ := strings.Cut(path[len("/v2/keys/"):], "/")
		remove(t, pool, "/v2/keys/"+first+"?recursive=true")
	})
}

// store writes a key and reads its name from etcd's answer.
func store(t *testing.T, pool *upstream.Pool, target string) (status int, key string) {
	t.Helper()
	r, err := pool.Do(context.Background(), &upstream.Request{Method: "PUT", Target: target, ContentType: "application/x-www-form-urlencoded", Body: []byte("value=1")})
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Node struct{ Key string } }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%q: %s: %v", target, body, err)
	}
	return r.Status, answer.Node.Key
}

func remove(t *testing.T, pool *upstream.Pool, target string) {
	t.Helper()
	r, err := pool.Do(context.Background(), &upstream.Request{Method: "DELETE", Target: target})
	if err != nil {
		t.Fatalf("%q: %v", target, err)
	}
	if _, err := io.ReadAll(r); err != nil || r.Status != 200 {
		t.Fatalf("%q: %d, %v", target, r.Status, err)
	}
	r.Close()
}
