package v2v3

import (
	"encoding/json"
	"strings"
	"testing"
)

// counted returns a number of the statistics.
func counted(t *testing.T, s *Store, name string) int {
	t.Helper()
	var all map[string]int
	if err := json.Unmarshal(s.Statistics(), &all); err != nil {
		t.Fatal(err)
	}
	n, ok := all[name]
	if !ok {
		t.Fatalf("the statistics have no %s: %v", name, all)
	}
	return n
}

func (f *fixture) wantCounted(when, name string, want int) {
	f.Helper()
	if got := counted(f.T, f.Store, name); got != want {
		f.Errorf("%s: got %s %d, want %d", when, name, got, want)
	}
}

// TestEachEventIsCountedOnce has events of two proxies, and a tree that is loaded again: with events
// that were counted, and with some that were not.
func TestEachEventIsCountedOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	other := open(t, f.options)
	if got := counted(t, other, "setsSuccess"); got != 0 {
		t.Errorf("a proxy that starts has counted %d events of the history, want 0", got)
	}
	do(t, other, "PUT /a?value=2")
	f.do("GET /a?quorum=true")
	f.wantCounted("with a write of each proxy", "setsSuccess", 2)
	f.do("PUT /none/a?value=1&prevExist=true")
	f.wantCounted("after a write that failed", "updateFail", 1)
	if got := counted(t, other, "updateFail"); got != 0 {
		t.Errorf("the other proxy has counted %d failures, want 0", got)
	}
	loads := f.Status().Loads
	f.reload(f.current(), "the test wants it")
	eventually(t, "the tree is loaded again", func() bool { return f.Status().Loads > loads })
	f.wantCounted("after the tree was loaded again", "setsSuccess", 2)
	f.away()
	do(t, other, "PUT /a?value=3")
	f.mu.Lock()
	f.m.Log = []byte(`{"a":"set","k":"/a","t":1,"o":"another.1"}`)
	f.mu.Unlock()
	f.back()
	eventually(t, "the tree is loaded again", func() bool { return f.Status().Loads > loads+1 })
	f.wantCounted("with an event between the two trees", "setsSuccess", 3)
}

func TestExpirationsAndWatchersAreCounted(t *testing.T) {
	t.Parallel()
	f := start(t)
	keepsSoon(t, f.Store)
	events, _, stop := f.watch("GET /a?wait=true&stream=true")
	f.wantCounted("with a watch", "watchers", 1)
	f.do("PUT /a?value=1&ttl=0")
	next(t, events)
	if got := next(t, events); !strings.Contains(got, `"action":"expire"`) {
		t.Fatalf("got the event %s, want the expiration", got)
	}
	f.wantCounted("after an expiration", "expireCount", 1)
	stop()
	f.wantCounted("without a watch", "watchers", 0)
}
