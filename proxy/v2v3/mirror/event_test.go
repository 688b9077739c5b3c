package mirror_test

import (
	"fmt"
	"strings"
	"testing"

	"etcd-tlsproxy/proxy/v2store"
	"etcd-tlsproxy/proxy/v2v3/mirror"
)

// rendered puts a new file with a value of so many bytes, and renders the event.
func rendered(t *testing.T, m *mirror.Mirror, name string, bytes int) *mirror.Event {
	t.Helper()
	e, err := apply(m, m.Applied+1, put(".v2/log", fmt.Sprintf(`{"a":"create","k":"/%s","t":1}`, name)), put(".v2/f/"+name, ""), put("/"+name, strings.Repeat("v", bytes)))
	if err != nil {
		t.Fatal(err)
	}
	return m.Keep(mirror.NewEvent(e))
}

// TestRenderedEventsAreBounded renders two events that have 16 MiB together, and two that have one byte more.
func TestRenderedEventsAreBounded(t *testing.T) {
	const half, bound = 8 << 20, 16 << 20
	trial := small(t)
	size := len(rendered(t, trial, "x", half).Chunked) + len(rendered(t, trial, "y", half).Chunked)
	for more, kept := range map[int]bool{0: true, 1: false} {
		m := small(t)
		first := rendered(t, m, "x", half)
		second := rendered(t, m, "y", half-(size-bound)+more)
		want := bound
		if !kept {
			want = len(second.Chunked)
		}
		if got := m.RenderedBytes(); got != want || len(first.Chunked)+len(second.Chunked) != bound+more {
			t.Errorf("of %d bytes %d are kept, want %d", len(first.Chunked)+len(second.Chunked), got, want)
		}
		if again := m.Keep(mirror.NewEvent(second.Event)) == second && (m.Keep(mirror.NewEvent(first.Event)) == first) == kept; !again {
			t.Errorf("of %d bytes the second event is kept, and the first one: %v", len(first.Chunked)+len(second.Chunked), !kept)
		}
	}
}

// TestTheHistoryOfALoadedMirrorBeginsBehindIt has an event right behind the index at which the tree was loaded.
func TestTheHistoryOfALoadedMirrorBeginsBehindIt(t *testing.T) {
	m := small(t)
	loaded := m.Tree.Index()
	e := rendered(t, m, "x", 1)
	if e.Index != loaded+1 {
		t.Fatalf("the event has the index %d, want %d", e.Index, loaded+1)
	}
	all := &v2store.Operation{Recursive: true}
	if got, failure := m.History.Scan(all, loaded+1, m.Tree.Index()); failure != nil || got != e.Event {
		t.Errorf("behind the index of the tree: got %v, %v, want the event", got, failure)
	}
	if got, failure := m.History.Scan(all, loaded, m.Tree.Index()); failure == nil {
		t.Errorf("at the index of the tree: got %v, want that older events are not known", got)
	}
}

func TestAMirrorNotifiesItsWatchesAndItsHistory(t *testing.T) {
	m := small(t)
	m.Replaying = false
	if _, err := apply(m, 21, put(".v2/log", `{"a":"set","k":"/d/a","t":1}`), put(".v2/f/d/a", ""), put("/d/a", "2")); err != nil {
		t.Fatal(err)
	}
	if m.LogRevision != 21 || m.Applied != 21 || string(m.Log) != `{"a":"set","k":"/d/a","t":1}` || m.History.Bytes() == 0 {
		t.Errorf("got the last event %s at %d, and %d bytes of history, want that of the revision 21", m.Log, m.LogRevision, m.History.Bytes())
	}
}
