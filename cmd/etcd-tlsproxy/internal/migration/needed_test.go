package migration

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/v2v3"
	"etcd-tlsproxy/proxy/v2v3/layout"
)

// refused makes sure that a command deletes nothing, and says why.
func (f *fleet) refused(d *Drop, want string) {
	f.t.Helper()
	before := f.take().Nodes()
	if _, err := d.Check(f.t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		f.t.Errorf("the plan: got %v, want %q", err, want)
	} else if d.Observe < time.Second {
		if _, err := d.Run(f.t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			f.t.Errorf("the deletion: got %v, want %q", err, want)
		}
	}
	if after := f.take().Nodes(); after != before {
		f.t.Errorf("the v2 API has %d nodes, want %d as before", after, before)
	}
}

// TestAWatchAtAnyMemberEndsADeletion has a client that watches a key at a member that is not the one of the files.
func TestAWatchAtAnyMemberEndsADeletion(t *testing.T) {
	t.Parallel()
	c, all := startCluster(t, proxytest.ClusterOptions{Advertise: make([]string, 3)}, "")
	f := all.fleet(1)
	f.stopProxies()
	found, err := f.drop(0).Check(t.Context())
	if err != nil || len(found.Unobserved) > 0 || len(found.Members) != 3 {
		t.Fatalf("without a watch: got %+v and %v, want that all three members were observed", found, err)
	}
	d := f.drop(0)
	d.Store.Endpoints = d.Store.Endpoints[:2]
	if found, err := d.Check(t.Context()); err != nil || len(found.Unobserved) != 1 || found.Unobserved[0] != c.Members[2].Name() {
		t.Errorf("with two of the members in the configuration: got %+v and %v, want the name of the third", found, err)
	}
	there := *f
	there.fixture = &fixture{t: t, url: c.URLs()[1]}
	there.watchV2("/dir")
	f.refused(f.drop(0), "1 clients watch keys at the v2 API of the member "+strings.TrimPrefix(c.URLs()[1], "http://"))
}

// TestKeysThatAreReadAreNotDiscarded has a client that reads a key while the member is observed.
func TestKeysThatAreReadAreNotDiscarded(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.stopProxies()
	stop := f.reads("/dir/key3")
	defer stop()
	d := f.drop(0)
	d.Observe = time.Second // the refusal of Run is that of a plan
	f.refused(d, "times in 1s, so that somebody needs its keys")
	d.DespiteReads = true
	found, err := d.Check(t.Context())
	if err != nil || found.Reads == 0 {
		t.Errorf("despite reads: got %+v and %v, want some reads", found, err)
	}
	stop()
	result, err := d.Run(t.Context())
	if err != nil || result.Reads != found.Reads || result.Users == nil || result.Roles == nil {
		t.Errorf("got %+v and %v, want the reads of the plan, and lists of no users and roles", result, err)
	}
}

// reads has a client that reads a key until stop is called.
func (f *fleet) reads(key string) (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			resp, err := http.Get(f.url + "/v2/keys" + key)
			if err != nil {
				f.t.Errorf("reading: %v", err)
				return
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}()
	return func() { cancel(); <-ended }
}

// TestKeysOfProxiesWithAnotherPrefixAreNotDeleted has the configuration of another tree than the proxies.
func TestKeysOfProxiesWithAnotherPrefixAreNotDeleted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	d := f.drop(0)
	d.Store.Prefix, d.Served = "", ""
	f.refused(d, `whose prefix is "p", serve the v2 API`)
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.refused(d, `the v3 store has the keys at the prefix "p"`)
}

// TestTheOnlyCopyIsNotDiscarded has the keys at the v2 API after a move back, and no proxy that runs.
func TestTheOnlyCopyIsNotDiscarded(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	if _, err := f.back.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.tree.Close()
	f.stopProxies()
	f.refused(f.drop(0), `a tree in the state "unfinished", so that the v2 API has the only keys`)
	f.put(string(layout.Keys("p").Meta()))
	if _, err := f.drop(0).Run(t.Context()); err != nil {
		t.Errorf("without the description of the tree: got %v", err)
	}
}

// TestOldKeysAreDiscardedBesideATreeThatWasMadeEmpty has a proxy that serves a tree which was never moved.
func TestOldKeysAreDiscardedBesideATreeThatWasMadeEmpty(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	f.stopProxies()
	if err := v2v3.Init(t.Context(), f.sw.Store, 0); err != nil {
		t.Fatal(err)
	}
	s := f.tree()
	f.do(s, "PUT", "/new", "value=1")
	f.refused(f.drop(1), "a tree that was not moved from the v2 API")
	if _, err := f.drop(0).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.dropped("")
	if a := f.do(s, "GET", "/new", ""); a.Status != 200 {
		t.Errorf("a key of the tree: got %s", a.Body)
	}
}

// TestAKeyThatIsWrittenWhileUsersAreDeletedFailsTheDeletion has a client that writes when the keys are gone.
func TestAKeyThatIsWrittenWhileUsersAreDeletedFailsTheDeletion(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	d := f.drop(1)
	d.before = func(now string) error {
		if now == "users" {
			f.fixture.write("/late", value("1"))
		}
		return nil
	}
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"/late" was written at the v2 API meanwhile`) {
		t.Errorf("got %v, want that somebody writes", err)
	}
	if now := f.look(); now.V2Keys != layout.Dropping {
		t.Errorf("the tree says that the keys of the v2 API are %q, want %q", now.V2Keys, layout.Dropping)
	}
	if _, err := f.drop(1).Run(t.Context()); err != nil {
		t.Fatalf("without these writes: %v", err)
	}
	f.dropped(layout.Dropped)
}

// TestAFileInThePlaceOfADirectoryIsPutBack has a client replace an empty directory when its deletion is on its way.
func TestAFileInThePlaceOfADirectoryIsPutBack(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 1)
	fl.write("/cfg/x", value("1"))
	fl.remove("/cfg/x")
	f := fl.switched()
	r := f.relay()
	d := f.drop(1)
	d.Connection.Endpoints = []string{r.url}
	var once sync.Once
	r.choose(func(request *http.Request) bool {
		if request.Method == http.MethodDelete && request.URL.Path == "/v2/keys/cfg" {
			once.Do(func() {
				f.v2write("DELETE", "/cfg?dir=true", nil)
				f.fixture.write("/cfg", map[string][]string{"value": {"precious"}, "ttl": {"500"}})
			})
		}
		return false
	})
	if _, err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `"/cfg" was written at the v2 API meanwhile`) {
		t.Errorf("got %v, want that somebody writes", err)
	}
	if status, _, body := f.v2("/cfg"); status != 200 || !strings.Contains(body, `"value":"precious"`) || !strings.Contains(body, `"ttl":`) {
		t.Errorf("the file: got %d %s, want it with its time to live", status, body)
	}
}

// TestAMemberWithoutTheV2APISaysWhatToDo has the last members restarted already.
func TestAMemberWithoutTheV2APISaysWhatToDo(t *testing.T) {
	t.Parallel()
	f := newMoved(t, 1)
	f.second(func(w http.ResponseWriter, r *http.Request) bool {
		off := strings.HasPrefix(r.URL.Path, "/v2/")
		if off {
			http.NotFound(w, r)
		}
		return off
	})
	d := f.drop(1)
	d.Connection = f.back.Connection
	d.Connection.Endpoints = d.Connection.Endpoints[1:]
	if _, err := d.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "restart this member alone with --enable-v2") {
		t.Errorf("got %v, want that the member is to be restarted with the v2 API", err)
	}
}

// own enables users of the v2 API.
func (f *fleet) own() {
	f.t.Helper()
	m, err := f.connect(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range []change{
		{http.MethodPut, "/v2/auth/users/root", map[string]string{"user": "root", "password": "of-v2"}, ""},
		{http.MethodPut, "/v2/auth/users/zed", map[string]string{"user": "zed", "password": "of-v2"}, ""},
		{http.MethodPut, enablePath, nil, ""},
	} {
		if err := m.change(f.t.Context(), c); err != nil {
			f.t.Fatal(err)
		}
	}
}

// TestADeletionWithoutThePasswordOfRootBeginsNothing has users of the v2 API that no switch has made.
func TestADeletionWithoutThePasswordOfRootBeginsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1)
	d := f.drop(1)
	f.own()
	if _, err := f.sw.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.tree()
	f.refused(d, "give root with --user and --password-file")
	if now := f.look(); now.V2Keys != "" {
		t.Errorf("the tree says that the keys of the v2 API are %q, want nothing", now.V2Keys)
	}
}
