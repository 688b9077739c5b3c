package v2store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAHistoryCountsTheKeysAndValuesOfItsEvents(t *testing.T) {
	value, before := strings.Repeat("v", 100), strings.Repeat("b", 30)
	for _, c := range []struct {
		event Event
		want  int
	}{
		{Event{Node: &Node{Key: "/abc"}}, 204},
		{Event{Node: &Node{Key: "/abc", Value: &value}}, 304},
		{Event{Node: &Node{Key: "/abc", Value: &value}, PrevNode: &Node{Key: "/abc", Value: &before}}, 304 + 234},
		{Event{Node: &Node{Key: "/abc"}, PrevNode: &Node{Key: "/abc", Value: &before}}, 204 + 234},
	} {
		h := NewHistory(1)
		for i := range uint64(1000) {
			c.event.Index = i + 1
			e := c.event
			h.Add(&e)
		}
		if got := h.Bytes(); got != 1000*c.want {
			t.Errorf("1,000 events of %d bytes: got %d bytes, want %d", c.want, got, 1000*c.want)
		}
		h.Add(&Event{Index: 2000, Node: &Node{}})
		if got := h.Bytes(); got != 999*c.want+200 {
			t.Errorf("with one more event, for which the oldest is forgotten: got %d bytes, want %d", got, 999*c.want+200)
		}
	}
}

func TestAHistoryForgetsTheOldestEventsAbove64MiBButNotTheNewest(t *testing.T) {
	large := strings.Repeat("x", 32<<20-200)
	huge := strings.Repeat("x", 65<<20)
	h := NewHistory(1)
	for i, c := range []struct {
		value string
		want  string
	}{{large, "1"}, {large, "1 2"}, {"", "2 3"}, {large, "3 4"}, {huge, "5"}, {huge, "6"}, {"", "7"}} {
		e := &Event{Action: Set, Index: uint64(i + 1), Node: &Node{Value: &c.value}}
		h.Add(e)
		var got []string
		for i := range h.n {
			got = append(got, fmt.Sprint(h.at(i).Index))
		}
		if text := strings.Join(got, " "); text != c.want || h.start != h.at(0).Index {
			t.Errorf("after event %d of %d bytes: got the events %s from the index %d on, want %s", e.Index, len(c.value), text, h.start, c.want)
		}
	}
	// What is forgotten can be collected.
	if kept := len(slices.DeleteFunc(slices.Clone(h.ring), func(e *Event) bool { return e == nil })); kept != 1 {
		t.Errorf("events in memory: got %d, want 1", kept)
	}
}

// receive is a function that watches.
type receive func(*Event)

func (r receive) Receive(e *Event) { r(e) }

func TestAWatchThatHasEndedLeavesNothing(t *testing.T) {
	tree, history, watches := New(0), NewHistory(0), NewWatches()
	heard := 0
	watch := func(key string, since uint64, stream bool) *Watcher {
		t.Helper()
		w, failure := watches.Start(&Operation{Action: Watch, Key: key, Since: since, Stream: stream}, tree, history, receive(func(*Event) { heard++ }))
		if failure != nil {
			t.Fatal(failure)
		}
		return w
	}
	watches.Stop(watch("/a", 0, true))
	watches.Stop(watch("/a", 0, false))
	if len(watches.at) != 0 {
		t.Errorf("after two watches were stopped: got %d watched keys, want none", len(watches.at))
	}
	watch("/a", 0, false)
	stream := watch("/a", 0, true)
	e := write(t, tree, "PUT", "/a", "value=1")
	history.Add(e)
	watches.Notify(e)
	if heard != 2 || len(watches.at) != 1 || len(watches.at["/a"]) != 1 {
		t.Errorf("after an event for a watch and a stream: got %d heard and %d left, want 2 and 1", heard, len(watches.at["/a"]))
	}
	if watches.Stop(stream); len(watches.at) != 0 {
		t.Errorf("after the stream was stopped: got %d watched keys, want none", len(watches.at))
	}
	for _, isStream := range []bool{false, true} {
		heard = 0
		w := watch("/a", 1, isStream)
		if heard != 1 || len(watches.at) != 0 || w.Index != 1 {
			t.Errorf("a watch whose event is in the history, stream %t: got %d heard and %d watched keys, want 1 and none", isStream, heard, len(watches.at))
		}
		watches.Stop(w)
	}
}

// dueKeys returns the keys that expire at a time, one after another, while some are refused.
func dueKeys(tree *Tree, now time.Time, refused string) (keys []string) {
	asked := func(c *Change) bool { return strings.Contains(refused, c.Key) || slices.Contains(keys, c.Key) }
	for c := PlanExpire(tree, now, asked); c != nil; c = PlanExpire(tree, now, asked) {
		keys = append(keys, c.Key)
	}
	return keys
}

func TestWhatIsRefusedDoesNotKeepOthersFromExpiringInTheirOrder(t *testing.T) {
	tree := New(0)
	for i, key := range []string{"/g", "/c", "/e", "/a", "/f", "/b", "/d"} {
		write(t, tree, "PUT", key, fmt.Sprintf("ttl=%d", (i+2)/2)) // two each for 1, 2 and 3 seconds, and one for 4
	}
	for _, c := range []struct {
		after   time.Duration
		refused string
		want    string
	}{
		{time.Second - 1, "", ""}, {time.Second, "", "/c /g"}, {time.Second, "/g", "/c"}, {2 * time.Second, "/g", "/c /a /e"}, {3 * time.Second, "", "/c /g /a /e /b /f"},
		{4*time.Second - 1, "/c /f", "/g /a /e /b"}, {4 * time.Second, "/c /f", "/g /a /e /b /d"}, {time.Hour, "/g /c /e /a /f /b /d", ""},
	} {
		if got := strings.Join(dueKeys(tree, start.Add(c.after), c.refused), " "); got != c.want {
			t.Errorf("after %v, with %q refused: got %q expired, want %q", c.after, c.refused, got, c.want)
		}
	}
	if c := PlanExpire(tree, start.Add(time.Hour), nil); c == nil || c.Key != "/c" || c.Time != start.Add(time.Hour).UnixNano() {
		t.Errorf("with nothing refused: got %+v, want the first at this time", c)
	}
}

func TestAChangeSaysByHowMuchItMakesTheTreeGrow(t *testing.T) {
	tree := New(0)
	for _, c := range [][3]string{
		{"PUT", "/a", "value=12345"},
		{"PUT", "/b/c/d", "value=1"},
		{"PUT", "/b/c/d", "value=123"},
		{"PUT", "/b/c/d", "value=12"},
		{"PUT", "/b/c/d", "refresh=true&ttl=10&prevExist=true"},
		{"PUT", "/b/c/d", "prevValue=12&value=123456"},
		{"POST", "/b", "value=1"},
		{"PUT", "/a", "dir=true"},
		{"PUT", "/a", "dir=true&prevExist=true&ttl=10"},
	} {
		o, failure := Parse(&Request{Method: c[0], Path: c[1], Query: c[2]}, start)
		if failure != nil {
			t.Fatal(failure)
		}
		change, failure := Plan(o, tree, start)
		if failure != nil {
			t.Fatal(failure)
		}
		growth, before := change.Growth(tree), tree.Bytes()
		write(t, tree, c[0], c[1], c[2])
		if got := tree.Bytes() - before; got != growth {
			t.Errorf("%s: the tree grew by %d bytes, and the change said %d", c, got, growth)
		}
	}
	o, _ := Parse(&Request{Method: "DELETE", Path: "/b", Query: "recursive=true"}, start)
	change, failure := Plan(o, tree, start)
	if failure != nil {
		t.Fatal(failure)
	}
	if growth := change.Growth(tree); growth > 0 {
		t.Errorf("a removal: got a growth of %d bytes, want none", growth)
	}
}
