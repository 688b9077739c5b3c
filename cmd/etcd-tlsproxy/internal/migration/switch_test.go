package migration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// fleet is an etcd with both stores, proxies before it, and a switch of them.
type fleet struct {
	*fixture
	sw      *Switch
	proxies []*changeover.Proxy
}

// newFleet starts a fleet whose v2 store has hidden and expiring nodes.
func newFleet(t *testing.T, proxies int) *fleet {
	t.Helper()
	return start(t, proxytest.Options{}).fleet(proxies)
}

// fleet starts a fleet before the etcd of a fixture.
func (e *fixture) fleet(proxies int) *fleet {
	f := &fleet{fixture: e}
	f.Rehearsal.Store.Prefix, f.Rehearsal.Store.Host = "p", "conf1001"
	f.sw = &Switch{Rehearsal: *f.Rehearsal, Fleet: Fleet{Expect: proxies, MaxHold: 10 * time.Second}}
	for range proxies {
		f.follow()
	}
	for i := range 20 {
		f.write(fmt.Sprint("/dir/key", i), value("1"))
	}
	f.write("/_hidden/a", value("2"))
	f.write("/short", url.Values{"value": {"3"}, "ttl": {"600"}})
	f.write("/dir/key7", value("changed"))
	return f
}

// follow starts a proxy that follows the changeover.
func (f *fleet) follow() {
	f.t.Helper()
	p, err := changeover.Open(changeover.Options{Endpoints: f.sw.Store.Endpoints, Prefix: "p", Timeout: 10 * time.Second, Host: "conf1001",
		Log: slog.New(slog.DiscardHandler), Switched: func() {}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(p.Close)
	f.proxies = append(f.proxies, p)
	f.admitted(p).Done()
}

// admit begins a write that may be held for as long as any.
func admit(ctx context.Context, p *changeover.Proxy) (*changeover.Write, error) {
	return p.Admit(ctx, time.Now().Add(p.MaxHold()))
}

// admitted returns a write that the v2 API takes.
func (f *fleet) admitted(p *changeover.Proxy) *changeover.Write {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	w, err := admit(ctx, p)
	if err != nil {
		f.t.Fatalf("the v2 API does not take a write: %v", err)
	}
	return w
}

// tree loads the tree that proxies serve.
func (f *fleet) tree() *v2v3.Store {
	f.t.Helper()
	s, err := v2v3.Open(f.sw.Store)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		f.t.Fatalf("the tree is not served: %v", err)
	}
	return s
}

// do executes an operation on the tree.
func (f *fleet) do(s *v2v3.Store, method, path, form string) v2store.Answer {
	f.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	op, invalid := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query, ContentType: "application/x-www-form-urlencoded", Body: form}, time.Now())
	if invalid != nil {
		f.t.Fatal(invalid)
	}
	a, err := s.Do(f.t.Context(), op)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// v2Status is what etcd's v2 API answers about a key.
func (f *fleet) v2Status(key string) int {
	f.t.Helper()
	resp, err := http.Get(f.url + "/v2/keys" + key)
	if err != nil {
		f.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestASwitchMovesAllKeys(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.sw.before = func(step string) error {
		if step == "freeze" { // after the nodes were copied
			f.write("/dir/late", value("late"))
			f.write("/dir/key1", url.Values{"value": {"2"}, "prevExist": {"true"}})
		}
		return nil
	}
	want := f.take()
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Index != want.Index+2 || result.Nodes != want.Nodes()+1 || result.Changed != 2 {
		t.Errorf("got the index %d, %d nodes and %d that were changed; want %d, %d and 2", result.Index, result.Nodes, result.Changed, want.Index+2, want.Nodes()+1)
	}
	for _, p := range f.proxies {
		if _, err := admit(t.Context(), p); !errors.Is(err, changeover.ErrSwitched) || !p.Tree() {
			t.Errorf("a write after the switch: got %v, want %v", err, changeover.ErrSwitched)
		}
	}
	s := f.tree()
	for key, want := range map[string]string{"/dir/late": `"value":"late"`, "/dir/key1": `"value":"2"`, "/_hidden/a": `"value":"2"`, "/short": `"ttl":`, "/dir/key7": `"value":"changed"`} {
		if a := f.do(s, "GET", key, ""); !strings.Contains(string(a.Body), want) {
			t.Errorf("%s in the tree: got %s, want %s", key, a.Body, want)
		}
	}
	// Sessions have indexes, too.
	if a := f.do(s, "PUT", "/next", "value=1"); a.Index <= result.Index || a.Index > result.Index+40 {
		t.Errorf("the first write after the switch at the index %d: got the index %d, want one of the next", result.Index, a.Index)
	}
	if _, err := f.sw.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `a tree in the state "live"`) {
		t.Errorf("a second switch: got %v, want that there is a tree", err)
	}
}

var errKilled = errors.New("killed")

// TestWritesToTheV2APIAfterASwitchAreNamed has a program that still writes to a member, and a node that expires.
func TestWritesToTheV2APIAfterASwitchAreNamed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.write("/expires", url.Values{"value": {"1"}, "ttl": {"1"}})
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for f.v2Status("/expires") != 404 {
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // only etcd's clock ends it
	}
	if status := f.v2write(http.MethodPut, "/dir/late", value("1")); status != http.StatusUnauthorized {
		t.Errorf("a write to the v2 API after the switch: got the status %d, want %d", status, http.StatusUnauthorized)
	}
	if status := f.v2Status("/dir/key3"); status != http.StatusOK {
		t.Errorf("a read of the v2 API after the switch: got the status %d, want %d", status, http.StatusOK)
	}
	found, err := f.client.Range(t.Context(), &pb.RangeRequest{Key: layout.Keys("p").Meta()})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := layout.DecodeMeta(found.Kvs[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	f.v2writeAs(meta.V2Password, http.MethodPut, "/dir/late", value("1"))
	f.v2writeAs(meta.V2Password, http.MethodDelete, "/dir/key3", nil)
	ctx, stop := context.WithCancel(t.Context())
	var keys []string
	late := f.sw.WatchLate(ctx, result.Content, func(key string) {
		if keys = append(keys, key); len(keys) == 2 {
			stop()
		}
	})
	if want := []string{"/dir/late", "/dir/key3"}; late != 2 || !slices.Equal(keys, want) {
		t.Errorf("got %d late writes, of %q, want %q", late, keys, want)
	}
}

// TestWritesOfAMoveBackAreNotNamedAsLate moves the keys back while the v2 API is watched.
func TestWritesOfAMoveBackAreNotNamedAsLate(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := f.moveBack()
	m.write("/dir/key3", value("2"))
	m.back.before = func(step string) error {
		if step == "raise" { // what was copied is in the v2 API
			if late := f.sw.WatchLate(t.Context(), result.Content, func(key string) { t.Errorf("while a move back copies: got %q", key) }); late != 0 {
				t.Errorf("got %d late writes, want none", late)
			}
		}
		return nil
	}
	if _, err := m.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.v2write("PUT", "/dir/key4", value("3"))
	if late := f.sw.WatchLate(t.Context(), result.Content, func(key string) { t.Errorf("after a move back: got %q", key) }); late != 0 {
		t.Errorf("got %d late writes, want none", late)
	}
}

// TestLateWritesAreNamedWhileTheV2APIIsLocked has the command that locks the v2 API hold the lock of the tree.
func TestLateWritesAreNamedWhileTheV2APIIsLocked(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := f.moveBack()
	f.v2writeAs(m.description().V2Password, http.MethodPut, "/dir/late", value("1"))
	s, err := open(t.Context(), &f.sw.Store, layout.Live)
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	s.guards = true
	_, release, err := s.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release(false)
	ctx, stop := context.WithCancel(t.Context())
	var keys []string
	f.sw.WatchLate(ctx, result.Content, func(key string) {
		keys = append(keys, key)
		stop()
	})
	if want := []string{"/dir/late"}; !slices.Equal(keys, want) || ctx.Err() == nil {
		t.Errorf("got the late writes %q, want %q", keys, want)
	}
	stop()
}

// expireLock ends the lease of a lock, as etcd does some seconds after a kill.
func (f *fleet) expireLock() {
	f.t.Helper()
	found, err := f.client.Range(f.t.Context(), &pb.RangeRequest{Key: layout.Keys("p").Lock()})
	if err != nil || len(found.Kvs) != 1 || found.Kvs[0].Lease == 0 {
		f.t.Fatalf("the lock: got %v, %v; want one with a lease", found, err)
	}
	if _, err := f.client.Lease().LeaseRevoke(f.t.Context(), &pb.LeaseRevokeRequest{ID: found.Kvs[0].Lease}); err != nil {
		f.t.Fatal(err)
	}
}

// TestASwitchThatIsKilledAtAnyStepIsTakenBack kills a switch before each of its steps. Its lock goes with its
// lease.
func TestASwitchThatIsKilledAtAnyStepIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, step := range Steps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			f.sw.before = func(now string) error {
				if now == step {
					return errKilled
				}
				return nil
			}
			if _, err := f.sw.Run(t.Context()); !errors.Is(err, errKilled) {
				t.Fatalf("got %v, want that it was killed", err)
			}
			f.expireLock()
			for _, p := range f.proxies {
				if _, err := p.CatchUp(t.Context()); err != nil { // it may not have heard of the freeze yet
					t.Fatal(err)
				}
				w := f.admitted(p)
				if err := w.Confirm(t.Context()); err != nil {
					t.Errorf("a write after the switch was killed: got %v, want it confirmed", err)
				}
				w.Done()
			}
			f.sw.before, f.sw.killed = nil, false
			if _, err := f.sw.Run(t.Context()); err != nil {
				t.Fatalf("the switch is run again: %v", err)
			}
			if a := f.do(f.tree(), "GET", "/dir/key7", ""); a.Status != 200 {
				t.Errorf("a key after the second attempt: got %s", a.Body)
			}
		})
	}
}

// TestASwitchThatFailsIsTakenBackAtOnce has what is not as it must be.
func TestASwitchThatFailsIsTakenBackAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*fleet)
		want    string
	}{
		"a write that does not end": {func(f *fleet) {
			f.sw.MaxHold = 300 * time.Millisecond
			w := f.admitted(f.proxies[0])
			f.t.Cleanup(w.Done)
		}, "writes were held for 300ms"},
		"somebody writes past the proxies": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "compare" {
					f.write("/dir/past", value("1"))
				}
				return nil
			}
		}, `"/dir/past" was written`},
		"somebody writes the same value past the proxies": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "compare" {
					f.write("/dir/key3", value("1"))
				}
				return nil
			}
		}, `"/dir/key3" was written`},
		"somebody removes past the proxies": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "compare" {
					f.remove("/dir/key3")
				}
				return nil
			}
		}, `"/dir/key3" was removed`},
		"somebody writes and removes past the proxies": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "compare" {
					f.write("/dir/past", value("1"))
					f.remove("/dir/past")
				}
				return nil
			}
		}, "the index of the v2 store has grown by 2"},
		"a key of another program": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "prove" {
					f.put("p/dir/foreign", "1")
				}
				return nil
			}
		}, "is a key of another program"},
		"a node of the tree was changed": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "prove" {
					f.put("p/dir/key3", "other")
				}
				return nil
			}
		}, `"/dir/key3" has another value`},
		"a proxy comes": {func(f *fleet) {
			f.sw.before = func(step string) error {
				if step == "hold" {
					p := layout.Presence{Host: "conf1009", Auto: true}
					f.put(string(layout.Keys("p").Session("new")), string(p.Encode()))
				}
				return nil
			}
		}, "3 proxies follow the changeover"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			c.prepare(f)
			if _, err := f.sw.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got the error %v, want %q", err, c.want)
			}
			f.admitted(f.proxies[1]).Done()
			found, err := changeover.Look(t.Context(), f.client, "p")
			if err != nil || found.State != layout.Unfinished || found.Locked {
				t.Errorf("got %+v, %v; want the state %q and no lock", found, err, layout.Unfinished)
			}
		})
	}
}

// remove removes a key of the v2 store.
func (f *fleet) remove(key string) {
	f.t.Helper()
	f.v2write(http.MethodDelete, key, nil)
}

func TestAFleetThatIsNotAsExpectedIsNotSwitched(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	f.sw.Expect = 3
	if _, err := f.sw.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "2 proxies follow the changeover (conf1001, conf1001), want 3") {
		t.Errorf("a proxy is missing: got %v", err)
	}
	f.sw.Expect = 2
	p := layout.Presence{Host: "conf1009"}
	f.put(string(layout.Keys("p").Session("old")), string(p.Encode()))
	if _, err := f.sw.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "the proxy at conf1009 does not follow the changeover") {
		t.Errorf("a proxy serves the store already: got %v", err)
	}
	if _, err := f.sw.Run(t.Context()); err == nil || f.admitted(f.proxies[0]) == nil {
		t.Errorf("a switch of such a fleet: got %v, want an error", err)
	}
}

// TestAProxyThatStillHasASessionForTheTreeIsSwitched has a second session of one proxy, which holds no writes.
func TestAProxyThatStillHasASessionForTheTreeIsSwitched(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	p := layout.Presence{Host: "conf1001"}
	f.put(string(layout.Keys("p").Session("tree")), string(p.Encode()))
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestNodesThatExpireWhileWritesAreHeldExpireInTheTree lets a file and a directory expire after the v2 store
// was read.
func TestNodesThatExpireWhileWritesAreHeldExpireInTheTree(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.write("/gone/dir", url.Values{"dir": {"true"}, "ttl": {"2"}})
	f.write("/gone/dir/file", value("1"))
	f.write("/gone/file", url.Values{"value": {"1"}, "ttl": {"2"}})
	f.sw.before = func(step string) error {
		if step == "compare" {
			for f.v2Status("/gone/dir/file") != 404 || f.v2Status("/gone/file") != 404 {
				time.Sleep(20 * time.Millisecond) //nolint:forbidigo // only etcd's clock ends them
			}
		}
		return nil
	}
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := f.tree()
	if a := f.do(s, "GET", "/gone", "recursive=true"); result.Expired != 3 || strings.Contains(string(a.Body), "/gone/") {
		t.Errorf("%d nodes have expired, and the tree has %s; want three, and none of them", result.Expired, a.Body)
	}
}

// TestNoWriteIsLostInASwitch has clients that write through the proxies while the keys are moved.
func TestNoWriteIsLostInASwitch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	tree := sync.OnceValue(f.tree)
	var writers sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	longest := time.Duration(0)
	enough := make(chan struct{})
	for i := range 6 {
		p := f.proxies[i%3]
		writers.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("/load/%d-%d", i, n)
				began := time.Now()
				w, err := admit(t.Context(), p)
				switch {
				case errors.Is(err, changeover.ErrSwitched):
					f.do(tree(), "PUT", key, "value=1")
				case err != nil:
					t.Errorf("a write: %v", err)
					return
				default:
					f.write(key, value("1"))
					err = w.Confirm(t.Context())
					w.Done()
				}
				mu.Lock()
				if err == nil || errors.Is(err, changeover.ErrSwitched) {
					acknowledged[key] = true
				}
				longest = max(longest, time.Since(began))
				if len(acknowledged) == 300 {
					close(enough)
				}
				mu.Unlock()
				if p.Tree() && n%2 == 1 {
					return
				}
			}
		})
	}
	<-enough
	result, err := f.sw.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	writers.Wait()
	a := f.do(tree(), "GET", "/load", "")
	for key := range acknowledged {
		if !strings.Contains(string(a.Body), `"`+key+`"`) {
			t.Errorf("the write of %s was acknowledged and is lost", key)
		}
	}
	t.Logf("%d writes were acknowledged, and none waited for more than %s; the switch says that it held them for %.3f s", len(acknowledged), longest, result.Held)
}

func TestAMemberOfAnotherClusterIsNotMoved(t *testing.T) {
	t.Parallel()
	c := &Content{Member: "conf1", cluster: 1}
	if err := c.belongs(1); err != nil {
		t.Errorf("a member of the cluster: got %v", err)
	}
	if err := c.belongs(2); err == nil || !strings.Contains(err.Error(), "belongs to the cluster 1, but the v3 store of the configuration to 2") {
		t.Errorf("a member of another cluster: got %v, want both ids", err)
	}
}

// TestKeysAreNotMovedToTheStoreOfAnotherCluster has a configuration that names the members of another cluster.
func TestKeysAreNotMovedToTheStoreOfAnotherCluster(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	program, _, found := proxytest.FindEtcd()
	if !found {
		t.Skip("there is no etcd with the v2 API beside the linked one, whose clusters all have one id")
	}
	dir := t.TempDir()
	other, err := proxytest.StartProcess(program, proxytest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	f.sw.Connection.Endpoints, f.sw.DataDir = []string{other.URL()}, filepath.Join(dir, "data")
	if _, err := f.sw.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "but the v3 store of the configuration to") {
		t.Errorf("a switch to another cluster: got %v, want that it is refused", err)
	}
	if keys := f.keys(); slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "p/") }) {
		t.Errorf("the store of another cluster has %q, want nothing of the keys", keys)
	}
}

// TestKeysOfAnotherClusterWithTheSameIDsAreNotMoved has the files and the endpoint of another etcd that was started without a
// name: its ids are the same.
func TestKeysOfAnotherClusterWithTheSameIDsAreNotMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	other := start(t, proxytest.Options{})
	other.write("/other", value("1"))
	f.sw.Connection, f.sw.DataDir = other.Connection, other.DataDir
	const want = "these are two clusters with the same id"
	if _, err := f.sw.Check(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Check: got %v, want %q", err, want)
	}
	if _, err := f.sw.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Run: got %v, want %q", err, want)
	}
	if keys := f.keys(); slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, "p/") }) {
		t.Errorf("the store has %q, want nothing of the keys", keys)
	}
	if status := other.v2write(http.MethodPut, "/other", value("2")); status != http.StatusOK {
		t.Errorf("a write at the other cluster: got the status %d, want that its v2 API is not locked", status)
	}
}
