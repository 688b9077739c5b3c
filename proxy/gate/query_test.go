package gate_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/gate"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/proxytest/seed"
	"etcd-tlsproxy/proxy/upstream"
)

// notShared is the shared target of operations that have a request of their own.
const notShared = "-"

// sharedTarget returns the target by which an operation is shared.
func sharedTarget(t *testing.T, g *gate.Gate, p *gate.Policy, method, target string) string {
	t.Helper()
	var op gate.Operation
	refusal := g.Decide(context.Background(), p, &gate.Request{Method: method, Target: target, Authorization: seed.Basic("root"), Peer: seed.Peer()}, &op)
	switch {
	case refusal != nil:
		t.Fatalf("%s %s: got the refusal %+v, want none", method, target, refusal)
	case !op.Shared:
		return notShared
	case op.SharedQuery != "":
		return op.Path + "?" + op.SharedQuery
	}
	return op.Path
}

func TestAReadOfATreeIsKnownHoweverItIsSpelled(t *testing.T) {
	g, p := newGate(t, nil)
	for target, want := range map[string]bool{
		"/v2/keys/a": false, "/v2/keys/a?recursive=false&recursive=true": false, "/v2/keys/a?recursive=yes": false,
		"/v2/keys/a?recursive=true": true, "/v2/keys/a?re%63ursive=1&sorted=true": true, "/v2/keys/a?recursive=t&wait=false": true,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			var op gate.Operation
			if refusal := g.Decide(context.Background(), p, &gate.Request{Method: method, Target: target, Peer: seed.Peer()}, &op); refusal != nil || op.Tree != want {
				t.Errorf("%s %s: got %v, tree %v, want tree %v", method, target, refusal, op.Tree, want)
			}
		}
	}
}

func TestReadsWithEqualAnswersAreSharedHoweverTheyAreSpelled(t *testing.T) {
	g, p := newGate(t, nil)
	for _, c := range []struct{ method, target, want string }{
		{"GET", "/v2/keys/a", "/v2/keys/a"},
		{"GET", "//v2/keys//a/", "/v2/keys/a"},
		{"HEAD", "/v2/keys/a", "/v2/keys/a"},
		{"GET", "/v2/keys/a?unknown=1", "/v2/keys/a"},
		{"GET", "/v2/keys/a?%75nknown=%31&&", "/v2/keys/a"},
		{"GET", "/v2/keys/a?recursive=true", "/v2/keys/a?recursive=true"},
		{"GET", "/v2/keys/a?x=y&recursive=T&sorted=false&waitIndex=7", "/v2/keys/a?recursive=true"},
		{"GET", "/v2/keys/a?sorted=1&recursive=1&quorum=1", "/v2/keys/a?quorum=true&recursive=true&sorted=true"},
		{"GET", "/v2/keys/a?recursive=true&recursive=false", "/v2/keys/a?recursive=true"},
		{"GET", "/v2/keys/a?wait=false&quorum=true", "/v2/keys/a?quorum=true"},
		{"HEAD", "/v2/keys/a?quorum=true&sorted=true", "/v2/keys/a?sorted=true"}, // etcd does not read a HEAD with a quorum
		{"GET", "/v2/keys/a?ttl=5&refresh=true&prevExist=true&prevIndex=4&prevValue=x&dir=true", "/v2/keys/a"},
		{"GET", "/health", "/health"},
		{"GET", "/health?x=1", "/health"},
		{"GET", "/health?exclude=CORRUPT", "/health?exclude=CORRUPT"},
		{"GET", "/health?exclude=NOSPACE", "/health?exclude=NOSPACE"},
		{"GET", "/health?serializable=true", "/health?serializable=true"},
		{"GET", "/health?serializable=1", "/health"},
		{"GET", "/health?exclude=CORRUPT&exclude=x&exclude=NOSPACE&serializable=true", "/health?exclude=CORRUPT&exclude=NOSPACE&serializable=true"},
		{"GET", "/v2/keys/a?wait=true", notShared},
		{"HEAD", "/v2/keys/a?wait=true", notShared}, // a GET of it would wait
		{"GET", "/v2/keys/a?recursive=yes", notShared},
		{"GET", "/v2/keys/a?%zz", notShared},
		{"GET", "/v2/keys/a?waitIndex=a", notShared},
		{"GET", "/v2/keys/a?waitIndex=0x1", notShared},
		{"GET", "/v2/keys/a?recursive=x&prevValue=x", notShared},
		{"PUT", "/v2/keys/a", notShared},
		{"DELETE", "/v2/keys/a", notShared},
		{"OPTIONS", "/v2/keys/a", notShared},
		{"HEAD", "/health", notShared}, // etcd refuses it
		{"GET", "/version", notShared},
		{"GET", "/metrics", notShared},
	} {
		if got := sharedTarget(t, g, p, c.method, c.target); got != c.want {
			t.Errorf("%s %s is shared as %q, want %q", c.method, c.target, got, c.want)
		}
	}
}

// TestASharedReadHasTheAnswerOfItsOwnQuery asks a real etcd for both.
func TestASharedReadHasTheAnswerOfItsOwnQuery(t *testing.T) {
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(etcd.Close)
	at, err := upstream.ParseEndpoint(etcd.URL())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for _, path := range []string{"/v2/keys/a/z", "/v2/keys/a/b/d", "/v2/keys/a/b/c"} {
		if status, _ := store(t, pool, path); status != 201 {
			t.Fatalf("writing %s: got %d, want 201", path, status)
		}
	}
	get := func(target string) (int, string) {
		t.Helper()
		r, err := pool.Do(context.Background(), &upstream.Request{Method: "GET", Target: target})
		if err != nil {
			t.Fatalf("GET %s: %v", target, err)
		}
		defer r.Close()
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("GET %s: %v", target, err)
		}
		return r.Status, string(body)
	}
	g, p := newGate(t, nil)
	values := []string{"", "=", "=true", "=false", "=1", "=x", "=%74rue", "=+1", "=-1", "=7", "=%zz", "=true&x=%"}
	names := []string{
		"recursive", "sorted", "quorum", "wait", "waitIndex", "stream", "dir", "ttl", "refresh", "value", "prevValue", "prevIndex",
		"prevExist", "noValueOnSuccess", "unknown", "re%63ursive", "Recursive", "refresh=true&ttl", "refresh=true&ttl=1&value", "recursive=true&recursive", "sorted=true&wait",
	}
	for _, name := range names {
		for _, value := range values {
			target := "/v2/keys/a?" + name + value
			if strings.Contains(name, "wait") && gate.Waits(name+value) {
				continue
			}
			shared := sharedTarget(t, g, p, "GET", target)
			status, body := get(target)
			if shared == notShared {
				if status != 400 {
					t.Errorf("GET %s is not shared, but etcd answers with %d, want 400", target, status)
				}
				continue
			}
			wantStatus, want := get(shared)
			if status != wantStatus || body != want && (strings.Contains(shared, "sorted=true") || !sameBytes(body, want)) {
				t.Errorf("GET %s: got %d %s, but it is shared with GET %s: %d %s", target, status, body, shared, wantStatus, want)
			}
		}
	}
}

// sameBytes reports whether two answers differ in nothing but the order of their parts:
// etcd lists a directory in any order unless it is told to sort.
func sameBytes(a, b string) bool {
	sorted := func(s string) []byte { return slices.Sorted(slices.Values([]byte(s))) }
	return slices.Equal(sorted(a), sorted(b))
}

func TestAQueryThatAnOldEtcdReadsAsAnotherIsRefused(t *testing.T) {
	g, p := newGate(t, nil)
	for _, target := range []string{"/v2/keys/a?x=1;wait=true", "/v2/keys/a?;wait=true", "/v2/keys/a?a;b", "/health?x;y"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			if status, _ := decide(g, p, method, target, "root"); status != 400 {
				t.Errorf("%s %s: got %d, want 400", method, target, status)
			}
		}
	}
	if status, op := decide(g, p, "GET", "/v2/keys/a;b?x=%3Bwait=true", ""); status != 0 || op.Watch {
		t.Errorf("an encoded semicolon: got %d and watch %t, want a read", status, op.Watch)
	}
}
