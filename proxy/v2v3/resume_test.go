package v2v3

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// away cuts the store off and waits until it knows.
func (f *fixture) away() {
	f.Helper()
	f.link.Cut()
	eventually(f.T, "the store has lost its events", func() bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return !f.lost.IsZero()
	})
}

// back connects the store again and waits until it follows the events.
func (f *fixture) back() {
	f.Helper()
	f.link.Mend()
	eventually(f.T, "the store has its events again", func() bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return f.lost.IsZero()
	})
}

func (f *fixture) compact() {
	f.Helper()
	c := f.client()
	now, err := c.Range(testContext(f.T), &pb.RangeRequest{Key: f.keys.Log()})
	if err == nil {
		_, err = c.Compact(testContext(f.T), &pb.CompactionRequest{Revision: now.Header.Revision, Physical: true})
	}
	if err != nil {
		f.Fatal(err)
	}
}

func TestAWatchOutlivesALostConnectionAndMissesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	events, lost, _ := f.watch("GET /a?wait=true&stream=true")
	other := open(t, f.options)
	f.away()
	want := []string{do(t, other, "PUT /a?value=2"), do(t, other, "PUT /a?value=3")}
	f.back()
	for _, w := range want {
		if got := next(t, events) + "\n"; got != w[len(w)-len(got):] {
			t.Errorf("got the event %s, want that of the answer %s", got, w)
		}
	}
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
	sameTree(t, other, f.Store)
}

func TestAWatchOutlivesACompactionWithoutEvents(t *testing.T) {
	f := start(t)
	f.do("PUT /a?value=1")
	events, lost, _ := f.watch("GET /a?wait=true&stream=true")
	f.away()
	c := f.client()
	// Revisions that are not events may be compacted.
	for range 3 {
		if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte("elsewhere")}); err != nil {
			t.Fatal(err)
		}
	}
	f.compact()
	f.back()
	f.do("PUT /a?value=2")
	next(t, events)
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

func TestAWatchIsLostIfItsEventsAreCompacted(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	_, lost, _ := f.watch("GET /b?wait=true")
	other := open(t, f.options)
	f.away()
	do(t, other, "PUT /a?value=2")
	do(t, other, "PUT /a?value=3")
	f.compact()
	f.link.Mend()
	next(t, lost)
	if err := f.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := f.do("GET /a"), do(t, other, "GET /a"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestAWatchIsLostIfTheStoreHasAnotherPast makes the mirror remember another last event than the store
// had at that revision, which is what a store that was restored from a backup looks like.
func TestAWatchIsLostIfTheStoreHasAnotherPast(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.do("PUT /a?value=1")
	_, lost, _ := f.watch("GET /b?wait=true")
	other := open(t, f.options)
	f.away()
	do(t, other, "PUT /a?value=2")
	f.mu.Lock()
	f.m.Log = []byte(`{"a":"set","k":"/a","t":1,"o":"another.1"}`)
	f.mu.Unlock()
	f.link.Mend()
	next(t, lost)
	sameTree(t, other, f.Store)
}

func TestReadsAreAnsweredForAWhileWithoutEtcd(t *testing.T) {
	f := start(t)
	want := f.do("PUT /a?value=1")
	f.away()
	if got := f.do("GET /a"); got[:3] != "200" || got[4:7] != want[4:7] {
		t.Errorf("got %s, want the file of %s", got, want)
	}
	f.mu.Lock()
	f.lost = f.lost.Add(-maxStale)
	f.mu.Unlock()
	_, err := f.Do(testContext(t), parse(t, "GET /a"))
	if e, ok := err.(*Error); !ok || e.Kind != NotServed { //nolint:errorlint // callers get this type
		t.Errorf("got the error %v after that while, want one that the store is not served", err)
	}
	f.mu.Lock()
	f.o.ServeStale = true
	f.mu.Unlock()
	f.do("GET /a")
}

func TestAQuorumReadIsRefusedWithoutEtcd(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.away()
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	for _, request := range []string{"GET /a?quorum=true", "PUT /a?prevExist=true&value=1"} {
		if a, err := f.Do(ctx, parse(t, request)); err == nil {
			t.Errorf("%s: got the answer %d %s, want an error", request, a.Status, a.Body)
		}
	}
}

// TestTheStoreMovesToTheMemberThatShowedMore has a revision shown that the stream of events does not
// reach, as a partitioned member that still answers requests for progress does.
func TestTheStoreMovesToTheMemberThatShowedMore(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	if err := Init(testContext(t), o, 0); err != nil {
		t.Fatal(err)
	}
	first, second := newLink(t, address(t, etcd.URL())), newLink(t, address(t, etcd.URL()))
	o.Endpoints = []Endpoint{{Addr: address(t, first.URL())}, {Addr: address(t, second.URL())}}
	f := &fixture{T: t, Store: open(t, o), etcd: etcd, options: o}
	events, lost, _ := f.watch("GET /a?wait=true")
	f.seen.show(f.applied.Load()+1000, 1)
	eventually(t, "the store uses the second endpoint", func() bool { at, _ := f.endpoint(); return at == 1 })
	f.do("PUT /a?value=1")
	next(t, events)
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

// endpoint returns the endpoint in use.
func (f *fixture) endpoint() (int, string) { return f.Store.client.Endpoint() }

// TestTheStoreReturnsToThePreferredMember cuts the first endpoint off for a while. Writes go on meanwhile, and
// while the store returns.
func TestTheStoreReturnsToThePreferredMember(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	if err := Init(testContext(t), o, 0); err != nil {
		t.Fatal(err)
	}
	first := newLink(t, address(t, etcd.URL()))
	o.Endpoints = []Endpoint{{Addr: address(t, first.URL())}, o.Endpoints[0]}
	o.preferEvery = 50 * time.Millisecond
	f := &fixture{T: t, Store: open(t, o), link: first, options: o}
	f.do("PUT /a?value=1")
	_, lost, _ := f.watch("GET /b?wait=true")
	first.Cut()
	eventually(t, "the store uses the second endpoint", func() bool { at, _ := f.endpoint(); return at == 1 })
	eventually(t, "the events are followed", func() bool { return !f.isLost() })
	first.Mend()
	for at := 1; at != 0; at, _ = f.endpoint() {
		f.do("PUT /a?value=2")
	}
	eventually(t, "the events are followed", func() bool { return !f.isLost() })
	f.do("PUT /a?value=3")
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

func TestASilentMemberIsLeft(t *testing.T) {
	t.Parallel()
	etcd, o := startEtcd(t)
	if err := Init(testContext(t), o, 0); err != nil {
		t.Fatal(err)
	}
	first := newLink(t, address(t, etcd.URL()))
	o.Endpoints = []Endpoint{{Addr: address(t, first.URL())}, o.Endpoints[0]}
	f := &fixture{T: t, Store: open(t, o), etcd: etcd, options: o}
	events, lost, _ := f.watch("GET /a?wait=true")
	first.Pause()
	defer first.Resume()
	eventually(t, "the store uses the second endpoint", func() bool { at, _ := f.endpoint(); return at == 1 })
	other := open(t, Options{Endpoints: o.Endpoints[1:], Timeout: o.Timeout, Log: o.Log})
	do(t, other, "PUT /a?value=1")
	next(t, events)
	if len(lost) > 0 {
		t.Errorf("the watch is lost: %v", <-lost)
	}
}

// TestValuesThatClientsOfV3PutWhileTheStoreWasAwayAreKept puts a value below a directory while the store
// has no connection, and then removes the directory.
func TestValuesThatClientsOfV3PutWhileTheStoreWasAwayAreKept(t *testing.T) {
	t.Parallel()
	for _, compacted := range []bool{false, true} {
		f := start(t)
		f.do("PUT /d/e?value=1")
		c := f.client()
		_, lost, _ := f.watch("GET /b?wait=true")
		f.away()
		for _, key := range []string{"/d/foreign", "elsewhere"} {
			if _, err := c.Put(testContext(t), &pb.PutRequest{Key: []byte(key), Value: []byte("1")}); err != nil {
				t.Fatal(err)
			}
		}
		if compacted {
			f.compact()
		}
		f.back()
		eventually(t, "the store knows the value", func() bool { f.mu.RLock(); defer f.mu.RUnlock(); return len(f.m.Foreign) == 1 })
		if got := f.do("DELETE /d?recursive=true"); got[0] != '5' {
			t.Errorf("compacted %v: got %s, want a refusal", compacted, got)
		}
		if left, err := c.Range(testContext(t), &pb.RangeRequest{Key: []byte("/d/foreign")}); err != nil || len(left.Kvs) != 1 {
			t.Errorf("compacted %v: got the values %v and the error %v, want the value", compacted, left.GetKvs(), err)
		}
		if len(lost) > 0 {
			t.Errorf("compacted %v: the watch is lost: %v", compacted, <-lost)
		}
		f.right("the return")
	}
}
