package share

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// joinBatch makes some readers join one batch for a target, and returns what each got.
func joinBatch(t *testing.T, r *Reads, target string, readers int) (answers []*Answer, errs []error) {
	t.Helper()
	lead, _, err := r.Join(t.Context(), target, "", &bulk.Claim{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	answers, errs = make([]*Answer, readers), make([]error, readers)
	for i := range readers {
		all.Go(func() { _, answers[i], errs[i] = r.Join(t.Context(), target, "", &bulk.Claim{}, nil) })
	}
	r.waitForReaders(t, target, readers)
	lead.Done()
	all.Wait()
	return answers, errs
}

// The end of newReads checks that no memory is held.
func TestTheMemoryOfASharedAnswerIsGivenBackByItsLastReader(t *testing.T) {
	body := strings.Repeat("x", 1<<20)
	r, _ := newReads(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	for readers, shared := range map[int]bool{1: false, 2: true, 5: true} {
		answers, errs := joinBatch(t, r, "/a", readers)
		held := r.pool.Counters().Shared.Held()
		for i, a := range answers {
			if errs[i] != nil || a == nil || string(a.Body) != body || a.Shared != shared {
				t.Fatalf("reader %d of %d: got the error %v, want an answer that is shared: %t", i+1, readers, errs[i], shared)
			}
			if got := r.pool.Counters().Shared.Held(); got != held || held == 0 {
				t.Errorf("memory of the answer before reader %d of %d has released it: got %d bytes, want %d", i+1, readers, got, held)
			}
			a.Release()
		}
		r.waitUntil(t, func() bool { return r.pool.Counters().Shared.Held() == 0 && r.countFlights() == 0 }, func() string { return "the memory of an answer is still held" })
	}
}

func TestAFailedRequestOfABatchIsNotRepeatedByItsReaders(t *testing.T) {
	var requests atomic.Int64
	r, _ := newReads(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	answers, errs := joinBatch(t, r, "/a", 3)
	for i, err := range errs {
		var failed *upstream.Error
		if !errors.As(err, &failed) || answers[i] != nil {
			t.Errorf("reader %d of a batch whose request fails: got %v and the error %v, want an *upstream.Error", i+1, answers[i], err)
		}
	}
	if n := requests.Load(); n > 2 { // a read is sent once more on a fresh connection
		t.Errorf("a batch whose request fails: got %d requests, want 1 or 2", n)
	}
}

func TestAReaderThatLeavesAsItsAnswerComesGivesItBack(t *testing.T) {
	s := &shard{}
	b := newBatch()
	b.readers = 2
	ctx := b.close()
	answer := &Answer{}
	saved := &atomic.Uint64{}
	b.finish(answer, nil, saved)
	if ctx.Err() == nil {
		t.Error("the request of a batch that has its answer: its context goes on, want it to end")
	}
	if got := answer.readers.Load(); got != 3 || !answer.Shared || saved.Load() != 1 {
		t.Errorf("an answer for two readers: got %d uses, shared %t and %d saved; want 3, true and 1", got, answer.Shared, saved.Load())
	}
	b.remove(s)
	if got := answer.readers.Load(); got != 2 {
		t.Errorf("after a reader left: got %d uses of the answer, want 2", got)
	}
	failed := newBatch()
	failed.readers = 1
	failed.close()
	failed.finish(nil, errTooLarge, saved)
	failed.remove(s)
	if failed.readers != 0 || saved.Load() != 1 {
		t.Errorf("after the only reader of a failed batch left: got %d readers and %d saved, want 0 and 1", failed.readers, saved.Load())
	}
}

func TestABatchWhoseReadersHaveLeftIsCanceledWhenItIsSent(t *testing.T) {
	s := &shard{}
	b := newBatch()
	b.readers = 2
	b.remove(s)
	b.remove(s)
	if ctx := b.close(); ctx.Err() == nil {
		t.Error("the request of a batch without readers: its context goes on, want it canceled")
	}
	b = newBatch()
	b.readers = 2
	ctx := b.close()
	if b.remove(s); ctx.Err() != nil {
		t.Error("the request of a batch with a reader: it is canceled, want it to go on")
	}
	if b.remove(s); ctx.Err() == nil {
		t.Error("the request of a batch that its last reader left: its context goes on, want it canceled")
	}
}

// countingNotifier counts its calls.
type countingNotifier struct{ notified, after atomic.Int64 }

func (c *countingNotifier) Notify()      { c.notified.Add(1) }
func (c *countingNotifier) AfterNotify() { c.after.Add(1) }
func (c *countingNotifier) BreakOff()    {}

func TestAnEventIsDeliveredOnceToWhomItConcerns(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	for _, c := range []struct {
		since      uint64 // of the hub
		recursive  bool
		key        string
		index      uint64
		delivered  bool
		ring, last int
	}{
		{0, false, "/a", 11, true, 1, 11},
		{0, false, "/a", 10, false, 0, 10}, // it has this event
		{0, false, "/a", 9, false, 0, 10},
		{0, false, "/x", 11, false, 0, 11}, // it comes from etcd's history
		{0, true, "/a/_b", 11, false, 0, 11},
		{0, false, "/", 11, true, 1, 11}, // a directory above was removed
		{0, true, "/a/b", 11, true, 1, 11},
		{0, true, "/ab", 11, false, 0, 11},
		{5, false, "/", 11, true, 1, 11}, // etcd has chosen it from its history
	} {
		n := &countingNotifier{}
		h := &hub{hubKey: hubKey{key: "/a", recursive: c.recursive, since: c.since}, watches: ws, ring: ring{start: 10, last: 10, texts: ws.texts, keep: c.since > 0}}
		w := &Watcher{hub: h, notifier: n, since: 10, index: 0}
		later := &Watcher{hub: h, notifier: n, since: 12, index: 1}
		h.waiting = []*Watcher{w, later}
		ws.count.Waiting.Store(2)
		e := ws.texts.event(c.index, 5)
		e.key = c.key
		h.deliver(e)
		got := w.Result() == e
		if got != c.delivered || later.Result() != nil || len(h.ring.events) != c.ring || h.ring.last != uint64(c.last) {
			t.Errorf("event %d of %s for a hub of %+v: got delivered %t, %d events in the ring and the last index %d; want %t, %d and %d",
				c.index, c.key, h.hubKey, got, len(h.ring.events), h.ring.last, c.delivered, c.ring, c.last)
		}
		notified := int64(0)
		if c.delivered {
			notified = 1
		}
		if n.notified.Load() != notified || n.after.Load() != notified || ws.count.Waiting.Load() != 2-notified {
			t.Errorf("event %d of %s: got %d notified, %d told after it and %d waiting; want %d, %d and %d", c.index, c.key, n.notified.Load(), n.after.Load(), ws.count.Waiting.Load(), notified, notified, 2-notified)
		}
		if c.delivered && (later.index != 0 || h.waiting[0] != later || w.index != notWaiting) {
			t.Errorf("after event %d: got the places %d and %d, want the later watcher first and the other one in none", c.index, later.index, w.index)
		}
		e.release()
		if w.Result() != nil {
			w.Result().release() // that of the watcher
		}
		h.ring.clear()
		if held, _ := ws.Memory(); held != 0 {
			t.Errorf("after event %d of %s: got %d bytes held, want none", c.index, c.key, held)
		}
	}
}

func TestWhichEventsConcernAKey(t *testing.T) {
	for _, c := range []struct {
		hub, event string
		want       bool
	}{
		{"/a", "/a", true}, {"/a", "/a/b", true}, {"/a", "/a/b/c", true}, {"/a", "/", true}, {"/", "/a", true}, {"/", "/", true}, {"/a/b", "/a", true},
		{"/a", "/ab", false}, {"/ab", "/a", false}, {"/a", "/b", false}, {"/a", "/a/_b", false}, {"/a", "/a/b/_c", false}, {"/_a", "/_a/b", true}, {"/_a/b", "/_a", true}, {"/", "/_a", false}, {"/a", "/a/b_c", true},
	} {
		if got := (hubKey{key: c.hub}).concerns(c.event); got != c.want {
			t.Errorf("an event of %s concerns watchers of %s: got %t, want %t", c.event, c.hub, got, c.want)
		}
	}
}

func TestARequestContinuesBehindTheLastEventOfTheSameCluster(t *testing.T) {
	h := &hub{head: &Head{cluster: "one"}, ring: ring{last: 10}}
	for _, c := range []struct {
		head Head
		want error
	}{
		{Head{Status: 200, Index: 10, cluster: "one"}, nil}, {Head{Status: 200, Index: 11, cluster: "one"}, nil}, {Head{Status: 200, Index: 9, cluster: "one"}, errBackwards},
		{Head{Status: 200, Index: 11, cluster: "two"}, errElsewhere}, {Head{Status: 400, Index: 11, cluster: "one"}, errCleared},
	} {
		if err := h.checkContinuity(&c.head); !errors.Is(err, c.want) && (err != nil || c.want != nil) {
			t.Errorf("continuing with %+v: got the error %v, want %v", c.head, err, c.want)
		}
	}
}

func TestEveryWatcherOfManyIsNotifiedOnce(t *testing.T) {
	for _, count := range []int{0, 1, partSize, partSize + 1, 1000, 1001} {
		notifiers := make([]countingNotifier, count)
		watchers := make([]*Watcher, count)
		for i := range watchers {
			watchers[i] = &Watcher{notifier: &notifiers[i]}
		}
		notifyAll(watchers)
		for i := range notifiers {
			if a, b := notifiers[i].notified.Load(), notifiers[i].after.Load(); a != 1 || b != 1 {
				t.Errorf("watcher %d of %d: got notified %d times and told so %d times, want once", i, count, a, b)
			}
		}
	}
}

func TestMemoryIsReservedUpToItsLimit(t *testing.T) {
	ts := newTexts(100)
	for _, c := range []struct {
		n       int64
		want    bool
		held    int64
		crowded bool
	}{{50, true, 50, false}, {1, true, 51, true}, {50, false, 51, true}, {49, true, 100, true}, {1, false, 100, true}, {0, true, 100, true}, {-1, true, 100, true}} {
		if got := ts.reserve(c.n); got != c.want || ts.held.Load() != c.held || ts.crowded() != c.crowded {
			t.Errorf("reserving %d bytes of 100: got %t with %d held and crowded %t; want %t, %d and %t", c.n, got, ts.held.Load(), ts.crowded(), c.want, c.held, c.crowded)
		}
	}
}

func TestATextIsForgottenWithItsLastUser(t *testing.T) {
	ts := newTexts(100)
	shared, other := &text{index: 7, users: 2, size: 10}, &text{index: 7, users: 1, size: 5}
	ts.held.Store(15)
	ts.byIndex[7] = shared
	for _, c := range []struct {
		released *text
		held     int64
		known    bool
	}{{shared, 15, true}, {other, 10, true}, {shared, 0, false}} {
		ts.release(c.released)
		if ts.held.Load() != c.held || (ts.byIndex[7] == shared) != c.known {
			t.Errorf("after a release: got %d bytes held and the text known: %t; want %d and %t", ts.held.Load(), ts.byIndex[7] == shared, c.held, c.known)
		}
	}
}

// idle returns a hub of a key that has delivered an event, and has one user.
func idle(ws *Watches, key string, since uint64) *hub {
	_, cancel := context.WithCancel(context.Background())
	h := &hub{hubKey: hubKey{path: key, key: key, since: since}, watches: ws, cancel: cancel, ready: make(chan struct{}), ring: ring{texts: ws.texts}, users: 1, delivered: true}
	ws.hubs[h.hubKey] = h
	ws.count.Hubs.Add(1)
	return h
}

func TestUpTo256HubsAreKeptWithoutUsers(t *testing.T) {
	ws := NewWatches(WatchOptions{Linger: time.Hour})
	var hubs []*hub
	for i := range 258 {
		hubs = append(hubs, idle(ws, "/"+strings.Repeat("a", i+1), 0))
	}
	for _, h := range hubs {
		ws.release(h)
	}
	if len(ws.hubs) != 256 || ws.lingering != 256 || ws.count.Hubs.Load() != 256 {
		t.Errorf("of 258 hubs without users: got %d kept, %d of them counted and %d hubs, want 256 each", len(ws.hubs), ws.lingering, ws.count.Hubs.Load())
	}
	claim := bulk.Claim{}
	for i, h := range hubs[:2] {
		if got, _ := ws.acquire(h.hubKey, time.Now(), &claim); got != h || got.users != 1 || ws.lingering != 255-i || h.expiry != nil {
			t.Errorf("joining a hub that was kept: got %p with %d users and %d others kept, want %p with 1 and %d", got, got.users, ws.lingering, h, 255-i)
		}
	}
	visit := hubs[2].visits
	ws.expire(hubs[2], visit+1) // somebody has joined and left since
	if ws.hubs[hubs[2].hubKey] != hubs[2] {
		t.Error("the time of an earlier visit has passed: the hub is gone, want it kept")
	}
	ws.expire(hubs[2], visit)
	ws.expire(hubs[0], hubs[0].visits) // it has a user
	if _, found := ws.hubs[hubs[2].hubKey]; found || ws.lingering != 253 || ws.hubs[hubs[0].hubKey] != hubs[0] {
		t.Errorf("after one hub has expired: got it kept: %t, and %d others; want false and 253", found, ws.lingering)
	}
	old := idle(ws, "/old", 5)
	ws.release(old)
	if _, found := ws.hubs[old.hubKey]; found {
		t.Error("a hub of the history without users is kept, want it gone")
	}
	ws.Close()
	if len(ws.hubs) != 2 && len(ws.hubs) != 0 {
		for _, h := range hubs {
			ws.remove(h)
		}
	}
}

func TestOfOneKeyFourHubsOfTheHistoryWaitWithoutACharge(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	var hubs []*hub
	for i := range 5 {
		h := &hub{hubKey: hubKey{path: "/a", key: "/a", since: uint64(i + 1)}, watches: ws}
		ws.waitForNext(h)
		hubs = append(hubs, h)
	}
	key := hubs[0].hubKey
	key.since = 0
	if got := ws.past[key]; got != 5 {
		t.Errorf("hubs of the history that wait: got %d counted, want 5", got)
	}
	ws.waited(&hub{hubKey: hubs[0].hubKey, watches: ws}) // one that was not counted
	for _, h := range hubs {
		ws.waited(h)
	}
	if len(ws.past) != 0 {
		t.Errorf("after all have ended: got %v counted, want none", ws.past)
	}
}

func TestReadsOfTargetsWithOneHashAreNotShared(t *testing.T) {
	r := NewReads(nil, &atomic.Uint64{})
	lead, _, err := r.Join(t.Context(), "/a", "", &bulk.Claim{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what waits for another read fails at once
	for _, c := range []struct{ path, query string }{{"/b", ""}, {"/a", "recursive=true"}, {"/aa", ""}, {"/", "a"}} {
		other, _, err := r.Join(ctx, c.path, c.query, &bulk.Claim{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		hash := other.hash
		other.Done()
		s := &r.shards[hash%uint64(len(r.shards))]
		s.flights[hash] = lead.flight // as if both had this hash
		lead, answer, err := r.Join(ctx, c.path, c.query, &bulk.Claim{}, nil)
		if lead != (Lead{}) || answer != nil || err != nil {
			t.Errorf("%s?%s with the hash of /a: got lead %v, answer %v and error %v, want none of them", c.path, c.query, lead, answer, err)
		}
		delete(s.flights, hash)
	}
	lead.Done()
}
