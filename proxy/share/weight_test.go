package share

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
)

// scales is what weighs the watches of two clients: 100 units, ten of which are reserved.
type scales struct {
	*bulk.Limits
	table      *account.Table
	one, other *account.Account
}

func newScales(t *testing.T) *scales {
	table := account.NewTable()
	pool := func(name string) *account.Pool {
		return table.NewPool(account.Options{Name: name, Total: 100, Reserve: 10, ForNewcomers: true})
	}
	s := &scales{
		table:  table,
		Limits: bulk.NewLimits(pool("bytes"), pool("trees"), pool("watched")),
		one:    table.Address(netip.MustParseAddr("192.0.2.1")), other: table.Address(netip.MustParseAddr("198.51.100.1")),
	}
	t.Cleanup(func() {
		s.one.Close()
		s.other.Close()
		soon(t, "no account is in use", func() bool { return table.Len() == 0 })
		if n := s.Watched.Used(); n != 0 {
			t.Errorf("in the end: got %d units in use, want 0", n)
		}
	})
	return s
}

// watch returns a watch of a client.
func (s *scales) watch(a *account.Account, key string, recursive bool, since uint64) Watch {
	return Watch{Path: "/v2/keys" + key, Key: key, Recursive: recursive, Since: since, Claim: s.Watch(a, "/v2/keys"+key, recursive)}
}

// joinAll starts watches concurrently. It returns the watchers, and the number of watches that
// cost too much.
func joinAll(t *testing.T, ws *Watches, watches []Watch) (watchers []*Watcher, refused int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, want := range watches {
		all.Go(func() {
			w, _, err := ws.Join(context.Background(), want, make(bell, 1))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				watchers = append(watchers, w)
			case errors.Is(err, errOverShare):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	return watchers, refused
}

func closeAll(watchers []*Watcher) {
	for _, w := range watchers {
		w.Close()
	}
}

// TestTheWatchesOfLargeEventsOfAClientAreBounded lets a client watch all folders above a key that
// gets a large value. etcd makes a copy of the event for each.
func TestTheWatchesOfLargeEventsOfAClientAreBounded(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	s := newScales(t)
	ws := newWatches(t, etcd.URL())
	ws.linger, ws.weightPatience = time.Hour, 100*time.Millisecond
	var watches []Watch
	path := ""
	for range maxChain {
		path += "/d"
		watches = append(watches, s.watch(s.one, path, true, 0))
	}
	watchers, refused := joinAll(t, ws, watches)
	if refused > 0 {
		t.Fatalf("watches of keys of which nothing is known: got %d of %d refused, want none", refused, maxChain)
	}
	set(t, etcd, path+"/k", strings.Repeat("0123456789", 100_000)) // 16 units
	soon(t, "all watchers have their event", func() bool {
		for _, w := range watchers {
			if e := w.Result(); e == nil || e.Err != nil {
				return false
			}
		}
		return true
	})
	closeAll(watchers)
	soon(t, "five watches of 16 units are left of 90", func() bool { return ws.count.Hubs.Load() == 5 })
	for i := range watches {
		watches[i] = s.watch(s.one, watches[i].Key, true, 0)
	}
	watchers, refused = joinAll(t, ws, watches)
	if want := maxChain - 5; refused != want {
		t.Errorf("watching the same keys again: got %d refused, want %d", refused, want)
	}
	// Another client gets its share: watches of the first one end.
	ws.weightPatience = waitTime
	path += "/mine"
	set(t, etcd, path, strings.Repeat("0123456789", 100_000))
	known := s.watch(s.other, path, false, 0)
	known.Claim.Event(1_000_000)
	known.Claim.Release()
	theirs, refused := joinAll(t, ws, []Watch{s.watch(s.other, path, false, 0)})
	if refused != 0 {
		t.Error("a watch of another client, which has nothing: got it refused, want it started")
	}
	closeAll(theirs)
	closeAll(watchers)
}

// TestTheWatchesOfOneKeyFromOldIndexesAreBounded lets a client wait for the next event of a key
// from many indexes. They are different watches at etcd.
func TestTheWatchesOfOneKeyFromOldIndexesAreBounded(t *testing.T) {
	etcd := newEtcd(t)
	s := newScales(t)
	ws := newWatches(t, etcd.URL())
	ws.weightPatience = 100 * time.Millisecond
	for range 30 {
		set(t, etcd, "/other", "x")
	}
	first, head, _ := join(t, ws, "/a", false, 0)
	defer first.Close()
	var watches []Watch
	for i := range uint64(20) {
		watches = append(watches, s.watch(s.one, "/a", false, head.Index-i))
	}
	watchers, refused := joinAll(t, ws, watches)
	// One that is charged because of the others can be among the first to wait.
	if least := 20 - maxPastHubs - 1; refused < least || refused > least+1 {
		t.Errorf("20 watches of one key from different old indexes: got %d refused, want %d or %d", refused, least, least+1)
	}
	set(t, etcd, "/a", "v")
	soon(t, "all watchers have their event", func() bool {
		for _, w := range watchers {
			if e := w.Result(); e == nil || e.Err != nil {
				return false
			}
		}
		return true
	})
	closeAll(watchers)
	soon(t, "no hub with an index waits", func() bool {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		return len(ws.past) == 0
	})
}

// TestTheWatchesThatOneWriteCanConcernAreBounded lets a client watch many folders, each inside the
// one before, before anything is known about the values in them. A write to the innermost one
// makes etcd copy its event for each.
func TestTheWatchesThatOneWriteCanConcernAreBounded(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]func(i int) string{
		"from the outside":  func(i int) string { return strings.Repeat("/d", 1+i) },
		"from the inside":   func(i int) string { return strings.Repeat("/d", 40-i) },
		"different keys":    func(i int) string { return "/d/" + strconv.Itoa(i) },
		"different indexes": func(int) string { return "/d" },
	} {
		t.Run(name, func(t *testing.T) {
			etcd := newEtcd(t)
			s := newScales(t)
			ws := newWatches(t, etcd.URL())
			ws.weightPatience = 5 * time.Millisecond // nobody else has anything to give back
			ws.pastPatience = 5 * time.Millisecond   // no event exists
			for range 40 {
				set(t, etcd, "/other", "x")
			}
			var watchers []*Watcher
			refused := 0
			for i := range 40 {
				want := s.watch(s.one, key(i), true, 0)
				if name == "different indexes" {
					want.Since = uint64(5 + i)
				}
				some, n := joinAll(t, ws, []Watch{want})
				watchers, refused = append(watchers, some...), refused+n
			}
			defer closeAll(watchers)
			switch most := maxChain + 1; {
			case name == "different keys" && refused > 0:
				t.Errorf("watches of which no write concerns more than one: got %d of 40 refused, want none", refused)
			case name != "different keys" && len(watchers) > most:
				t.Errorf("got %d of 40 watches that one write concerns, want at most %d", len(watchers), most)
			}
		})
	}
}

func TestChainsForgetTheWatchesThatHaveEnded(t *testing.T) {
	var cs chains
	add := func(key string, recursive bool) int { return cs.add(&hubKey{key: key, recursive: recursive}) }
	for _, c := range []struct {
		key       string
		recursive bool
		want      int
	}{
		{"/a/b/c", false, 1}, {"/a/b/c", true, 2}, {"/a/b", false, 1}, {"/a", true, 3}, {"/", true, 4}, {"/x", true, 2}, {"/a/b/c/d", true, 4}, {"/a/b", true, 5},
	} {
		if got := add(c.key, c.recursive); got != c.want {
			t.Errorf("adding %s, recursive %t: got %d watches that one write can concern, want %d", c.key, c.recursive, got, c.want)
		}
	}
	cs.remove(&hubKey{key: "/a", recursive: true})
	cs.remove(&hubKey{key: "/a/b/c/d", recursive: true})
	if got := add("/a", true); got != 5 {
		t.Errorf("adding /a again: got %d watches that one write can concern, want 5", got)
	}
	for _, p := range []hubKey{
		{key: "/a/b/c"}, {key: "/a/b/c", recursive: true}, {key: "/a/b"}, {key: "/a", recursive: true}, {key: "/", recursive: true},
		{key: "/x", recursive: true}, {key: "/a/b", recursive: true},
	} {
		cs.remove(&p)
	}
	if cs != (chains{}) {
		t.Errorf("in the end: got %+v, want no watches and no keys", cs)
	}
}

// TestChainsCountWhatAWriteCanConcern compares them with a count of all watches.
func TestChainsCountWhatAWriteCanConcern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var cs chains
		var all []hubKey
		watch := rapid.Custom(func(t *rapid.T) hubKey {
			parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 5).Draw(t, "segments")
			return hubKey{key: "/" + strings.Join(parts, "/"), recursive: rapid.Bool().Draw(t, "recursive")}
		})
		// concerned counts the watches that a write to a key concerns.
		concerned := func(key string) (n int) {
			for _, p := range all {
				if p.key == key || p.recursive && strings.HasPrefix(key, strings.TrimSuffix(p.key, "/")+"/") {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(all) > 0 && rapid.IntRange(0, 2).Draw(t, "removes") == 0 {
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				cs.remove(&all[i])
				all = slices.Delete(all, i, i+1)
				continue
			}
			p := watch.Draw(t, "watch")
			all = append(all, p)
			want := concerned(p.key)
			for _, other := range all {
				if p.recursive && strings.HasPrefix(other.key, strings.TrimSuffix(p.key, "/")+"/") {
					want = max(want, concerned(other.key))
				}
			}
			if got := cs.add(&p); got != want {
				t.Fatalf("adding %+v to %+v: got %d, want %d", p, all, got, want)
			}
		}
		for i := range all {
			cs.remove(&all[i])
		}
		if cs != (chains{}) {
			t.Errorf("in the end: got %+v, want no watches and no keys", cs)
		}
	})
}

func TestAHubCanBeRevokedFromItsFirstRequestToItsEnd(t *testing.T) {
	s := newScales(t)
	known := s.Watch(s.one, "/v2/keys/a", false)
	known.Event(60 * bulk.Unit)
	known.Release()
	ws := NewWatches(WatchOptions{})
	h := idle(ws, "/a", 0)
	claim := s.Watch(s.one, "/v2/keys/a", false)
	h.weight.charge(&claim)
	if err := h.acquireWeight(t.Context()); err != nil || s.one.Held(s.Watched) != 60 {
		t.Fatalf("a watch of events of 60 units: got the error %v and %d units held, want none and 60", err, s.one.Held(s.Watched))
	}
	for range 2 { // what it costs does not change
		if err := h.weighEvent(60 * bulk.Unit); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Watched.TryAcquire(s.other, 10, account.Ordinary) {
		t.Fatal("ten of 100 units for another client: got none")
	}
	if got := s.Watched.Reclaim(1); got != 60 { // the share of each is 50
		t.Errorf("reclaiming from a client above its share: got %d units promised, want those of its hub", got)
	}
	soon(t, "the hub has ended", func() bool { return ws.count.Hubs.Load() == 0 })
	h.releaseWeight()
	if got := s.Watched.Reclaim(1); got != 0 {
		t.Errorf("reclaiming after the hub has ended: got %d units promised, want none", got)
	}
	s.Watched.Release(s.other, 10, account.Ordinary)
}

func TestEachHubOfTheHistoryThatEndsIsCountedOff(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	key := hubKey{path: "/a", key: "/a"}
	var hubs []*hub
	for i := range uint64(3) {
		h := &hub{hubKey: hubKey{path: "/a", key: "/a", since: i + 1}, watches: ws}
		ws.waitForNext(h)
		hubs = append(hubs, h)
	}
	for i, h := range hubs {
		if ws.waited(h); ws.past[key] != 2-i {
			t.Errorf("after %d of three have ended: got %d counted, want %d", i+1, ws.past[key], 2-i)
		}
	}
}

func TestTheHeadOfAWatchIsNotBehindTheEventsOfItsHub(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	for since, want := range map[uint64]uint64{0: 12, 5: 11} { // one from the history shows etcd's own index
		h := &hub{hubKey: hubKey{key: "/a", since: since}, watches: ws, ring: ring{start: 5, last: 12, texts: ws.texts}}
		head, w := &Head{Index: 11}, &Watcher{hub: h, index: notWaiting}
		if got := h.attach(w, &head); got != joined || head.Index != want || w.since != want+1 || w.index != 0 {
			t.Errorf("a watch of a hub from %d, which has seen index 12: got the head's index %d and events from %d on, want %d and those above", since, head.Index, w.since, want)
		}
	}
}

// TestWatchesOfFoldersDoNotMakeThoseOfOthersExpensive has a client that waits for the next event of
// two folders from several indexes, and another one that watches many keys in them.
func TestWatchesOfFoldersDoNotMakeThoseOfOthersExpensive(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	s := newScales(t)
	ws := newWatches(t, etcd.URL())
	ws.weightPatience = 100 * time.Millisecond
	for range 30 {
		set(t, etcd, "/other", "x") // there is no event below /d since then
	}
	first, head, _ := join(t, ws, "/other", false, 0)
	defer first.Close()
	var broad []Watch
	for _, key := range []string{"/d", "/d/e"} {
		broad = append(broad, s.watch(s.one, key, true, 0))
		for i := range uint64(maxPastHubs) - 1 {
			broad = append(broad, s.watch(s.one, key, true, head.Index-i))
		}
	}
	theirs, refused := joinAll(t, ws, broad)
	defer closeAll(theirs)
	if refused != 0 {
		t.Fatalf("watches of folders from %d indexes: got %d refused, want none", len(broad), refused)
	}
	var many []Watch
	for i := range 20 { // 20 of them would cost 1,280 units of 100
		many = append(many, s.watch(s.other, "/d/e/"+strconv.Itoa(i), false, 0))
	}
	watchers, refused := joinAll(t, ws, many)
	defer closeAll(watchers)
	if refused != 0 {
		t.Errorf("watches of %d keys of another client: got %d refused, want none", len(many), refused)
	}
	// What has ended it can have again, at the price of a large event.
	again, refused := joinAll(t, ws, broad)
	defer closeAll(again)
	if s.Watched.Used() == 0 && refused == 0 {
		t.Error("the broad watches again: got them for nothing, want them charged or refused")
	}
	set(t, etcd, "/d/e/7", "new")
	soon(t, "a watcher of the other client has its event", func() bool {
		return slices.ContainsFunc(watchers, func(w *Watcher) bool { return w.Result() != nil && w.Result().Err == nil })
	})
}
