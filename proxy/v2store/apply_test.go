package v2store_test

import (
	"reflect"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
)

// dump returns everything in the tree that clients can see.
func dump(t *testing.T, tree *v2store.Tree) string {
	t.Helper()
	e, failure := tree.Get(&v2store.Operation{Recursive: true}, epoch)
	if failure != nil {
		t.Fatal(failure)
	}
	return string(e.Body())
}

func TestAChangeThatDoesNotFitLeavesTheTreeAlone(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d/f", "value=1&ttl=9")
	before := dump(t, tree)
	file := func(key string) *v2store.Record { return &v2store.Record{Key: key, Value: "x"} }
	for want, c := range map[string]*v2store.Change{
		"want a larger index":        nil,
		"not an action":              {Action: v2store.Get, Key: "/d"},
		"has no record":              {Action: v2store.Set, Key: "/x"},
		"its parent is a file":       {Action: v2store.Set, Key: "/d/f/x", Put: file("/d/f/x")},
		"finding its parent":         {Action: v2store.Set, Key: "/x/y", Put: file("/x/y")},
		"the key exists":             {Action: v2store.Create, Key: "/d/f", Put: file("/d/f")},
		"found a directory":          {Action: v2store.Set, Key: "/d", Put: file("/d")},
		"is not the parent of":       {Action: v2store.Set, Key: "/x/y", Put: file("/x/y"), Dirs: []string{"/y"}},
		"want it to be absent":       {Action: v2store.Set, Key: "/d/y", Put: file("/d/y"), Dirs: []string{"/d"}},
		"whose value is kept":        {Action: v2store.Set, Key: "/d/y", Put: file("/d/y"), KeepValue: true},
		"not of the same kind":       {Action: v2store.Update, Key: "/d", Put: file("/d")},
		"Key not found (/x)":         {Action: v2store.Update, Key: "/x", Put: file("/x")},
		"Root is read only":          {Action: v2store.Delete, Key: "", Below: true},
		"the directory is not empty": {Action: v2store.Delete, Key: "/d"},
		"is not the parent of \"x\"": {Action: v2store.Set, Key: "x", Put: file("x"), Dirs: []string{"/y"}},
		"record is not of the same":  {Action: v2store.Update, Key: "/d/f"},
		"the record has another key": {Action: v2store.Set, Key: "/x", Put: file("/y")},
		"want a key below it":        {Action: v2store.Set, Key: "", Put: file("")},
		"Key not found (/d/missing)": {Action: v2store.Expire, Key: "/d/missing"},
		"Not a directory (/d/f)":     {Action: v2store.CompareAndSwap, Key: "/d/f/x", Put: file("/d/f/x")},
		"want one like /a/b":         {Action: v2store.Set, Key: "x", Put: file("x")},
	} {
		index := tree.Index() + 1
		if c == nil {
			c, index = &v2store.Change{Action: v2store.Set, Key: "/x", Put: file("/x")}, tree.Index()
		}
		if _, err := tree.Apply(c, index); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got the error %v, want one with %q", c, err, want)
		}
		if after := dump(t, tree); after != before {
			t.Fatalf("%+v: the tree was %swant it to stay %s", c, after, before)
		}
	}
}

func TestALoadedTreeEqualsTheOneThatWasStored(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d/f", "value=1")
	do(t, tree, epoch, "PUT", "/d/f", "value=2&prevExist=true&ttl=9")
	do(t, tree, epoch, "PUT", "/d", "prevExist=true&ttl=5")
	loaded := v2store.New(3)
	for _, r := range []v2store.Record{
		{Key: "/d", Dir: true, Created: 1, Modified: 1, Recorded: 3, Expires: epoch.UnixNano() + 5e9},
		{Key: "/d/f", Value: "2", Created: 1, Recorded: 2, Expires: epoch.UnixNano() + 9e9},
	} {
		if err := loaded.Load(r); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := dump(t, loaded), dump(t, tree); got != want {
		t.Errorf("the loaded tree is %swant %s", got, want)
	}
	at := epoch.Add(6e9)
	if got, want := v2store.PlanExpire(loaded, at, nil), v2store.PlanExpire(tree, at, nil); got == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("the loaded tree expires %+v, want %+v", got, want)
	}
	for _, key := range []string{"/d", "/x/y", "/d/f/x", "", "/", "x", "/d//x", "/d/x/", "/d/../x"} {
		if err := loaded.Load(v2store.Record{Key: key}); err == nil {
			t.Errorf("loading %q succeeded, want an error", key)
		}
	}
}

// TestTheTreeCountsItsNodes compares the counts with a tree that has only what is left.
func TestTheTreeCountsItsNodes(t *testing.T) {
	tree := v2store.New(0)
	for _, step := range [][3]string{
		{"PUT", "/d/e/f", "value=12345"}, {"PUT", "/d/e/g", "value=1"}, {"PUT", "/d/e/f", "value=123"}, {"PUT", "/d/e/f", "value=1&prevExist=true"},
		{"PUT", "/d/e/f", "refresh=true&ttl=5"}, {"PUT", "/d/e/g", "dir=true"}, {"PUT", "/x/y", "value=1"}, {"DELETE", "/x", "recursive=true"},
		{"DELETE", "/d/e/g", "dir=true"},
	} {
		do(t, tree, epoch, step[0], step[1], step[2])
	}
	want := v2store.New(0)
	do(t, want, epoch, "PUT", "/d/e/f", "value=1")
	if tree.Len() != 3 || want.Len() != 3 || tree.Bytes() != want.Bytes() {
		t.Errorf("got %d nodes and %d bytes, want %d and %d", tree.Len(), tree.Bytes(), want.Len(), want.Bytes())
	}
}
