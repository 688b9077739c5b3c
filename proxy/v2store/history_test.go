package v2store_test

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
)

// In etcd indexes have no gaps, so the model test cannot compare this.
func TestAHistoryWithGapsKnowsWhatItHasForgotten(t *testing.T) {
	h := v2store.NewHistory(50)
	scan := func(since uint64) string {
		e, failure := h.Scan(&v2store.Operation{Key: "/a"}, since, 99)
		switch {
		case failure != nil:
			return fmt.Sprintf("%d %s at %d", failure.Code, failure.Cause, failure.Index)
		case e == nil:
			return "none"
		}
		return fmt.Sprint(e.Index)
	}
	want := func(since uint64, want string) {
		t.Helper()
		if got := scan(since); got != want {
			t.Errorf("the first event from %d on is %s, want %s", since, got, want)
		}
	}
	want(49, "401 the requested history has been cleared [50/49] at 99")
	want(50, "none")
	for i := range uint64(1000) {
		h.Add(&v2store.Event{Action: v2store.Set, Index: 100 + 10*i, Node: &v2store.Node{Key: "/a"}})
	}
	want(50, "100")
	want(101, "110")
	want(10090, "10090")
	want(10091, "none")
	h.Add(&v2store.Event{Action: v2store.Set, Index: 20000, Node: &v2store.Node{Key: "/a"}})
	want(100, "401 the requested history has been cleared [101/100] at 99")
	want(101, "110")
	want(10091, "20000")
}

func TestAStoppedWatchReceivesNothing(t *testing.T) {
	tree, history, watches := v2store.New(0), v2store.NewHistory(0), v2store.NewWatches()
	heard := 0
	start := func() *v2store.Watcher {
		w, failure := watches.Start(&v2store.Operation{Action: v2store.Watch, Key: "/a", Stream: true}, tree, history, receive(func(*v2store.Event) { heard++ }))
		if failure != nil {
			t.Fatal(failure)
		}
		return w
	}
	stopped := start()
	start()
	watches.Stop(stopped)
	watches.Stop(stopped)
	watches.Notify(do(t, tree, epoch, "PUT", "/a", "value=1"))
	if heard != 1 {
		t.Errorf("one stopped and one running watch received %d events, want 1", heard)
	}
}

// TestWatchesOfOneKeyEndOneByOne stops watches in the middle of others, some of which have ended already, and
// whose places others have.
func TestWatchesOfOneKeyEndOneByOne(t *testing.T) {
	tree, history, watches := v2store.New(0), v2store.NewHistory(0), v2store.NewWatches()
	heard := ""
	start := func(name string, stream bool) *v2store.Watcher {
		w, failure := watches.Start(&v2store.Operation{Action: v2store.Watch, Key: "/a", Stream: stream}, tree, history, receive(func(*v2store.Event) { heard += name }))
		if failure != nil {
			t.Fatal(failure)
		}
		return w
	}
	event := func(when, want string, left int) {
		t.Helper()
		heard = ""
		watches.Notify(do(t, tree, epoch, "PUT", "/a", "value=1"))
		if heard != want || watches.Len() != left || len(watches.Receivers()) != left {
			t.Errorf("%s: heard by %q with %d and %d left, want by %q with %d left", when, heard, watches.Len(), len(watches.Receivers()), want, left)
		}
	}
	a, b, c, d := start("a", false), start("b", true), start("c", false), start("d", true)
	event("all", "abcd", 2)
	watches.Stop(a)
	watches.Stop(c)
	event("two that have ended were stopped", "bd", 2)
	e := start("e", true)
	watches.Stop(b) // the place is taken by the last one
	watches.Stop(b)
	event("the first was stopped", "ed", 2)
	watches.Stop(e)
	event("the last one that moved was stopped", "d", 1)
	watches.Stop(d)
	watches.Stop(d)
	event("all were stopped", "", 0)
	g, h := start("g", true), start("h", true)
	watches.Stop(g)
	watches.Stop(h) // it has moved
	event("both were stopped, the first one first", "", 0)
	start("f", false)
	watches.Stop(a)
	event("one whose place another has was stopped", "f", 0)
}

// TestAHistoryOfLargeEventsIsBounded compares a history with one that began later, as that of a store
// that has just been loaded.
func TestAHistoryOfLargeEventsIsBounded(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	all, late := v2store.NewHistory(1), v2store.NewHistory(501)
	for i := uint64(1); i <= 1500; i++ {
		value := "small"
		if i > 700 && i < 1000 || i%100 == 0 {
			value = large
		}
		e := &v2store.Event{Action: v2store.Set, Index: i, Node: &v2store.Node{Key: "/a", Value: &value}}
		all.Add(e)
		if i > 500 {
			late.Add(e)
		}
		if all.Bytes() > 65<<20 {
			t.Fatalf("after event %d the history has %d bytes, want at most 65 MiB", i, all.Bytes())
		}
	}
	for since := uint64(900); since <= 1500; since++ {
		got, gotErr := late.Scan(&v2store.Operation{Key: "/a"}, since, 1500)
		want, wantErr := all.Scan(&v2store.Operation{Key: "/a"}, since, 1500)
		if got != want || (gotErr == nil) != (wantErr == nil) || wantErr == nil && want.Index != since {
			t.Fatalf("from %d on: got the event %v and the error %v, want %v and %v", since, got, gotErr, want, wantErr)
		}
	}
	if _, failure := all.Scan(&v2store.Operation{Key: "/a"}, 900, 1500); failure == nil {
		t.Error("the history has event 900, want that it was forgotten")
	}
	if e, failure := all.Scan(&v2store.Operation{Key: "/a"}, 960, 1500); failure != nil || e.Index != 960 {
		t.Errorf("from 960 on: got the event %v and the error %v, want event 960", e, failure)
	}
}
