package v2store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/v2store"
)

// do performs a write at the next index, and fails the test if it is refused.
func do(t *testing.T, tree *v2store.Tree, now time.Time, method, path, query string) *v2store.Event {
	t.Helper()
	o, failure := v2store.Parse(&v2store.Request{Method: method, Path: path, Query: query}, now)
	if failure != nil {
		t.Fatal(failure)
	}
	c, failure := v2store.Plan(o, tree, now)
	if failure != nil {
		t.Fatal(failure)
	}
	e, err := tree.Apply(c, tree.Index()+1)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func wantBody(t *testing.T, e *v2store.Event, want string) {
	t.Helper()
	if got := string(e.Body()); got != want+"\n" {
		t.Errorf("got  %swant %s", got, want)
	}
}

// The model test cannot compare this, because the etcd that is linked in refuses it.
func TestAnUpdateOfADirectoryChangesItsExpiry(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/d", "dir=true")
	do(t, tree, epoch, "PUT", "/d/f", "value=1")
	e := do(t, tree, epoch, "PUT", "/d", "prevExist=true&ttl=10")
	wantBody(t, e, `{"action":"update","node":{"key":"/d","dir":true,"expiration":"2026-01-01T00:00:10Z","ttl":10,"modifiedIndex":3,"createdIndex":1},`+
		`"prevNode":{"key":"/d","dir":true,"modifiedIndex":1,"createdIndex":1}}`)
	read, _ := tree.Get(&v2store.Operation{Key: "/d"}, epoch)
	if got := read.Node.ModifiedIndex; got != 1 {
		t.Errorf("after the update the directory has modifiedIndex %d, want 1", got)
	}
	if c := v2store.PlanExpire(tree, epoch.Add(10*time.Second-1), nil); c != nil {
		t.Errorf("before its time the directory expires: %+v", c)
	}
	c := v2store.PlanExpire(tree, epoch.Add(10*time.Second), nil)
	if c == nil {
		t.Fatal("at its time the directory does not expire")
	}
	if want := (v2store.Fact{Kind: v2store.Recorded, Key: "/d", Dir: true, Index: 3}); !slices.Contains(c.Facts, want) {
		t.Errorf("the expiration rests on %v, want %v among them", c.Facts, want)
	}
	if do(t, tree, epoch, "PUT", "/d", "prevExist=true"); tree.NextExpiry() != 0 {
		t.Errorf("after an update without ttl a node expires at %d, want none", tree.NextExpiry())
	}
}

func TestNodesWithEqualTimesExpireInTheOrderOfTheirKeys(t *testing.T) {
	for _, keys := range []string{"/a /b /c", "/c /b /a", "/b /a /c", "/b /c /a"} {
		tree := v2store.New(0)
		for key := range strings.SplitSeq(keys, " ") {
			do(t, tree, epoch, "PUT", key, "ttl=1")
		}
		var got []string
		for c := v2store.PlanExpire(tree, epoch.Add(time.Second), nil); c != nil; c = v2store.PlanExpire(tree, epoch.Add(time.Second), nil) {
			got = append(got, c.Key)
			if _, err := tree.Apply(c, tree.Index()+1); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"/a", "/b", "/c"}; !slices.Equal(got, want) {
			t.Errorf("written in the order %s, nodes expire in the order %v, want %v", keys, got, want)
		}
	}
}

func TestATTLThatOverflowsIsDueAtOnce(t *testing.T) {
	o, failure := v2store.Parse(&v2store.Request{Method: "PUT", Path: "/a", Query: "ttl=18446744073709551615"}, epoch)
	if failure != nil {
		t.Fatal(failure)
	}
	if got, want := o.Expires, epoch.Add(-time.Second).UnixNano(); got != want {
		t.Errorf("the node expires at %d, want %d", got, want)
	}
}

func TestAKeyNeverLeavesTheRoot(t *testing.T) {
	for path, want := range map[string]string{"": "", "/": "", "/..": "", "/../x": "/x", "/a/../../x": "/x", "/a//b/./c/": "/a/b/c"} {
		o, failure := v2store.Parse(&v2store.Request{Method: "GET", Path: path}, epoch)
		if failure != nil || o.Key != want {
			t.Errorf("the path %q has key %+v and error %v, want the key %q", path, o, failure, want)
		}
	}
}

func TestAnInOrderNameIsAboveTheNamesBefore(t *testing.T) {
	tree := v2store.New(7)
	for after, want := range map[uint64]string{0: "/q/00000000000000000008", 7: "/q/00000000000000000008", 20: "/q/00000000000000000021"} {
		c, failure := v2store.Plan(&v2store.Operation{Action: v2store.Create, Key: "/q", InOrder: true, After: after}, tree, epoch)
		if failure != nil || c.Key != want {
			t.Errorf("after %d the name is %+v and the error %v, want %s", after, c, failure, want)
		}
	}
}

func TestARemainderOfOneNanosecondIsShownAsASecond(t *testing.T) {
	tree := v2store.New(0)
	do(t, tree, epoch, "PUT", "/a", "ttl=5")
	for left, want := range map[time.Duration]int64{1: 1, 0: 0, time.Second: 1, time.Second + 1: 2, -1: 0, -time.Second: -1} {
		e, failure := tree.Get(&v2store.Operation{Key: "/a"}, epoch.Add(5*time.Second-left))
		if failure != nil || e.Node.TTL != want {
			t.Errorf("with %d ns left the ttl is %+v (%v), want %d", left, e.Node, failure, want)
		}
	}
}

func TestARefreshKeepsTheValueAndIsHeardByNobody(t *testing.T) {
	for _, query := range []string{"refresh=true&ttl=5", "refresh=true&ttl=5&prevExist=true", "refresh=true&ttl=5&prevValue=1"} {
		tree := v2store.New(0)
		do(t, tree, epoch, "PUT", "/f", "value=1")
		e := do(t, tree, epoch, "PUT", "/f", query)
		if e.Node.Value == nil || *e.Node.Value != "1" || e.Node.TTL != 5 || !e.Refresh {
			t.Errorf("PUT /f with %s: got %+v, want the value 1 for 5 seconds", query, e.Node)
		}
		heard := 0
		watches := v2store.NewWatches()
		if _, failure := watches.Start(&v2store.Operation{Action: v2store.Watch, Key: "/f"}, tree, v2store.NewHistory(0), receive(func(*v2store.Event) { heard++ })); failure != nil {
			t.Fatal(failure)
		}
		if watches.Notify(e); heard != 0 {
			t.Errorf("PUT /f with %s: got its event heard, want silence", query)
		}
		want := v2store.New(0)
		do(t, want, epoch, "PUT", "/f", "value=1")
		if tree.Bytes() != want.Bytes() {
			t.Errorf("PUT /f with %s: got %d bytes, want %d", query, tree.Bytes(), want.Bytes())
		}
	}
}
