package keydump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	client "go.etcd.io/etcd/client/v2"

	"etcd-tlsproxy/acl"
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later = now.Add(time.Minute)
)

// file is a key of the cluster, with the index of its last change.
func file(value string, modified uint64) *node {
	return &node{Value: text{decoded: value}, CreatedIndex: 5, ModifiedIndex: modified}
}

func TestWhatALoadDoesWithAnEntry(t *testing.T) {
	one, moment, soon := "1", now, later
	entry := Entry{Key: "/a", Value: &one, CreatedIndex: 5, ModifiedIndex: 7}
	expiring := entry
	expiring.Expiration = &soon
	past := entry
	past.Expiration = &moment
	folder := Entry{Key: "/a", Dir: true, CreatedIndex: 5, ModifiedIndex: 7}
	unknown := entry
	unknown.ModifiedIndex, unknown.CreatedIndex = 0, 0
	lossy, there := file("1", 7), file("1", 7)
	lossy.Value.replaced = true
	there.Expiration = &soon
	otherTime := file("1", 7)
	otherTime.Expiration = &moment
	anew := file("2", 7)
	anew.CreatedIndex = 6
	for _, c := range []struct {
		what      string
		entry     Entry
		is        *node
		compared  bool
		overwrite bool
		want      Action
		reason    string
	}{
		{"a key that is missing", entry, nil, true, false, Create, ""},
		{"an equal key", entry, file("1", 9), true, false, Unchanged, ""},
		{"the key that was dumped, with another value in the dump", entry, file("2", 7), true, false, Update, "it has another value"},
		{"a key that was changed after the dump", entry, file("2", 8), true, false, Conflict, "changed after the dump: its index is 8, the dump's is 7"},
		{"a key that was changed after the dump, to overwrite", entry, file("2", 8), true, true, Update, "it has another value"},
		{"an older key", entry, file("2", 6), true, false, Conflict, "it is unknown which is newer"},
		{"a key of another cluster", entry, file("2", 8), false, false, Conflict, "it is unknown which is newer"},
		{"a key of another cluster with the same indexes", entry, file("2", 7), false, false, Conflict, "it is unknown which is newer"},
		{"a key that was deleted and created again", entry, anew, true, false, Conflict, "it is unknown which is newer"},
		{"a dump without indexes", unknown, &node{Value: text{decoded: "2"}}, true, false, Conflict, "it is unknown which is newer"},
		{"a value that etcd cannot return", entry, lossy, true, true, Update, "it has another value"},
		{"a directory where the dump has a key", entry, &node{Dir: true}, true, true, Conflict, "it is a directory in the cluster"},
		{"a key where the dump has a directory", folder, file("1", 7), true, true, Conflict, "it is a key in the cluster"},
		{"an equal directory", folder, &node{Dir: true}, true, true, Unchanged, ""},
		{"a directory that expires", folder, &node{Dir: true, Expiration: &soon}, true, true, Conflict, "it expires in the cluster"},
		{"a key that expires", entry, there, true, true, Update, "it expires in the cluster"},
		{"a key that does not expire", expiring, file("1", 7), true, true, Update, "it does not expire in the cluster"},
		{"the same expiration", expiring, there, true, false, Unchanged, ""},
		{"the key that was dumped, with another time in the dump", expiring, otherTime, true, false, Update, "it expires at another time"},
		{"a key with another time, of another cluster", expiring, otherTime, false, false, Unchanged, ""},
		{"an entry that expires now", past, nil, true, true, Expired, "at 2026-01-02T03:04:05Z"},
	} {
		s := Step{Entry: c.entry}
		(&Plan{Compared: c.compared}).decide(&s, c.is, c.overwrite, now)
		if s.Action != c.want || !strings.Contains(s.Reason, c.reason) || c.reason == "" && s.Reason != "" {
			t.Errorf("%s: got %s because %q, want %s because %q", c.what, s.Action, s.Reason, c.want, c.reason)
		}
		if (s.Action == Update) != (s.replaces != 0) || s.Action == Update && s.replaces != c.is.ModifiedIndex {
			t.Errorf("%s: got an update of index %d, want that of the node", c.what, s.replaces)
		}
	}
}

func TestWhichKeysAreHidden(t *testing.T) {
	for _, c := range []struct {
		prefix, key acl.Key
		want        bool
	}{
		{"/a", "/a/b", false}, {"/a", "/a/_b", true}, {"/a", "/a/_b/c", true}, {"/a", "/a/b_c", false}, {"/", "/_a", true}, {"/", "/a", false}, {"/_a", "/_a/b", false}, {"/_a", "/_a", false}, {"/a", "/a", false},
	} {
		if got := hidden(c.prefix, c.key); got != c.want {
			t.Errorf("%s is hidden from a listing of %s: got %t, want %t", c.key, c.prefix, got, c.want)
		}
	}
	blocked := map[acl.Key]Step{"/a/b": {Action: Conflict}}
	for key, want := range map[acl.Key]bool{"/a": false, "/a/b": false, "/a/b/c": true, "/a/b/c/d": true, "/a/bc": false, "/": false} {
		if _, got := blockedBy(blocked, key); got != want {
			t.Errorf("%s is below a blocked directory: got %t, want %t", key, got, want)
		}
	}
}

// A directory blocks what is below it, and a key blocks nothing.
func TestOnlyADirectoryThatCannotBeWrittenBlocksOthers(t *testing.T) {
	value := "1"
	conflict := `200 {"node":{"key":"/c/a","value":"2","modifiedIndex":3,"createdIndex":3}}`
	isDir := `200 {"node":{"key":"/c/a","dir":true,"modifiedIndex":3,"createdIndex":3}}`
	created := `200 {"action":"create"}`
	for _, c := range []struct {
		first  Entry
		second string
		want   []Action
	}{
		{Entry{Key: "/c/a", Dir: true}, conflict, []Action{Conflict, Conflict}},
		{Entry{Key: "/c/a", Dir: true}, isDir, []Action{Unchanged, Create}},
		{Entry{Key: "/c/a", Value: &value}, conflict, []Action{Conflict, Create}}, // the plan of a broken dump: etcd would refuse
	} {
		plan := &Plan{Steps: []Step{{Entry: c.first, Action: Create}, {Entry: Entry{Key: "/c/a/b", Value: &value}, Action: Create}}}
		loader := &Loader{Client: answers(t, exists, c.second, created), OnWrite: func() {}}
		if err := loader.Run(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if got := plan.Steps[i].Action; got != want {
				t.Errorf("step %d where %s is %s: got %s, want %s", i+1, c.first.Key, c.second, got, want)
			}
		}
	}
	plan := &Plan{Steps: []Step{{Entry: Entry{Key: "/c/a", Value: &value}, Action: Create}}}
	loader := &Loader{Client: answers(t, exists, `404 {"errorCode":104,"message":"Not a directory","cause":"/c","index":7}`), OnWrite: func() {}}
	if err := loader.Run(t.Context(), plan); err != nil || plan.Steps[0].Reason != "its parent is a key in the cluster" {
		t.Errorf("creating a key below another: got %+v, %v; want a conflict with its parent", plan.Steps[0], err)
	}
	plan = &Plan{Steps: []Step{{Entry: Entry{Key: "/c/a", Value: &value}, Action: Update}}}
	loader = &Loader{Client: answers(t, exists, `404 {"errorCode":100,"message":"Key not found","cause":"/c/a","index":7}`), OnWrite: func() {}}
	if err := loader.Run(t.Context(), plan); err != nil || plan.Steps[0].Reason != "it does not exist: it was changed during the load" {
		t.Errorf("updating a key that is gone: got %+v, %v; want a conflict that says so", plan.Steps[0], err)
	}
}

// headed answers with a status, a body and two fields of the head.
func headed(t *testing.T, index, cluster, body string) client.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Index", index)
		w.Header().Set("X-Etcd-Cluster-Id", cluster)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	etcd, err := client.New(client.Config{Endpoints: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	return etcd
}

func TestAnAnswerThatIsNotEtcdsIsAnError(t *testing.T) {
	const key = `{"action":"get","node":{"key":"/c","dir":true}}`
	for _, c := range []struct {
		index, cluster, body string
		good                 bool
	}{
		{"12", "c", key, true}, {"1a", "c", key, false}, {"", "c", key, false}, {"12", "", key, false}, {"12", "c", "{}", false}, {"12", "c", "x", false},
		{"12", "c", `{"errorCode":100}`, true}, {"12", "c", `{"errorCode":100,"node":{"key":"/c"}}`, false}, {"12", "c", `{"errorCode":300}`, false},
	} {
		found, err := read(t.Context(), headed(t, c.index, c.cluster, c.body), "/c")
		if (err == nil) != c.good || c.good && (found.index != 12 || found.clusterID != "c") {
			t.Errorf("the answer %s with index %q of cluster %q: got %+v, %v; want success: %t", c.body, c.index, c.cluster, found, err, c.good)
		}
	}
}

func TestRefusalsOfEtcdHaveAHint(t *testing.T) {
	for want, err := range map[string]error{
		"--user and --password-file":               client.Error{Code: client.ErrorCodeUnauthorized, Message: "m"},
		"use another one":                          client.Error{Code: client.ErrorCodeRootROnly, Message: "m"},
		"400: m () [0]":                            client.Error{Code: 400, Message: "m"},
		"no endpoint serves the request: one; two": &client.ClusterError{Errors: []error{errors.New("one"), errors.New("two")}},
		(&client.ClusterError{}).Error():           &client.ClusterError{},
		"plain":                                    errors.New("plain"),
	} {
		got := withHint(fmt.Errorf("wrapped: %w", err)).Error()
		if !strings.Contains(got, want) || strings.Contains(want, "plain") && strings.Contains(got, "hint") || strings.Contains(want, "400") && strings.Contains(got, "hint") {
			t.Errorf("the error %v with its hint: got %q, want %q in it", err, got, want)
		}
	}
}

func TestHiddenKeysAreSortedIntoADump(t *testing.T) {
	const tree = `200 {"action":"get","node":{"key":"/c","dir":true,"nodes":[{"key":"/c/a","value":"1"},{"key":"/c/x","value":"<&>"}]}}`
	const secret = `200 {"action":"get","node":{"key":"/c/_h","value":"2"}}`
	dump, err := Read(t.Context(), answers(t, tree, secret), "/c", []acl.Key{"/c/_h"}, now)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := dump.Write(&b); err != nil {
		t.Fatal(err)
	}
	const want = `{"etcdTlsproxyDump":1,"prefix":"/c","clusterId":"c","index":7,"taken":"2026-01-02T03:04:05Z","entries":4}
{"key":"/c","dir":true}
{"key":"/c/_h","value":"2"}
{"key":"/c/a","value":"1"}
{"key":"/c/x","value":"<&>"}
`
	if b.String() != want {
		t.Errorf("the dump: got\n%s\nwant\n%s", b.String(), want)
	}
	// The root is neither a key nor left out.
	root, err := Read(t.Context(), answers(t, `200 {"action":"get","node":{"dir":true,"nodes":[{"key":"/c","value":"1"}]}}`), "/", nil, now)
	if err != nil || len(root.Tree) != 1 || len(root.LeftOut) != 0 {
		t.Errorf("a dump of the root: got %+v, %v; want the key below it alone", root, err)
	}
}

func TestAHiddenKeyOfAnotherClusterIsRefused(t *testing.T) {
	first := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cluster := "two"
		if first {
			cluster, first = "one", false
		}
		w.Header().Set("X-Etcd-Index", "7")
		w.Header().Set("X-Etcd-Cluster-Id", cluster)
		_, _ = io.WriteString(w, `{"action":"get","node":{"key":"/c/_h","dir":true}}`)
	}))
	defer server.Close()
	etcd, err := client.New(client.Config{Endpoints: []string{server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if dump, err := Read(t.Context(), etcd, "/c", []acl.Key{"/c/_g"}, now); err == nil || !strings.Contains(err.Error(), "another cluster answered") {
		t.Errorf("Read of keys of two clusters: got %+v, %v; want an error that says so", dump, err)
	}
}

// failingWriter accepts some bytes.
type failingWriter int

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > int(*w) {
		return 0, errors.New("the disk is full")
	}
	*w -= failingWriter(len(p))
	return len(p), nil
}

func TestADumpThatCannotBeWrittenIsAnError(t *testing.T) {
	value := strings.Repeat("x", 5000)
	for _, room := range []failingWriter{0, 100, 5000} {
		d := &Dump{Tree: []Entry{{Key: "/a", Value: &value}, {Key: "/b", Value: &value}}}
		if err := d.Write(&room); err == nil {
			t.Errorf("writing a dump to a full disk: got no error")
		}
	}
	small := failingWriter(0)
	if err := (&Dump{}).Write(&small); err == nil {
		t.Error("writing a header to a full disk: got no error")
	}
	bad := &Dump{Header: Header{Taken: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}
	if err := bad.Write(io.Discard); err == nil {
		t.Error("writing a year that JSON cannot express: got no error")
	}
}

func TestADumpWithoutKeysMovesFromItsOwnPrefixOnly(t *testing.T) {
	empty := func() *Dump { return &Dump{Header: Header{Prefix: "/a"}} }
	if d := empty(); d.Move("/b", "/c") == nil {
		t.Errorf("moving an empty dump of /a from /b: got %v and no error, want an error", d.Prefix)
	}
	if d := empty(); d.Move("/a", "/c") != nil || d.Prefix != "/c" {
		t.Errorf("moving an empty dump of /a to /c: got the prefix %v, want /c", d.Prefix)
	}
}

func TestTheDeepestKeyOfADumpIsRead(t *testing.T) {
	deepest := "/a" + strings.Repeat("/d", acl.MaxDepth-1)
	lines := strings.Join([]string{strings.Replace(header, `"entries":2`, `"entries":1`, 1), `{"key":"` + deepest + `","value":""}`}, "\n")
	if _, err := Parse("f", []byte(lines)); err != nil {
		t.Errorf("a key of %d segments: got the error %v, want none", acl.MaxDepth, err)
	}
}
