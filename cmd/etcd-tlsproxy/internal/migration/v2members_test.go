package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/cluster"
	"etcd-tlsproxy/cmd/etcd-tlsproxy/internal/memberhost"
	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// second starts a second endpoint of a move back, which passes on to etcd what it does not answer itself.
func (f *moved) second(answers func(w http.ResponseWriter, r *http.Request) bool) {
	f.t.Helper()
	to, err := url.Parse(f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	etcd := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answers(w, r) {
			etcd.ServeHTTP(w, r)
		}
	}))
	f.t.Cleanup(server.Close)
	f.back.Connection = cluster.Connection{Endpoints: []string{f.url, server.URL}, Timeout: 10 * time.Second}
}

// cluster returns the id of the cluster.
func (f *moved) cluster() string {
	f.t.Helper()
	found, err := f.client.Range(f.t.Context(), &pb.RangeRequest{Key: layout.Keys("p").Meta()})
	if err != nil {
		f.t.Fatal(err)
	}
	return memberhost.ID(found.Header.ClusterId).String()
}

// TestAMoveBackWithAnEndpointOfAnotherClusterWritesNothing has two endpoints. The clusters have the same ids, as those that
// are started without names have.
func TestAMoveBackWithAnEndpointOfAnotherClusterWritesNothing(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	e, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for endpoint, want := range map[string]string{e.URL(): "these are two clusters with the same id", "http://127.0.0.1:1": "leave a member that is dead out of --endpoints"} {
		for _, endpoints := range [][]string{{f.url, endpoint}, {endpoint, f.url}} {
			f.back.Connection.Endpoints = endpoints
			if _, err := f.back.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}
	resp, err := http.Get(e.URL() + "/v2/keys" + ownKey)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != 404 {
		t.Errorf("the key of the command in the other cluster: got the status %d, want 404", resp.StatusCode)
	}
}

// TestAProxyAmongTheEndpointsIsFoundBeforeTheV2APIIsUnlocked has a second endpoint that writes to the tree.
func TestAProxyAmongTheEndpointsIsFoundBeforeTheV2APIIsUnlocked(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	id := f.cluster()
	f.second(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v2/keys/") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		a := f.do(f.tree, r.Method, strings.TrimPrefix(r.URL.Path, "/v2/keys"), string(body))
		w.Header().Set("X-Etcd-Cluster-Id", id)
		w.Header().Set("X-Etcd-Index", fmt.Sprint(a.Index))
		w.WriteHeader(a.Status)
		_, _ = w.Write(a.Body)
		return true
	})
	for range 2 {
		if _, err := f.back.Run(t.Context()); !errors.Is(err, errProxy) {
			t.Errorf("with the endpoints %q: got %v, want %v", f.back.Connection.Endpoints, err, errProxy)
		}
		if a := f.do(f.tree, "GET", ownKey, ""); a.Status != 404 {
			t.Errorf("the key of the command in the tree: got %s, want none", a.Body)
		}
		if status := f.v2write("PUT", "/late", value("1")); status != http.StatusUnauthorized {
			t.Errorf("a write at the v2 API: got the status %d, want that it is locked", status)
		}
		e := f.back.Connection.Endpoints
		e[0], e[1] = e[1], e[0]
	}
}

// TestClientsDoNotUseTheV2APIBeforeAllMembersHaveWhatWasWritten has a second member that has old indexes for a while.
func TestClientsDoNotUseTheV2APIBeforeAllMembersHaveWhatWasWritten(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	id := f.cluster()
	var looks, lags atomic.Int64
	f.second(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v2/keys"+ownKey || lags.Load() == 0 {
			return false
		}
		looks.Add(1)
		lags.Add(-1)
		w.Header().Set("X-Etcd-Cluster-Id", id)
		w.Header().Set("X-Etcd-Index", "1")
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	f.back.before = func(step string) error {
		if step == "prove" {
			lags.Store(5)
		}
		if step == "serve" && lags.Load() != 0 {
			t.Errorf("before clients use the v2 API: got %d looks at the member that lags, want as many as it needs", looks.Load())
		}
		return nil
	}
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if looks.Load() == 0 {
		t.Error("the member that lags was not looked at")
	}
}

// TestAReadOfAMemberThatFailsOnceIsRepeated has a second member that has no leader for a moment.
func TestAReadOfAMemberThatFailsOnceIsRepeated(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	failed := false
	f.second(func(w http.ResponseWriter, r *http.Request) bool {
		if failed || r.Method != http.MethodGet || r.URL.Path != "/v2/keys"+ownKey {
			return false
		}
		failed = true
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	r, err := f.back.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.store.client.Close()
	if err := r.caughtUp(t.Context()); err != nil || !failed {
		t.Errorf("got %v, want that the read is repeated", err)
	}
}

// TestAMemberThatStaysBehindIsNamed has a second member that does not catch up until the time is over.
func TestAMemberThatStaysBehindIsNamed(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	id := f.cluster()
	ctx, over := context.WithCancel(t.Context())
	looks := 0
	f.second(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Path != "/v2/keys"+ownKey {
			return false
		}
		if looks++; looks == 2 {
			over()
		}
		w.Header().Set("X-Etcd-Cluster-Id", id)
		w.Header().Set("X-Etcd-Index", "1")
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	r, err := f.back.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.store.client.Close()
	r.to.last.Store(2)
	if err := r.caughtUp(ctx); err == nil || !strings.Contains(err.Error(), "the member default has the index 1, want 2: it is slower than the others") {
		t.Errorf("got %v, want that a member is slower than the others", err)
	}
}

// TestAllMembersAreWaitedForAndThoseThatCannotBeAskedAreNamed has a cluster of which --endpoints names one member.
func TestAllMembersAreWaitedForAndThoseThatCannotBeAskedAreNamed(t *testing.T) {
	t.Parallel()
	c, all := startCluster(t, proxytest.ClusterOptions{Advertise: make([]string, 3)}, "")
	f := all.fleet(1).switched()
	said := ""
	f.back.Note = func(text string) { said += text }
	members := func(dead ...string) (int, error) {
		f.back.Dead = dead
		r, err := f.back.open(t.Context())
		if err != nil {
			return 0, err
		}
		r.store.client.Close()
		return len(r.members), nil
	}
	if n, err := members(); err != nil || n != 3 {
		t.Errorf("all members: got %d and %v, want 3", n, err)
	}
	if _, err := members("conf9"); err == nil || !strings.Contains(err.Error(), `--dead names "conf9", which is none of the members`) {
		t.Errorf("a member that is not there: got %v", err)
	}
	last := c.Members[2]
	last.Close()
	if n, err := members(); err != nil || n != 2 || !strings.Contains(said, fmt.Sprintf("the member %q, ", last.Name())) {
		t.Errorf("a member that is dead: got %d members, %v and the note %q, want 2 and that it is named", n, err, said)
	}
	said = ""
	if n, err := members(last.Name()); err != nil || n != 2 || said != "" {
		t.Errorf("a member that is named as dead: got %d members and %v, want 2", n, err)
	}
}
