package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/proxytest"
	"etcd-tlsproxy/proxy/upstream"
)

// newWatches returns watches at a server. When the test ends, none may be left.
func newWatches(t *testing.T, server string) *Watches {
	t.Helper()
	return newWatchesUpTo(t, server, 0)
}

// newWatchesUpTo returns watches that may have so many of them at etcd; 0 for the default.
func newWatchesUpTo(t *testing.T, server string, most int) *Watches {
	t.Helper()
	at, err := upstream.ParseEndpoint(server)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}, MaxWatches: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	ws := NewWatches(WatchOptions{Pool: pool, Linger: 10 * time.Millisecond})
	t.Cleanup(func() {
		ws.Close()
		soon(t, "no hub, no memory and no slot is left", func() bool {
			slots := pool.Counters()
			return ws.count.Hubs.Load() == 0 && ws.texts.held.Load() == 0 && slots.Active.Load() == 0 && slots.Watching.Load() == 0
		})
	})
	return ws
}

func soon(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !reached(); time.Sleep(time.Millisecond) { //nolint:forbidigo // counters signal nothing, and sockets are involved
		if time.Now().After(limit) {
			t.Fatalf("after 10 s: got another state, want that %s", what)
		}
	}
}

func newEtcd(t *testing.T) *proxytest.Embedded {
	t.Helper()
	etcd, err := proxytest.StartEmbedded(proxytest.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		etcd.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return etcd
}

func set(t *testing.T, etcd *proxytest.Embedded, key, value string) {
	t.Helper()
	req, err := http.NewRequest("PUT", etcd.URL()+"/v2/keys"+key, strings.NewReader(url.Values{"value": {value}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("writing %s: got status %s, want 200 or 201", key, resp.Status)
	}
}

// bell receives a value when its watcher is notified.
type bell chan struct{}

func (b bell) Notify()      { b <- struct{}{} }
func (b bell) AfterNotify() {}
func (b bell) BreakOff()    {}

func join(t *testing.T, ws *Watches, path string, recursive bool, since uint64) (*Watcher, *Head, bell) {
	t.Helper()
	news := make(bell, 1)
	w, head, err := ws.Join(context.Background(), Watch{Path: "/v2/keys" + path, Key: path, Recursive: recursive, Since: since}, news)
	if err != nil {
		t.Fatal(err)
	}
	return w, head, news
}

func TestAThousandWatchersAreOneConnectionToEtcd(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	before := etcd.Open()
	var watchers []*Watcher
	var bells []bell
	for range 1000 {
		w, _, news := join(t, ws, "/a", true, 0)
		watchers, bells = append(watchers, w), append(bells, news)
	}
	// The second connection was used to read indexes, and is idle now.
	if n := etcd.Open() - before; n > 2 {
		t.Errorf("1000 watchers of one key: got %d connections to etcd, want at most 2", n)
	}
	set(t, etcd, "/a/b", "1")
	for i, news := range bells {
		<-news
		if e := watchers[i].Result(); e == nil || !strings.Contains(string(e.Body), `"value":"1"`) {
			t.Fatalf("watcher %d: got event %+v, want the value 1", i, e)
		}
		watchers[i].Close()
	}
	soon(t, "the hub is gone", func() bool { return ws.count.Hubs.Load() == 0 })
	if fanned := ws.count.Delivered.Load(); fanned != 1000 {
		t.Errorf("events delivered to 1000 watchers: got %d, want 1000", fanned)
	}
}

func TestAWatcherWithoutAnIndexHearsNothingOld(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	first, _, news := join(t, ws, "/a", false, 0)
	for i := range 20 {
		set(t, etcd, "/a", fmt.Sprint(i))
		w, _, own := join(t, ws, "/a", false, 0) // the hub may not have received the event of the write yet
		set(t, etcd, "/a", fmt.Sprint("after", i))
		<-own
		if e := w.Result(); !strings.Contains(string(e.Body), fmt.Sprintf(`"node":{"key":"/a","value":"after%d"`, i)) {
			t.Errorf("watching after write %d: got event %s, want the write after it", i, e.Body)
		}
		w.Close()
	}
	<-news
	first.Close()
}

func TestAnIndexIsAnsweredFromTheRingOrElseByEtcd(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	set(t, etcd, "/a", "old")
	keep, head, _ := join(t, ws, "/a", false, 1<<40) // far in the future
	start := head.Index
	for i := range 5 {
		set(t, etcd, "/a", fmt.Sprint(i))
	}
	soon(t, "all are in the ring", func() bool {
		keep.hub.mu.Lock()
		defer keep.hub.mu.Unlock()
		return len(keep.hub.ring.events) == 5
	})
	for i := range uint64(5) {
		w, head, _ := join(t, ws, "/a", false, start+1+i)
		if e := w.Result(); e == nil || e.Index != start+1+i || head.Index != start+5 {
			t.Errorf("watching from index %d: got event %+v with the head's index %d, want the event at that index and %d", start+1+i, e, head.Index, start+5)
		}
		w.Close()
	}
	if n := ws.count.Misses.Load(); n != 0 {
		t.Errorf("watching from indexes in the ring: got %d misses, want 0", n)
	}
	w, _, news := join(t, ws, "/a", false, start)
	if w.Result() == nil {
		<-news
	}
	if e := w.Result(); e.Index != start || ws.count.Misses.Load() != 1 {
		t.Errorf("watching from index %d before the ring: got event %+v after %d misses, want the event at that index after 1", start, e, ws.count.Misses.Load())
	}
	w.Close()
	if keep.Result() != nil {
		t.Error("the watcher of a future index: got a result, want none")
	}
	keep.Close()
}

// event returns an event with a body of n bytes, which the caller uses.
func (ts *texts) event(index uint64, n int) *Event {
	ts.held.Add(int64(n))
	body := make([]byte, n)
	return ts.newEvent(&text{index: index, body: body, users: 1, size: int64(n)})
}

func TestTheRingForgetsTheOldestAndSaysSo(t *testing.T) {
	ts := newTexts(4 * maxRingBytes)
	r := ring{start: 5, last: 4, texts: ts}
	add := func(index uint64, n int) *Event {
		e := ts.event(index, n)
		r.add(e)
		e.release()
		return e
	}
	for i := range uint64(maxEvents + 10) {
		add(10+2*i, 100)
	}
	if len(r.events) != maxEvents || r.start != 10+2*9+1 || ts.held.Load() != maxEvents*100 {
		t.Errorf("after %d events: got %d events from index %d with %d bytes, want %d from %d with %d", maxEvents+10, len(r.events), r.start, ts.held.Load(), maxEvents, 10+2*9+1, maxEvents*100)
	}
	if e := r.from(r.start); e.Index != r.start+1 {
		t.Errorf("the first event from index %d: got %d, want %d", r.start, e.Index, r.start+1)
	}
	if r.from(r.last+1) != nil {
		t.Error("the first event above the last index: got one, want none")
	}
	large := add(r.last+1, maxRingBytes)
	if len(r.events) != 1 || r.start != large.Index {
		t.Errorf("after an event as large as a ring: got %d events from index %d, want only that one from %d", len(r.events), r.start, large.Index)
	}
	add(r.last+1, maxRingBytes+1)
	if len(r.events) != 0 || r.start != r.last+1 {
		t.Errorf("after an event larger than a ring: got %d events from index %d, want none from %d", len(r.events), r.start, r.last+1)
	}
	add(r.last+1, 1)
	other := ts.event(1, 3*maxRingBytes) // of another hub
	if add(r.last+1, 1); len(r.events) != 0 || r.start != r.last+1 {
		t.Errorf("while other hubs hold too much: got %d events from index %d, want none from %d", len(r.events), r.start, r.last+1)
	}
	other.release()
	add(r.last+1, 1)
	r.clear()
	if ts.held.Load() != 0 {
		t.Errorf("after the ring is cleared: got %d bytes held, want 0", ts.held.Load())
	}
}

func TestWatchersAreToldWhenEtcdGoesAway(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	old, _, oldNews := join(t, ws, "/a", false, 1)
	w, _, news := join(t, ws, "/a", false, 0)
	etcd.Cut()
	for watcher, news := range map[*Watcher]bell{old: oldNews, w: news} {
		<-news
		if e := watcher.Result(); e.Err == nil {
			t.Errorf("a watcher whose etcd went away: got event %+v, want an error", e)
		}
		watcher.Close()
	}
	var failed *upstream.Error
	if _, _, err := ws.Join(context.Background(), Watch{Path: "/v2/keys/a", Key: "/a"}, make(bell, 1)); !errors.As(err, &failed) {
		t.Errorf("joining while etcd is unreachable: got error %v, want an *upstream.Error", err)
	}
	etcd.Mend()
	again, _, _ := join(t, ws, "/a", false, 0)
	again.Close()
}

func TestWhatEtcdRefusesIsRefused(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	for i := range maxEvents + 10 {
		set(t, etcd, "/b", fmt.Sprint(i))
	}
	w, head, err := ws.Join(context.Background(), Watch{Path: "/v2/keys/a", Key: "/a", Since: 2}, make(bell, 1))
	if err != nil || w != nil || head.Status != 400 || !strings.Contains(string(head.Body), `"errorCode":401`) {
		t.Errorf("watching from an index that etcd has forgotten: got %v, %+v, %v, want no watcher and etcd's error 401", w, head, err)
	}
}

func TestAnIndexOfAnotherClusterEndsTheWatch(t *testing.T) {
	cluster := atomic.Pointer[string]{}
	one, other := "1", "2"
	cluster.Store(&one)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Etcd-Index", "7")
		w.Header().Set("X-Etcd-Cluster-Id", *cluster.Load())
		w.WriteHeader(200)
		if r.Method == "GET" {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	ws := newWatches(t, server.URL)
	var told atomic.Pointer[string]
	ws.count.OtherCluster = func(before, now string, ended int) {
		text := fmt.Sprintf("%s became %s: %d", before, now, ended)
		told.Store(&text)
	}
	w, _, news := join(t, ws, "/a", false, 0)
	cluster.Store(&other)
	if _, _, err := ws.Join(context.Background(), Watch{Path: "/v2/keys/a", Key: "/a"}, make(bell, 1)); err == nil {
		t.Error("joining after the cluster's id has changed: got no error, want one")
	}
	<-news
	if e := w.Result(); !errors.Is(e.Err, errElsewhere) {
		t.Errorf("a watcher whose cluster has changed: got event %+v, want the error %v", e, errElsewhere)
	}
	w.Close()
	if got := told.Load(); got == nil || *got != "1 became 2: 1" || ws.count.Clusters.Load() != 1 {
		t.Errorf("the report about the other cluster: got %v and %d changes, want that 1 became 2 and ended 1 watch, and 1 change", got, ws.count.Clusters.Load())
	}
}

func TestAnEventThatDoesNotEndEndsItsWatch(t *testing.T) {
	gone := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Etcd-Index", "7")
		if r.URL.Query().Get("wait") != "true" {
			_, _ = io.WriteString(w, "{}")
			return
		}
		defer close(gone)
		piece := []byte(strings.Repeat("x", 1<<20))
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	ws := newWatches(t, s.URL)
	w, _, news := join(t, ws, "/a", false, 8)
	defer w.Close()
	<-news
	if e := w.Result(); e == nil || e.Err == nil {
		t.Errorf("an event that does not end: got %+v, want an error", e)
	}
	<-gone
}
