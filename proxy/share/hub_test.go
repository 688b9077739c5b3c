package share

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// TestABurstOfExpiriesIsHeardToItsEnd creates more events at once than etcd buffers for a
// slow watcher.
func TestABurstOfExpiriesIsHeardToItsEnd(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	// The first watch starts before the writes: on a busy machine they take so long that the
	// first keys expire before the last ones exist.
	first, head, _ := join(t, ws, "/a", true, 0)
	defer first.Close()
	const keys = 400
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range keys / 8 {
				req, err := http.NewRequest("PUT", etcd.URL()+fmt.Sprintf("/v2/keys/a/%d-%d", g, i), strings.NewReader(url.Values{"value": {"v"}, "ttl": {"2"}}.Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	all.Wait()
	next, expired := head.Index+1, 0
	for expired < keys {
		w, _, news := join(t, ws, "/a", true, next)
		select {
		case <-news:
		default:
			if w.Result() == nil {
				<-news
			}
		}
		e := w.Result()
		if e.Err != nil {
			t.Fatalf("watching %d keys that expire: got error %v after %d events, want all events", keys, e.Err, expired)
		}
		if strings.Contains(string(e.Body), `"action":"expire"`) {
			expired++
		}
		next = e.Index + 1
		w.Close()
	}
	w, _, news := join(t, ws, "/a", true, 0)
	set(t, etcd, "/a/x", "1")
	<-news
	if e := w.Result(); !strings.Contains(string(e.Body), `"key":"/a/x"`) {
		t.Errorf("after the burst: got event %s, want that of /a/x", e.Body)
	}
	w.Close()
}

func TestAHubThatHasEndedDeliversNothing(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	w, head, news := join(t, ws, "/a", false, 1<<40)
	h := w.hub
	event := func(n uint64) *Event { return &Event{Index: head.Index + n, Body: []byte("body\n"), key: "/a"} }
	h.deliver(event(1))
	h.deliver(event(2))
	h.stop(errUnused)
	h.deliver(event(3)) // the event was in transit when the hub stopped
	late := &Watcher{hub: h, since: head.Index + 1, index: notWaiting}
	if got := h.attach(late, &head); got == joined {
		t.Errorf("attaching to a hub that has ended: got the event %d, which is not the next one, want a failure to join", late.Result().Index)
	}
	<-news
	w.Close()
}

func TestWhoComesAndGoesLeavesNoHubs(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	ws.linger = time.Hour
	for i := range 20 {
		w, _, _ := join(t, ws, fmt.Sprint("/k", i), false, 0)
		w.Close()
		if n := ws.count.Hubs.Load(); n != 0 {
			t.Fatalf("after %d clients that left without an event: got %d hubs, want 0", i+1, n)
		}
	}
	for i := range maxLingering + 10 {
		path := fmt.Sprint("/k", i)
		w, _, news := join(t, ws, path, false, 0)
		set(t, etcd, path, "1")
		<-news
		w.Close()
	}
	if n := ws.count.Hubs.Load(); n != maxLingering {
		t.Errorf("after more clients than hubs may linger: got %d lingering hubs, want %d", n, maxLingering)
	}
}

// TestAllWhoWaitedForADeadEtcdAreToldTogether has clients that arrive while a hub is about
// to fail. They must all fail with the next request to etcd, not a few with each request.
func TestAllWhoWaitedForADeadEtcdAreToldTogether(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	received := make(chan net.Conn, 1000)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			received <- c // and no answer
		}
	}()
	at, err := upstream.ParseEndpoint("http://" + ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pool, err := upstream.New(upstream.Options{Endpoints: []upstream.Endpoint{at}, HeaderTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ws := NewWatches(WatchOptions{Pool: pool})
	defer ws.Close()
	var all sync.WaitGroup
	for range 2000 {
		all.Go(func() {
			if _, _, err := ws.Join(context.Background(), Watch{Path: "/v2/keys/a", Key: "/a"}, make(bell, 1)); err == nil {
				t.Error("joining a watch at an etcd that does not answer: got no error, want one")
			}
		})
	}
	all.Wait()
	rounds := len(received)
	for range rounds {
		(<-received).Close()
	}
	if rounds > 10 { // two, if all arrive at once
		t.Errorf("2000 clients that wait for a dead etcd: got %d requests, want at most 10", rounds)
	}
}

func TestWhatAWatcherInTimeDoesNotHearIsLeftOut(t *testing.T) {
	for key, heard := range map[string]bool{
		"/a/b": true, "/a/b/c": true, "/a/b/c/d": true, "/a": true, "/": true,
		"/a/b/_c": false, "/a/b/c/_d/e": false, "/a/bc": false, "/a/": true, "/ab": false, "/a/x": false,
	} {
		if got := (hubKey{key: "/a/b", recursive: true}).concerns(key); got != heard {
			t.Errorf("whether a watch of /a/b concerns %s: got %v, want %v", key, got, heard)
		}
	}
	if !(hubKey{key: "/a/_b"}).concerns("/a/_b") || (hubKey{key: "/"}).concerns("/_x/y") || !(hubKey{key: "/"}).concerns("/x") {
		t.Error("watches of hidden keys: want a watch of the key itself to concern it, and a watch above not to")
	}
}
