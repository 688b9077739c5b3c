package v2store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// A fact that holds although it is wrong lets a write replace what it should not.
func TestWhichFactsHold(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d/f", "value=1")
	do(t, tree, epoch, "PUT", "/e", "dir=true")
	do(t, tree, epoch, "PUT", "/e/_h", "value=1")
	do(t, tree, epoch, "PUT", "/empty", "dir=true")
	for _, c := range []struct {
		kind v2store.FactKind
		want string // the keys of which it holds
	}{
		{v2store.DirExists, "/d /e /empty"},
		{v2store.FileExists, "/d/f /e/_h"},
		{v2store.NoDir, "/d/f /e/_h /x /d/f/x /x/y"},
		{v2store.Absent, "/x /d/f/x /x/y"},
		{v2store.Empty, "/d/f /e/_h /empty /x /d/f/x /x/y"},
	} {
		var holds []string
		for _, key := range []string{"/d", "/d/f", "/e", "/e/_h", "/empty", "/x", "/d/f/x", "/x/y"} {
			if tree.Holds(v2store.Fact{Kind: c.kind, Key: key}) {
				holds = append(holds, key)
			}
		}
		if got := strings.Join(holds, " "); got != c.want {
			t.Errorf("%v holds of %s, want %s", c.kind, got, c.want)
		}
	}
	for fact, want := range map[v2store.Fact]bool{
		{Kind: v2store.Recorded, Key: "/d/f", Index: 1}:            true,
		{Kind: v2store.Recorded, Key: "/d/f", Index: 2}:            false,
		{Kind: v2store.Recorded, Key: "/d/f", Index: 1, Dir: true}: false,
		{Kind: v2store.Recorded, Key: "/e", Index: 2, Dir: true}:   true,
		{Kind: v2store.Recorded, Key: "/e", Index: 2}:              false,
		{Kind: v2store.Recorded, Key: "/x", Index: 0}:              false,
		{Kind: v2store.LastIndex, Index: 4}:                        true,
		{Kind: v2store.LastIndex, Index: 3}:                        false,
		{Kind: v2store.LastIndex, Index: 5, Key: "/d", Dir: true}:  false,
	} {
		if got := tree.Holds(fact); got != want {
			t.Errorf("%s holds: got %t, want %t", describe(fact), got, want)
		}
	}
}

// plan returns the change of a write.
func plan(t *testing.T, tree *v2store.Tree, method, path, query string) *v2store.Change {
	t.Helper()
	o, failure := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query}, epoch)
	if failure != nil {
		t.Fatal(failure)
	}
	c, failure := v2store.Plan(o, tree, epoch)
	if failure != nil {
		t.Fatal(failure)
	}
	return c
}

func TestWhatASetKeepsAndDrops(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/f", "value=1")
	for call, want := range map[string]string{
		"/f value=2":                     "keep false drop false refresh false",
		"/f dir=true":                    "keep false drop true refresh false",
		"/x dir=true":                    "keep false drop false refresh false",
		"/f refresh=true&ttl=5":          "keep true drop false refresh true",
		"/f dir=true&refresh=true&ttl=5": "keep false drop true refresh true",
	} {
		path, query, _ := strings.Cut(call, " ")
		c := plan(t, tree, "PUT", path, query)
		if got := fmt.Sprintf("keep %t drop %t refresh %t", c.KeepValue, c.DropFile, c.Refresh); got != want {
			t.Errorf("PUT %s: got %s, want %s", call, got, want)
		}
	}
}

// etcd takes earlier times for mistakes.
func TestOnlyTimesFrom2000OnAreExpiries(t *testing.T) {
	bound := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	for expires, want := range map[int64]int64{bound: bound, bound + 1: bound + 1, bound - 1: 0, 1: 0, 0: 0, -1: 0} {
		c, failure := v2store.Plan(&v2store.Operation{Action: v2store.Set, Key: "/a", Expires: expires}, v2store.New(0), epoch)
		if failure != nil || c.Put.Expires != want {
			t.Errorf("a set with the expiry %d: got %+v, %v; want the expiry %d", expires, c, failure, want)
		}
	}
}

func TestTheNextExpiryIsTheEarliest(t *testing.T) {
	tree := v2store.New(0)
	if got := tree.NextExpiry(); got != 0 {
		t.Errorf("the next expiry of an empty tree: got %d, want 0", got)
	}
	for key, ttl := range map[string]string{"/a": "9", "/b": "5", "/c": "7"} {
		do(t, tree, epoch, "PUT", key, "ttl="+ttl)
	}
	if got, want := tree.NextExpiry(), epoch.Add(5*time.Second).UnixNano(); got != want {
		t.Errorf("the next expiry: got %d, want %d", got, want)
	}
	do(t, tree, epoch, "DELETE", "/b", "")
	if got, want := tree.NextExpiry(), epoch.Add(7*time.Second).UnixNano(); got != want {
		t.Errorf("the next expiry without its node: got %d, want %d", got, want)
	}
}

func TestWhichOperationsWrite(t *testing.T) {
	for action, want := range map[v2store.Action]bool{
		v2store.Get: false, v2store.Watch: false, v2store.Set: true, v2store.Create: true, v2store.Update: true,
		v2store.CompareAndSwap: true, v2store.Delete: true, v2store.CompareAndDelete: true,
	} {
		if got := (&v2store.Operation{Action: action}).Write(); got != want {
			t.Errorf("Write of %s: got %t, want %t", action, got, want)
		}
	}
}

func TestAMethodThatEtcdDoesNotHaveIsAnErrorOfTheServer(t *testing.T) {
	_, failure := v2store.Parse(&v2store.Request{Method: "PATCH", Path: "/a"}, epoch)
	if failure == nil || failure.Code != 300 || failure.Status() != 500 {
		t.Errorf("PATCH: got %v, want code 300 with status 500", failure)
	}
}

func TestTheFieldsOfAnAnswer(t *testing.T) {
	a := v2store.Answer{Index: 12}
	cluster := v2store.Cluster{ID: 0xcdf818194e3a8c32, RaftIndex: 234567, RaftTerm: 789}
	if got, want := fmt.Sprint(a.Fields(cluster)), "[[Content-Type application/json] [X-Etcd-Cluster-Id cdf818194e3a8c32] [X-Etcd-Index 12] [X-Raft-Index 234567] [X-Raft-Term 789]]"; got != want {
		t.Errorf("the fields of an answer: got %s, want %s", got, want)
	}
	a.Failed = true
	if got := len(a.Fields(cluster)); got != 3 {
		t.Errorf("the fields of an error: got %d, want 3", got)
	}
}

// A change that was rebuilt from what another store recorded has its indexes.
func TestTheIndexesOfARecordWinOverThoseOfTheTree(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/f", "value=1")
	for _, c := range []struct{ created, modified, wantCreated uint64 }{{0, 0, 5}, {3, 0, 3}} {
		e, err := tree.Apply(&v2store.Change{Action: v2store.Update, Key: "/f", Put: &v2store.Record{Key: "/f", Value: "2", Created: c.created}}, tree.Index()+4)
		if err != nil {
			t.Fatal(err)
		}
		if e.Node.CreatedIndex != c.wantCreated || e.Node.ModifiedIndex != e.Index {
			t.Errorf("an update whose record was created at %d: got %+v, want it created at %d and modified at %d", c.created, e.Node, c.wantCreated, e.Index)
		}
	}
}
