package keydump

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
	"etcd-tlsproxy/proxy/proxytest"
)

// store is one etcd with its own data.
type store struct {
	t    *testing.T
	url  string
	etcd client.Client
	keys client.KeysAPI
}

// TestTrees runs the tests of this file with the embedded and with the installed etcd.
// Each test gets two clusters without keys, whose indexes have advanced.
func TestTrees(t *testing.T) {
	run := func(t *testing.T, start func() (url string, stop func(), err error)) {
		var stores [2]*store
		for i := range stores {
			url, stop, err := start()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			etcd, err := client.New(client.Config{Endpoints: []string{url}})
			if err != nil {
				t.Fatal(err)
			}
			stores[i] = &store{url: url, etcd: etcd, keys: client.NewKeysAPI(etcd)}
		}
		for name, test := range map[string]func(*testing.T, *store, *store){
			"a tree goes to another cluster and is the same there": goesToAnotherCluster,
			"nothing newer is overwritten":                         nothingNewerIsOverwritten,
			"whoever is faster keeps what they wrote":              whoeverIsFaster,
			"an index that went backwards does not compare":        backwards,
			"a cluster that was built anew does not compare":       builtAnew,
			"what would be below a key is a conflict":              belowAKey,
			"what has expired is left out and told":                expired,
			"an interrupted load can be run again":                 interrupted,
			"what could not be loaded is left out of the dump":     leftOut,
			"keys that are too deep are left out with their tree":  tooDeep,
			"what cannot be dumped is said":                        notDumped,
			"a refusal is explained":                               refused,
		} {
			t.Run(name, func(t *testing.T) {
				for _, s := range stores {
					s.t = t
					s.clear()
				}
				test(t, stores[0], stores[1])
			})
		}
	}
	t.Run("embedded", func(t *testing.T) {
		run(t, func() (string, func(), error) {
			etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
			if err != nil {
				return "", nil, err
			}
			return etcd.URL(), etcd.Close, nil
		})
	})
	t.Run("installed", func(t *testing.T) {
		path, version, ok := proxytest.FindEtcd()
		if !ok {
			t.Skip("no etcd with the v2 API is installed")
		}
		t.Log(version)
		run(t, func() (string, func(), error) {
			etcd, err := proxytest.StartProcess(path, proxytest.Options{Dir: t.TempDir()})
			if err != nil {
				return "", nil, err
			}
			return etcd.URL(), etcd.Close, nil
		})
	})
}

// clear removes the keys of the tests.
func (s *store) clear() {
	s.t.Helper()
	for _, key := range []string{"/c", "/d", "/_h"} {
		if _, err := s.keys.Delete(s.t.Context(), key, &client.DeleteOptions{Recursive: true}); err != nil && !client.IsKeyNotFound(err) {
			s.t.Fatal(err)
		}
	}
}

// elsewhere gives a dump the id of another cluster, because all embedded etcds have the
// same one.
func elsewhere(dump *Dump) *Dump {
	dump.ClusterID = "another"
	return dump
}

func (s *store) set(key, value string, options *client.SetOptions) *client.Node {
	s.t.Helper()
	response, err := s.keys.Set(s.t.Context(), key, value, options)
	if err != nil {
		s.t.Fatalf("setting %s: %v", key, err)
	}
	return response.Node
}

func (s *store) delete(key string) {
	s.t.Helper()
	if _, err := s.keys.Delete(s.t.Context(), key, &client.DeleteOptions{Recursive: true}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *store) read(prefix acl.Key, hidden ...acl.Key) *Dump {
	s.t.Helper()
	dump, err := Read(s.t.Context(), s.etcd, prefix, hidden, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return dump
}

func (s *store) plan(dump *Dump, overwrite bool) *Plan {
	s.t.Helper()
	plan, err := dump.Plan(s.t.Context(), s.etcd, overwrite, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return plan
}

func (s *store) load(plan *Plan) *Plan {
	s.t.Helper()
	loader := Loader{Client: s.etcd, OnWrite: func() {}}
	if err := loader.Run(s.t.Context(), plan); err != nil {
		s.t.Fatal(err)
	}
	return plan
}

// found returns the nodes below a prefix, and the given hidden keys.
func (s *store) found(prefix acl.Key, hidden ...acl.Key) map[acl.Key]string {
	s.t.Helper()
	all := make(map[acl.Key]string)
	for _, e := range s.read(prefix, hidden...).Tree {
		switch {
		case e.Dir:
			all[e.Key] = "a directory"
		default:
			all[e.Key] = *e.Value
		}
		if e.Expiration != nil {
			all[e.Key] += ", which expires"
		}
	}
	return all
}

func (s *store) holds(want map[acl.Key]string, prefix acl.Key, hidden ...acl.Key) {
	s.t.Helper()
	if got := s.found(prefix, hidden...); !maps.Equal(got, want) {
		s.t.Errorf("keys below %v: got %v, want %v", prefix, got, want)
	}
}

func actions(p *Plan) map[acl.Key]Action {
	all := make(map[acl.Key]Action)
	for _, s := range p.Steps {
		all[s.Key] = s.Action
	}
	return all
}

func checkActions(t *testing.T, p *Plan, want map[acl.Key]Action) {
	t.Helper()
	if got := actions(p); !maps.Equal(got, want) {
		t.Errorf("actions: got %v, want %v", got, want)
	}
	for _, s := range p.Steps {
		if s.Action == Conflict && s.Reason == "" {
			t.Errorf("the conflict of %v has no reason", s.Key)
		}
	}
}

func goesToAnotherCluster(t *testing.T, a, b *store) {
	want := map[acl.Key]string{
		"/c": "a directory", "/c/empty": "a directory", "/c/nothing": "", "/c/text": "<&>\"\\ line\nline \x00 \u2028 äöü 😀 \uFFFD \\ufffd",
		"/c/odd name %41?x=1#+;~": "1", "/c/lock": "mine, which expires", "/c/session": "a directory, which expires", "/c/session/a": "x",
		"/c/_hidden": "a directory", "/c/_hidden/a": "h",
	}
	a.set("/c/empty", "", &client.SetOptions{Dir: true})
	a.set("/c/nothing", "", nil)
	a.set("/c/text", want["/c/text"], nil)
	a.set("/c/odd name %41?x=1#+;~", "1", nil)
	a.set("/c/lock", "mine", &client.SetOptions{TTL: time.Hour})
	a.set("/c/session", "", &client.SetOptions{Dir: true, TTL: 2 * time.Hour})
	a.set("/c/session/a", "x", nil)
	a.set("/c/_hidden/a", "h", nil)
	if _, listed := a.found("/c")["/c/_hidden"]; listed {
		t.Error("etcd lists a hidden key, want it unlisted")
	}
	dump := a.read("/c", "/c/_hidden")
	var file bytes.Buffer
	if err := dump.Write(&file); err != nil {
		t.Fatal(err)
	}
	read, err := Parse("f", file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere(read)
	plan := b.plan(read, false)
	if plan.Writes() != len(want) || plan.Compared {
		t.Errorf("plan: got %d writes, compared %v; want %d, false", plan.Writes(), plan.Compared, len(want))
	}
	b.load(plan)
	b.holds(want, "/c", "/c/_hidden")
	for key, ttl := range map[string]int64{"/c/lock": 3600, "/c/session": 7200} {
		got, err := b.keys.Get(t.Context(), key, nil)
		if err != nil || got.Node.TTL > ttl || got.Node.TTL < ttl-60 {
			t.Errorf("%s: got %+v (%v), want a TTL of at most %d", key, got, err, ttl)
		}
	}
	if again := b.plan(read, false); again.Writes() != 0 || again.Counts()[Unchanged] != len(want) {
		t.Errorf("loading it again: got %v, want %d unchanged", actions(again), len(want))
	}
	if err := read.Move("/c", "/d/e"); err != nil {
		t.Fatal(err)
	}
	b.load(b.plan(read, false))
	if got := b.found("/d", "/d/e/_hidden"); got["/d/e/text"] != want["/c/text"] || got["/d/e/_hidden/a"] != "h" || len(got) != len(want)+1 {
		t.Errorf("moved to /d/e: got %v, want all keys there", got)
	}
}

func nothingNewerIsOverwritten(t *testing.T, a, b *store) {
	for _, key := range []string{"same", "edited", "deleted", "changed", "becomesdir", "touched", "becameforever"} {
		a.set("/c/"+key, "1", nil)
	}
	a.set("/c/dir/a", "1", nil)
	a.set("/c/becomeskey/a/b", "1", nil)
	a.set("/c/becameforever", "1", &client.SetOptions{TTL: time.Hour})
	dump := a.read("/c")
	edited := "2"
	for i := range dump.Tree {
		if dump.Tree[i].Key == "/c/edited" {
			dump.Tree[i].Value = &edited
		}
	}
	a.delete("/c/deleted")
	a.set("/c/changed", "3", nil)
	a.set("/c/touched", "1", nil)
	a.set("/c/becameforever", "1", nil)
	for _, key := range []string{"/c/becomesdir", "/c/becomeskey"} {
		a.delete(key)
	}
	a.set("/c/becomesdir/a", "3", nil)
	a.set("/c/becomeskey", "3", nil)
	a.set("/c/new", "3", nil)
	want := map[acl.Key]Action{
		"/c": Unchanged, "/c/same": Unchanged, "/c/edited": Update, "/c/deleted": Create, "/c/changed": Conflict, "/c/touched": Unchanged,
		"/c/becameforever": Conflict, "/c/becomesdir": Conflict, "/c/becomeskey": Conflict, "/c/becomeskey/a": Conflict, "/c/becomeskey/a/b": Conflict,
		"/c/dir": Unchanged, "/c/dir/a": Unchanged,
	}
	plan := a.plan(dump, false)
	checkActions(t, plan, want)
	a.load(plan)
	checkActions(t, plan, want)
	after := map[acl.Key]string{
		"/c": "a directory", "/c/same": "1", "/c/edited": "2", "/c/deleted": "1", "/c/changed": "3", "/c/touched": "1", "/c/becameforever": "1",
		"/c/becomesdir": "a directory", "/c/becomesdir/a": "3", "/c/becomeskey": "3", "/c/dir": "a directory", "/c/dir/a": "1", "/c/new": "3",
	}
	a.holds(after, "/c")

	want["/c/edited"], want["/c/deleted"] = Unchanged, Unchanged
	checkActions(t, a.plan(dump, false), want)

	// In another cluster it is unknown which value is newer.
	b.set("/c/edited", "1", nil)
	b.set("/c/same", "1", nil)
	here := *dump
	other := b.plan(elsewhere(dump), false)
	dump = &here
	got := actions(other)
	for key, want := range map[acl.Key]Action{"/c/edited": Conflict, "/c/same": Unchanged, "/c/changed": Create} {
		if got[key] != want {
			t.Errorf("%v in another cluster: got %s, want %s", key, got[key], want)
		}
	}

	want["/c/changed"], want["/c/becameforever"] = Update, Update
	plan = a.plan(dump, true)
	checkActions(t, plan, want)
	a.load(plan)
	after["/c/changed"], after["/c/becameforever"] = "1", "1, which expires"
	a.holds(after, "/c")
}

func whoeverIsFaster(t *testing.T, a, _ *store) {
	for _, key := range []string{"/c/created", "/c/changed", "/c/deleted", "/c/dir/a", "/c/madetheSame"} {
		a.set(key, "1", nil)
	}
	dump := a.read("/c")
	for i := range dump.Tree {
		if e := &dump.Tree[i]; !e.Dir {
			value := "2"
			e.Value = &value
		}
	}
	a.delete("/c/created")
	a.delete("/c/dir")
	a.delete("/c/madetheSame")
	plan := a.plan(dump, false)
	checkActions(t, plan, map[acl.Key]Action{"/c": Unchanged, "/c/created": Create, "/c/changed": Update, "/c/deleted": Update, "/c/dir": Create, "/c/dir/a": Create, "/c/madetheSame": Create})
	a.set("/c/created", "3", nil)
	a.set("/c/changed", "3", nil)
	a.delete("/c/deleted")
	a.set("/c/dir", "3", nil)
	a.set("/c/madetheSame", "2", nil)
	a.load(plan)
	checkActions(t, plan, map[acl.Key]Action{"/c": Unchanged, "/c/created": Conflict, "/c/changed": Conflict, "/c/deleted": Conflict, "/c/dir": Conflict, "/c/dir/a": Conflict, "/c/madetheSame": Unchanged})
	a.holds(map[acl.Key]string{"/c": "a directory", "/c/created": "3", "/c/changed": "3", "/c/dir": "3", "/c/madetheSame": "2"}, "/c")
}

func backwards(t *testing.T, a, _ *store) {
	a.set("/c/a", "1", nil)
	dump := a.read("/c")
	// This is the state after an old copy of the data folder was restored.
	dump.Index += 100
	other := "2"
	dump.Tree[1].Value = &other
	checkActions(t, a.plan(dump, false), map[acl.Key]Action{"/c": Unchanged, "/c/a": Conflict})
}

func expired(t *testing.T, a, b *store) {
	a.set("/c/lock", "1", &client.SetOptions{TTL: time.Hour})
	a.set("/c/session", "", &client.SetOptions{Dir: true, TTL: time.Hour})
	a.set("/c/session/a", "1", nil)
	a.set("/c/stays", "1", nil)
	dump := a.read("/c")
	later, err := dump.Plan(t.Context(), b.etcd, false, time.Now().Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	checkActions(t, later, map[acl.Key]Action{"/c": Create, "/c/lock": Expired, "/c/session": Expired, "/c/session/a": Expired, "/c/stays": Create})
	b.load(later)
	b.holds(map[acl.Key]string{"/c": "a directory", "/c/stays": "1"}, "/c")

	// An entry can also expire during a load.
	now := b.plan(dump, false)
	for i := range now.Steps {
		if s := &now.Steps[i]; s.Expiration != nil {
			past := time.Now()
			s.Expiration = &past
		}
	}
	b.load(now)
	checkActions(t, now, map[acl.Key]Action{"/c": Unchanged, "/c/lock": Expired, "/c/session": Expired, "/c/session/a": Expired, "/c/stays": Unchanged})
}

// interrupted has keys of its own: etcd may execute the write that was canceled later, in another test.
func interrupted(t *testing.T, a, b *store) {
	for i := range 9 {
		a.set(fmt.Sprintf("/i/%d", i), "1", nil)
	}
	dump := a.read("/i")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := 0
	loader := Loader{Client: b.etcd, OnWrite: func() {
		if done++; done == 4 {
			cancel()
		}
	}}
	if err := loader.Run(ctx, b.plan(dump, false)); err == nil || !strings.Contains(err.Error(), "writing /i/3: context canceled") {
		t.Errorf("an interrupted load: got %v, want the key that was not written", err)
	}
	plan := b.plan(dump, false)
	if counts := plan.Counts(); counts[Unchanged] < 4 || counts[Unchanged]+counts[Create] != 10 {
		t.Errorf("the next plan: got %v, want 10 steps of which at least 4 are unchanged", counts)
	}
	b.load(plan)
	if got := b.found("/i"); len(got) != 10 {
		t.Errorf("after the next load: got %v, want 10 nodes", got)
	}
}

func leftOut(t *testing.T, a, b *store) {
	a.set("/c/good", "1", nil)
	put := func(path, value string) {
		t.Helper()
		// The library would clean the path. prevExist=false keeps a malformed path
		// from replacing anything.
		request, err := http.NewRequest("PUT", a.url+"/v2/keys/c/"+path+"?prevExist=false", strings.NewReader(url.Values{"value": {value}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusCreated {
			t.Fatalf("creating %s: got %s, want 201", path, response.Status)
		}
	}
	put("bytes", "\xff\xfe")
	put("replacement", "a \uFFFD of its own and \\ufffd")
	put("bytes%ff", "1")
	put("back%5cslash", "1")
	put("control%0a", "1")
	put("0/members/1/attributes/a", "1")
	dump := a.read("/c")
	var keys []acl.Key
	for _, e := range dump.Tree {
		keys = append(keys, e.Key)
	}
	if want := []acl.Key{"/c", "/c/0", "/c/0/members", "/c/0/members/1", "/c/good", "/c/replacement"}; !reflect.DeepEqual(keys, want) {
		t.Errorf("dumped keys: got %v, want %v", keys, want)
	}
	reasons := make(map[string]string)
	for _, left := range dump.LeftOut {
		reasons[left.Key] = left.Reason
	}
	for key, want := range map[string]string{
		"/c/bytes": "its value contains bytes", `"/c/bytes\ufffd"`: "it contains bytes", `/c/back\slash`: "backslash", `"/c/control\n"`: "control byte",
		"/c/0/members/1/attributes": "record of a member", "/c/0/members/1/attributes/a": "record of a member",
	} {
		if !strings.Contains(reasons[key], want) {
			t.Errorf("reason for leaving out %s: got %q, want %q", key, reasons[key], want)
		}
	}
	if dump.Entries != len(keys) {
		t.Errorf("entries in the header: got %d, want %d", dump.Entries, len(keys))
	}
	b.load(b.plan(dump, false))
	if got := b.found("/c"); got["/c/replacement"] != "a \uFFFD of its own and \\ufffd" {
		t.Errorf("loaded keys: got %v, want the replacement character unchanged", got)
	}
}

func tooDeep(t *testing.T, a, b *store) {
	deepest := acl.Key("/c" + strings.Repeat("/d", acl.MaxDepth-1))
	a.set(string(deepest+"/e/f/g"), "1", nil)
	a.set(string(deepest+"/h"), "1", nil)
	dump := a.read("/c")
	if last := dump.Tree[len(dump.Tree)-1].Key; len(dump.Tree) != acl.MaxDepth || last != deepest {
		t.Errorf("got %d entries, the last %v; want the %d directories down to %v", len(dump.Tree), last, acl.MaxDepth, deepest)
	}
	reasons := make(map[string]string)
	for _, left := range dump.LeftOut {
		reasons[left.Key] = left.Reason
	}
	for key, want := range map[acl.Key]string{deepest + "/e": "2 entries below it", deepest + "/h": "0 entries below it"} {
		if !strings.Contains(reasons[string(key)], want) || len(reasons) != 2 {
			t.Errorf("reason for leaving out %v: got %q among %d, want %q among 2", key, reasons[string(key)], len(reasons), want)
		}
	}
	b.load(b.plan(dump, false))
	if got := b.found("/c"); len(got) != acl.MaxDepth {
		t.Errorf("after the load: got %d nodes, want %d", len(got), acl.MaxDepth)
	}
}

func notDumped(t *testing.T, a, _ *store) {
	a.set("/c/a", "1", nil)
	a.set("/_h/a", "1", nil)
	refused := func(want string, prefix acl.Key, hidden ...acl.Key) {
		t.Helper()
		if dump, err := Read(t.Context(), a.etcd, prefix, hidden, time.Now()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("reading %v and %v: got %+v and the error %v, want %q", prefix, hidden, dump, err, want)
		}
	}
	refused("there is no key /d", "/d")
	refused("there is no hidden key /_i", "/", "/_i")
	refused("the hidden key /_h is not below /c", "/c", "/_h")
	refused("/c/a is given as a hidden key, but it is already in the dump", "/", "/c/a")
	if got := a.found("/c/a"); !maps.Equal(got, map[acl.Key]string{"/c/a": "1"}) {
		t.Errorf("dump of a single key: got %v, want that key", got)
	}
}

func builtAnew(t *testing.T, a, _ *store) {
	a.set("/c/a", "1", nil)
	// The id of the cluster is the same, but the node is another one than was dumped.
	for _, change := range []func(*Entry){
		func(e *Entry) {},
		func(e *Entry) { e.CreatedIndex-- },
		func(e *Entry) { e.ModifiedIndex++ },
		func(e *Entry) { e.ModifiedIndex, e.CreatedIndex = 0, 0 },
	} {
		dump := a.read("/c")
		other, want := "2", Conflict
		dump.Tree[1].Value = &other
		before := dump.Tree[1]
		if change(&dump.Tree[1]); reflect.DeepEqual(before, dump.Tree[1]) {
			want = Update
		}
		checkActions(t, a.plan(dump, false), map[acl.Key]Action{"/c": Unchanged, "/c/a": want})
	}
}

func belowAKey(t *testing.T, a, b *store) {
	a.set("/c/a/b", "1", nil)
	b.set("/c", "1", nil)
	plan := b.load(b.plan(elsewhere(a.read("/c/a")), true))
	checkActions(t, plan, map[acl.Key]Action{"/c/a": Conflict, "/c/a/b": Conflict})
	b.holds(map[acl.Key]string{"/c": "1"}, "/c")
}

// refused gets responses from servers other than etcd, for reads and for writes.
func refused(t *testing.T, a, _ *store) {
	a.set("/c/a", "1", nil)
	dump := a.read("/c")
	a.clear()
	plan := a.plan(dump, false)
	for answer, want := range map[string]string{
		`401 {"errorCode":110,"message":"The request requires user authentication","cause":"Insufficient credentials","index":0}`: "hint: give --user and --password-file",
		`403 {"errorCode":107,"message":"Root is read only","cause":"/c","index":0}`:                                              "hint: this proxy is read-only",
		`502 {"errorCode":300,"message":"Raft Internal Error","cause":"upstream","index":0}`:                                      "server error [Bad Gateway]",
		`200 {}`:                 "lacks etcd's headers",
		`200 <html>secret`:       "is not from etcd",
		`200 {"etcdserver":"3"}`: "lacks etcd's headers",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			code, _ := strconv.Atoi(answer[:3])
			w.WriteHeader(code)
			_, _ = io.WriteString(w, answer[4:])
		}))
		etcd, err := client.New(client.Config{Endpoints: []string{server.URL}})
		if err != nil {
			t.Fatal(err)
		}
		_, readErr := Read(t.Context(), etcd, "/c", nil, time.Now())
		if readErr == nil || !strings.Contains(readErr.Error(), want) || strings.Contains(readErr.Error(), "secret") {
			t.Errorf("reading, answered %s: got %v, want %q", answer, readErr, want)
		}
		loader := Loader{Client: etcd, OnWrite: func() {}}
		if err := loader.Run(t.Context(), plan); answer[:1] != "2" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("writing, answered %s: got %v, want %q", answer, err, want)
		}
		server.Close()
	}
}
