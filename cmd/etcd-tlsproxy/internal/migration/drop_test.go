package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3/changeover"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// drop returns a deletion of the keys of the v2 API.
func (f *fleet) drop(expect int) *Drop {
	r := f.sw.Rehearsal
	r.Progress = f.Progress
	return &Drop{Rehearsal: r, Fleet: Fleet{Expect: expect}, Discard: expect == 0, Observe: time.Millisecond}
}

// dropped makes sure that the v2 API has nothing that etcd 3.6 refuses, and that the tree says so.
func (f *fleet) dropped(state string) {
	f.t.Helper()
	c := f.take()
	if c.Nodes() > 0 || len(c.users)+len(c.roles) > 0 {
		f.t.Errorf("the v2 API has %d nodes, the users %q and the roles %q, want none", c.Nodes(), c.users, c.roles)
	}
	if now := f.look(); now.V2Keys != state || now.Locked {
		f.t.Errorf("the tree says %+v; want that the keys of the v2 API are %q, and no lock", now, state)
	}
	f.fixture.write("/open", value("1")) // which etcd refuses while it has users
	f.remove("/open")
}

func (f *fleet) look() *changeover.Fleet {
	f.t.Helper()
	found, err := changeover.Look(f.t.Context(), f.client, "p")
	if err != nil {
		f.t.Fatal(err)
	}
	return found
}

func TestADropLeavesNothingThatEtcdRefuses(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 3)
	d := f.drop(3)
	found, err := d.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if found.Served != 3 || found.Hidden != 2 || len(found.Users) != 1 || len(found.Roles) != 2 || len(found.Members) != 1 || found.Members[0].Version == "" {
		t.Errorf("before: got %+v, want three proxies, a hidden directory with a file, a user, two roles, and a member with its version", found)
	}
	result, err := d.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if result.Nodes != found.Nodes || found.Later != 0 {
		t.Errorf("got %d nodes, and %d files that are newer than the tree; want %d, and none", result.Nodes, found.Later, found.Nodes)
	}
	f.dropped(layout.Dropped)
	f.live()
	if a := f.do(f.tree, "GET", "/dir/key7", ""); !strings.Contains(string(a.Body), `"value":"changed"`) {
		t.Errorf("a key of the tree: got %s", a.Body)
	}
	if again, err := d.Run(t.Context()); err != nil || again.Nodes != 0 {
		t.Errorf("a second time: got %+v and %v, want nothing to delete", again, err)
	}
}

// TestADropThatIsKilledAtAnyStepCanBeRepeated kills a deletion before each of its steps. Afterwards it can be
// repeated, and the keys can be moved back instead.
func TestADropThatIsKilledAtAnyStepCanBeRepeated(t *testing.T) {
	t.Parallel()
	for _, step := range DropSteps {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprint(step, " back ", back), func(t *testing.T) {
				t.Parallel()
				f := newMoved(t, 2)
				d := f.drop(2)
				d.before = func(now string) error {
					if now == step {
						return errKilled
					}
					return nil
				}
				if _, err := d.Run(t.Context()); !errors.Is(err, errKilled) {
					t.Fatalf("got %v, want that it was killed", err)
				}
				want := layout.Dropping
				if step == DropSteps[0] {
					want = ""
				}
				if now := f.look(); now.V2Keys != want || now.State != layout.Live {
					t.Errorf("after the kill the tree says %+v, want the state %q, and that the keys of the v2 API are %q", now, layout.Live, want)
				}
				f.expireLock()
				f.write("/dir/key7", value("again"))
				if !back {
					if _, err := f.drop(2).Run(t.Context()); err != nil {
						t.Fatalf("the deletion is run again: %v", err)
					}
					f.dropped(layout.Dropped)
					return
				}
				f.isMovedBack("/dir/key7", "again")
			})
		}
	}
}

// isMovedBack moves the keys back, and makes sure that the v2 API has one.
func (f *moved) isMovedBack(key, value string) {
	f.t.Helper()
	if _, err := f.back.Run(f.t.Context()); err != nil {
		f.t.Fatalf("the keys are moved back: %v", err)
	}
	if status, _, body := f.v2(key); status != 200 || !strings.Contains(body, `"value":"`+value+`"`) {
		f.t.Errorf("%s at the v2 API: got %d %s, want the value %q", key, status, body, value)
	}
	if now := f.look(); now.V2Keys != "" || now.State != layout.Unfinished {
		f.t.Errorf("the tree says %+v, want the state %q, and nothing of the keys of the v2 API", now, layout.Unfinished)
	}
}

func TestKeysThatWereDroppedCanBeMovedBack(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	if _, err := f.drop(1).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.isMovedBack("/_hidden/a", "2")
}

// TestADropThatFailsLocksTheV2APIAgain has somebody who writes while keys are deleted: one that is there, and one that is
// not.
func TestADropThatFailsLocksTheV2APIAgain(t *testing.T) {
	t.Parallel()
	for key, step := range map[string]string{"/dir/key3": "delete", "/again": "prove"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			f := newMoved(t, 1)
			d := f.drop(1)
			d.before = func(now string) error {
				if now == step {
					f.fixture.write(key, value("new"))
				}
				return nil
			}
			if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q was written at the v2 API meanwhile", key)) {
				t.Fatalf("got %v, want that somebody writes %q to the v2 API", err, key)
			}
			if status, _, body := f.v2(key); status != 200 || !strings.Contains(body, `"value":"new"`) {
				t.Errorf("what was written meanwhile: got %d %s, want it", status, body)
			}
			if status := f.v2write(http.MethodPut, "/late", value("1")); status != http.StatusUnauthorized {
				t.Errorf("a write to the v2 API: got the status %d, want %d", status, http.StatusUnauthorized)
			}
			found, err := f.drop(1).Check(t.Context())
			if err != nil || found.Later != 1 {
				t.Errorf("afterwards: got %+v and %v, want one file that the tree does not have", found, err)
			}
			if _, err := f.drop(1).Run(t.Context()); err != nil {
				t.Fatalf("without these writes: %v", err)
			}
			f.dropped(layout.Dropped)
		})
	}
}

// TestADropThatWasStoppedDeletesNothingWhenItGoesOn stops a deletion before a step, or in the middle of one, and lets a
// move back end, after which clients write to the v2 API.
func TestADropThatWasStoppedDeletesNothingWhenItGoesOn(t *testing.T) {
	t.Parallel()
	for _, at := range append([]string{"nodes deleted"}, DropSteps...) {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			fleet := newFleet(t, 1)
			for i := range 200 {
				fleet.write(fmt.Sprint("/many/", i), value("1"))
			}
			f := fleet.switched()
			stopped, resume := make(chan struct{}), make(chan struct{})
			var once sync.Once
			stop := func(now string) {
				if now == at {
					once.Do(func() { close(stopped); <-resume })
				}
			}
			d := f.drop(1)
			d.before = func(step string) error { stop(step); return nil }
			d.Progress = func(what string, _ int64) (func(int64), func()) { return func(int64) { stop(what) }, func() {} }
			done := make(chan error)
			go func() { _, err := d.Run(t.Context()); done <- err }()
			<-stopped
			f.expireLocks()
			f.live()
			if _, err := f.again().Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.v2write("PUT", "/dir/key3", value("new"))
			want := f.take()
			close(resume)
			if err := <-done; err == nil {
				t.Error("the command that was stopped: got no error")
			}
			if put, gone := changes(want.records, f.take().records); len(put)+len(gone) > 0 {
				t.Errorf("%d nodes were changed and %d removed, want none", len(put), len(gone))
			}
			if status := f.v2write("PUT", "/after", value("2")); status != 201 {
				t.Errorf("a write at the v2 API, which has the keys: got the status %d", status)
			}
			if now := f.look(); now.State != layout.Unfinished {
				t.Errorf("the tree says %+v, want the state %q", now, layout.Unfinished)
			}
		})
	}
}

// TestADeletionThatEtcdExecutesLateDeletesNothing has etcd get all deletions of files when a move back has ended.
func TestADeletionThatEtcdExecutesLateDeletesNothing(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	r := f.relay()
	d := f.drop(1)
	d.Connection.Endpoints, d.Connection.Timeout = []string{r.url}, time.Second
	r.choose(func(r *http.Request) bool {
		return r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/v2/keys/") && r.URL.Path != "/v2/keys"+ownKey
	})
	failed := make(chan error)
	go func() { _, err := d.Run(t.Context()); failed <- err }()
	for range 22 { // the files
		<-r.came
	}
	f.expireLocks()
	if err := <-failed; err == nil {
		t.Fatal("a deletion without answers: got no error")
	}
	f.live()
	if _, err := f.again().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := f.take()
	for _, l := range r.held {
		if status := l.deliver(); status != http.StatusPreconditionFailed {
			t.Errorf("a deletion that comes late: got the status %d, want %d", status, http.StatusPreconditionFailed)
		}
	}
	if put, gone := changes(want.records, f.take().records); len(put)+len(gone) > 0 {
		t.Errorf("%d nodes were changed and %d removed, want none", len(put), len(gone))
	}
}

// TestAWriteBetweenThePlanAndTheDeletionIsNoticed has somebody write when the plan was made.
func TestAWriteBetweenThePlanAndTheDeletionIsNoticed(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.stopProxies()
	d := f.drop(0)
	if _, err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.write("/dir/key9", value("new"))
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"/dir/key9" was written at the v2 API meanwhile`) {
		t.Errorf("got %v, want that somebody writes", err)
	}
	if status := f.v2Status("/dir/key9"); status != 200 {
		t.Errorf("the key: got the status %d, want that it is there", status)
	}
}

// TestAProxyThatStartsEndsTheDiscarding has a proxy start that serves the v2 API, before the keys are deleted and in the
// middle of that.
func TestAProxyThatStartsEndsTheDiscarding(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"delete", "nodes deleted"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1)
			f.stopProxies()
			for i := range 200 {
				f.write(fmt.Sprint("/many/", i), value("1"))
			}
			var once sync.Once
			begin := func(now string) {
				if now == at {
					once.Do(f.follow)
				}
			}
			d := f.drop(0)
			d.before = func(step string) error { begin(step); return nil }
			d.Progress = func(what string, _ int64) (func(int64), func()) { return func(int64) { begin(what) }, func() {} }
			if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the proxies at conf1001 serve the v2 API") {
				t.Errorf("got %v, want that a proxy serves the v2 API", err)
			}
			if n := f.take().Nodes(); n < 100 {
				t.Errorf("%d nodes are left, want most of them", n)
			}
		})
	}
}

// TestNothingIsDeletedThroughAProxy has an endpoint whose writes come to the tree.
func TestNothingIsDeletedThroughAProxy(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.second(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Path == "/v2/keys"+ownKey {
			f.put("p.v2/f"+ownKey, "{}")
		}
		return false
	})
	d := f.drop(1)
	d.Connection = f.back.Connection
	d.Connection.Endpoints = d.Connection.Endpoints[1:]
	if _, err := d.Run(t.Context()); !errors.Is(err, errProxy) {
		t.Errorf("got %v, want %v", err, errProxy)
	}
	if n := f.take().Nodes(); n != 24 {
		t.Errorf("the v2 API has %d nodes, want 24", n)
	}
}

// TestAnotherClusterWithTheSameIdsIsNotEmptied has a member of another cluster at the endpoint. Both were started without
// names.
func TestAnotherClusterWithTheSameIdsIsNotEmptied(t *testing.T) {
	t.Parallel()
	f, other := newMoved(t, 1), start(t, proxytest.Options{})
	other.write("/needed", value("1"))
	d := f.drop(1)
	d.Connection.Endpoints, d.DataDir = []string{other.url}, other.DataDir
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "these are two clusters with the same id") {
		t.Errorf("got %v, want that these are two clusters", err)
	}
	if n := other.take().Nodes(); n != 1 {
		t.Errorf("the other cluster has %d nodes, want one", n)
	}
}

// TestKeysThatAreServedAreNotDropped has what must be refused. Nothing is changed then.
func TestKeysThatAreServedAreNotDropped(t *testing.T) {
	t.Parallel()
	put := func(f *fleet, change func(*layout.Meta)) {
		m := layout.Meta{Schema: 1, MinRead: 1, MinWrite: 1, State: layout.Live, Moved: true, Generation: "g"}
		change(&m)
		f.put("p.v2/meta", string(m.Encode()))
	}
	for name, c := range map[string]struct {
		prepare func(*fleet)
		expect  int
		want    string
	}{
		"the v2 API has the keys":                {func(*fleet) {}, 2, "the proxies at conf1001, conf1001 serve the v2 API"},
		"they are to be discarded":               {func(*fleet) {}, 0, "the proxies at conf1001, conf1001 serve the v2 API"},
		"nobody serves them":                     {(*fleet).stopProxies, 2, "the v3 store does not have the keys, so that they would be lost"},
		"the tree is not complete":               {func(f *fleet) { f.stopProxies(); put(f, func(m *layout.Meta) { m.State = layout.Unfinished }) }, 2, "the v3 store does not have the keys"},
		"the keys are being moved":               {func(f *fleet) { f.stopProxies(); put(f, func(m *layout.Meta) { m.State = layout.Frozen }) }, 0, "the keys are being moved"},
		"a proxy is missing":                     {func(f *fleet) { put(f, func(*layout.Meta) {}) }, 3, "2 proxies serve the v3 store (conf1001, conf1001), want 3"},
		"the tree has what is to be discarded":   {func(f *fleet) { put(f, func(*layout.Meta) {}) }, 0, "nothing of the v2 API is to be discarded"},
		"the tree was not moved from the v2 API": {func(f *fleet) { put(f, func(m *layout.Meta) { m.Moved = false }) }, 2, "the v3 store has a tree that was not moved from the v2 API"},
		"somebody watches a key":                 {func(f *fleet) { put(f, func(*layout.Meta) {}); f.watchV2("/dir") }, 2, "1 clients watch keys at the v2 API"},
		"the tree is that of a newer release":    {func(f *fleet) { put(f, func(m *layout.Meta) { m.MinWrite = 9 }) }, 2, "know the version 9 of its layout, and this one knows 1"},
		"another command works on the tree": {func(f *fleet) {
			put(f, func(*layout.Meta) {})
			f.put("p.v2/lock", "{}")
		}, 2, "another command works on the tree"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			before := f.take().Nodes()
			c.prepare(f)
			if _, err := f.drop(c.expect).Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if after := f.take().Nodes(); after != before {
				t.Errorf("the v2 API has %d nodes, want %d as before", after, before)
			}
		})
	}
}

// stopProxies ends the proxies, and their sessions.
func (f *fleet) stopProxies() {
	for _, p := range f.proxies {
		p.Close()
	}
	f.proxies = nil
	for len(f.look().Members) > 0 {
		time.Sleep(5 * time.Millisecond) //nolint:forbidigo // etcd ends the leases by itself
	}
}

// watchV2 has a client that watches a key at the v2 API.
func (f *fleet) watchV2(key string) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/v2/keys"+key+"?wait=true&recursive=true", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
}

// TestOldKeysAreDiscardedWithTheirUsers has a cluster without a tree, whose v2 API has users of its own.
func TestOldKeysAreDiscardedWithTheirUsers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.stopProxies()
	m, err := f.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const password = "root-of-v2"
	for _, c := range []change{
		{http.MethodPut, "/v2/auth/users/root", map[string]string{"user": "root", "password": password}, ""},
		{http.MethodPut, "/v2/auth/users/_conftool", map[string]string{"user": "_conftool", "password": "x"}, ""},
		{http.MethodPut, "/v2/auth/roles/editor", map[string]any{"role": "editor", "permissions": map[string]any{"kv": map[string][]string{"read": {"/*"}, "write": {"/*"}}}}, ""},
		{http.MethodPut, "/v2/auth/enable", nil, ""},
	} {
		if err := m.change(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	d := f.drop(0)
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "disabling etcd's own users of the v2 API") || !strings.Contains(err.Error(), "--user") {
		t.Errorf("without the password of root: got %v, want that it is needed", err)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Connection.User, d.Connection.PasswordFile = "root", file
	found, err := d.Check(t.Context())
	if err != nil || len(found.Users) != 2 || len(found.Roles) != 2 {
		t.Errorf("before: got %+v and %v, want two users and two roles", found, err)
	}
	if _, err := d.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.dropped("")
}

// TestReadsOfTheV2APIAreCounted has a client that reads a key while the member is observed.
func TestReadsOfTheV2APIAreCounted(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	d := f.drop(1)
	d.Observe = 300 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			resp, err := http.Get(f.url + "/v2/keys/dir/key3")
			if err != nil {
				t.Errorf("reading: %v", err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	found, err := d.Check(t.Context())
	stop()
	<-ended
	if err != nil || found.Reads == 0 {
		t.Errorf("got %+v and %v, want some reads", found, err)
	}
}

func TestAProxyCountsOnce(t *testing.T) {
	t.Parallel()
	session := func(host, process string, auto bool) changeover.Member {
		return changeover.Member{Host: host, Process: process, Auto: auto}
	}
	for name, c := range map[string]struct {
		members           []changeover.Member
		following, others int
	}{
		"with a session of the tree and an old one": {[]changeover.Member{session("a", "1", false), session("a", "1", true), session("a", "1", false)}, 1, 0},
		"with other members since":                  {[]changeover.Member{session("a", "1", true), session("a", "1", true), session("a", "1", false)}, 1, 0},
		"one of the tree only":                      {[]changeover.Member{session("a", "1", true), session("b", "2", false), session("b", "2", false)}, 1, 1},
		"restarted without following":               {[]changeover.Member{session("a", "1", true), session("a", "2", false)}, 1, 1},
		"two on one machine":                        {[]changeover.Member{session("a", "1", true), session("a", "2", true)}, 2, 0},
		"earlier releases":                          {[]changeover.Member{session("a", "", true), session("a", "", true), session("a", "", false), session("b", "", false), session("b", "", false)}, 2, 2},
		"an earlier release beside this one":        {[]changeover.Member{session("a", "1", true), session("a", "", false)}, 1, 1},
		"nobody":                                    {nil, 0, 0},
	} {
		following, others := proxies(&changeover.Fleet{Members: c.members})
		if len(following) != c.following || len(others) != c.others {
			t.Errorf("%s: got %d that follow and %d others, want %d and %d", name, len(following), len(others), c.following, c.others)
		}
	}
}
