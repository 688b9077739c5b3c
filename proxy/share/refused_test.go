package share

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"etcd-tlsproxy/proxy/upstream"
)

// expectNoSlots waits until no request is in flight.
func (s *scripted) expectNoSlots(t *testing.T, after string) {
	t.Helper()
	count := s.pool.Counters()
	soon(t, "no slot is in use after "+after, func() bool { return count.Active.Load() <= 0 && count.Watching.Load() <= 0 })
	if a, w := count.Active.Load(), count.Watching.Load(); a != 0 || w != 0 {
		t.Errorf("after %s: got %d slots and %d watches in use, want none", after, a, w)
	}
}

func TestAWatchThatEtcdRefusesGivesItsSlotBackOnce(t *testing.T) {
	s := newScripted(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Etcd-Index", "7")
		w.Header().Set("Content-Length", "8")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("refused\n"))
	}, nil)
	for _, since := range []uint64{0, 5} {
		want := watchOf("/a")
		want.Since = since
		watcher, head, err := s.Join(context.Background(), want, make(bell, 1))
		if watcher != nil || err != nil || head.Status != 400 || string(head.Body) != "refused\n" {
			t.Errorf("a watch from %d that etcd refuses: got %v, %+v and the error %v, want the answer alone", since, watcher, head, err)
		}
		s.expectNoSlots(t, fmt.Sprintf("a watch from %d that was refused", since))
		soon(t, "no hub is left", func() bool { return s.count.Hubs.Load() == 0 })
	}
	if got := s.pool.Counters().Idle.Load(); got > 2 {
		t.Errorf("connections that are kept: got %d, want each once", got)
	}
}

func TestARefusalThatDoesNotEndOrBreaksOffIsAnError(t *testing.T) {
	for what, c := range map[string]struct {
		length int
		sent   int
		kind   upstream.Kind
	}{"too long": {maxRefusal + 1, maxRefusal + 1, upstream.Broken}, "cut": {100, 50, upstream.Broken}, "as long as may be": {maxRefusal, maxRefusal, -1}} {
		s := newScripted(t, func(_ int64, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			w.Header().Set("Content-Length", fmt.Sprint(c.length))
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write(bytes.Repeat([]byte("x"), c.sent))
		}, nil)
		watcher, head, err := s.Join(context.Background(), watchOf("/a"), make(bell, 1))
		kind := upstream.Kind(-1)
		var failed *upstream.Error
		if errors.As(err, &failed) {
			kind = failed.Kind
		}
		if watcher != nil || kind != c.kind || err == nil && len(head.Body) != c.length {
			t.Errorf("a refusal that is %s: got %v and the error %v, want the kind %d", what, watcher, err, c.kind)
		}
		s.expectNoSlots(t, "a refusal that is "+what)
	}
}

// Such a client must not get a refusal from before it asked.
func TestWhoAsksWhileAWatchIsBeingRefusedGetsTheNextAnswer(t *testing.T) {
	received, answer := make(chan struct{}), make(chan struct{})
	s := newScripted(t, func(n int64, w http.ResponseWriter, _ *http.Request) {
		if n == 1 {
			close(received)
			<-answer
		}
		w.Header().Set("X-Etcd-Index", "7")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "refusal %d\n", n)
	}, nil)
	bodies := [2]chan string{make(chan string, 1), make(chan string, 1)}
	ask := func(i int) {
		_, head, err := s.Join(context.Background(), watchOf("/a"), make(bell, 1))
		if err != nil {
			t.Error(err)
			head = &Head{}
		}
		bodies[i] <- string(head.Body)
	}
	go ask(0)
	<-received
	go ask(1)
	soon(t, "both wait", func() bool {
		s.Watches.mu.Lock()
		defer s.Watches.mu.Unlock()
		for _, h := range s.hubs {
			return h.users == 2
		}
		return false
	})
	close(answer)
	for i, want := range []string{"refusal 1\n", "refusal 2\n"} {
		if got := <-bodies[i]; got != want {
			t.Errorf("client %d: got %q, want %q", i+1, got, want)
		}
	}
}

func TestAWatchOfTheHistoryThatBreaksOffSaysWhy(t *testing.T) {
	ready := make(chan struct{})
	for what, c := range map[string]struct {
		early bool // before its watcher is told to wait
		want  error
	}{"a connection that is cut": {true, nil}, "an event that cannot be read": {false, errUnreadableEvent}} {
		s := newScripted(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("waitIndex") == "" {
				hold(1, w, r)
				return
			}
			writeHead(w, 7, "c")
			if c.early {
				panic(http.ErrAbortHandler)
			}
			<-ready
			_, _ = w.Write([]byte("garbage\n"))
		}, nil)
		want := watchOf("/a")
		want.Since = 5
		news := make(bell, 1)
		if c.early {
			s.pastPatience = waitTime
		}
		w, _, err := s.Join(context.Background(), want, news)
		var failed *upstream.Error
		switch {
		case c.early && (w != nil || !errors.As(err, &failed) || failed.Kind != upstream.Broken):
			t.Errorf("%s: got %v and the error %v, want the kind %v", what, w, err, upstream.Broken)
		case !c.early && err != nil:
			t.Errorf("%s: got the error %v, want a watcher", what, err)
		case !c.early:
			close(ready)
			if e := waitUntil(t, w, news, what); !errors.Is(e.Err, c.want) {
				t.Errorf("%s: got %+v, want the error %v", what, e, c.want)
			}
			w.Close()
		}
		s.expectHubs(t, 0, "after "+what)
		s.Close()
		s.expectNoSlots(t, what)
	}
}

func TestAHubWithUsersDoesNotLinger(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	h := idle(ws, "/a", 0)
	h.users = 2
	if ws.release(h); h.expiry != nil || ws.lingering != 0 || h.users != 1 || ws.hubs[h.hubKey] != h {
		t.Errorf("a hub that one of two users left: got %d users and %d hubs that linger, want 1 and none", h.users, ws.lingering)
	}
	other := idle(ws, "/a", 0) // takes its place, as after h has ended
	if ws.release(h); h.expiry != nil || ws.lingering != 0 || ws.hubs[h.hubKey] != other {
		t.Errorf("a hub that has ended: got %d hubs that linger, want none", ws.lingering)
	}
	if ws.release(other); other.expiry == nil || ws.lingering != 1 {
		t.Errorf("a hub that its last user left: got %d hubs that linger, want 1", ws.lingering)
	}
	ws.Close()
	if other.expiry != nil || ws.lingering != 0 || len(ws.hubs) != 0 {
		t.Errorf("after Close: got %d hubs that linger, want none", ws.lingering)
	}
}

func TestAHubPromisesWhatItCostsOnce(t *testing.T) {
	ws := NewWatches(WatchOptions{})
	h := idle(ws, "/a", 0)
	news := make(bell, 1)
	w := &Watcher{hub: h, notifier: news}
	h.waiting = []*Watcher{w}
	if got := h.Revoke(h.Class()); got != 0 || len(ws.hubs) != 1 {
		t.Errorf("a hub that costs nothing: got %d units promised and %d hubs left, want none and 1", got, len(ws.hubs))
	}
	h.weight.units.Store(5)
	for _, want := range []int64{5, 0} {
		if got := h.Revoke(h.Class()); got != want {
			t.Errorf("a hub that costs five units: got %d units promised, want 5 and then none", got)
		}
	}
	if e := waitUntil(t, w, news, "a hub that is revoked"); !errors.Is(e.Err, errOverShare) {
		t.Errorf("the watcher of a hub that is revoked: got %+v, want the error %v", e, errOverShare)
	}
}

// asked records the reads of indexes.
type asked struct {
	mu    sync.Mutex
	paths []string
}

func (a *asked) add(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.paths = append(a.paths, r.Method+" "+r.URL.Path)
}

func (a *asked) all() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.paths)
}

func TestAnIndexIsReadFromTheKeyOnlyWhereTheRootIsHidden(t *testing.T) {
	for hidden, want := range map[bool][]string{false: {"HEAD /v2/keys/"}, true: {"HEAD /v2/keys/", "HEAD /v2/keys/a"}} {
		reads := &asked{}
		s := newScripted(t, hold, func(w http.ResponseWriter, r *http.Request) {
			reads.add(r)
			w.Header().Set("X-Etcd-Index", "9")
			w.Header().Set("X-Etcd-Cluster-Id", "c")
			switch {
			case r.URL.Path != "/v2/keys/":
				w.WriteHeader(http.StatusNotFound)
			case hidden:
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		first, _, _ := join(t, s.Watches, "/a", false, 0)
		late, head, _ := join(t, s.Watches, "/a", false, 0)
		if got := reads.all(); !slices.Equal(got, want) || head.Index != 9 || head.Status != 200 || late.since != 10 {
			t.Errorf("a late watch, with the root hidden %t: got %q asked, and the head %+v; want %q and the index 9", hidden, got, head, want)
		}
		late.Close()
		first.Close()
	}
}

func TestAKeyThatEtcdHidesFromNowOnEndsItsWatchAndRefusesTheNext(t *testing.T) {
	s := newScripted(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		if n == 1 {
			hold(n, w, r)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte("hidden\n"))
	}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	first, _, news := join(t, s.Watches, "/a", false, 0)
	watcher, head, err := s.Join(context.Background(), watchOf("/a"), make(bell, 1))
	if watcher != nil || err != nil || head.Status != 401 || string(head.Body) != "hidden\n" {
		t.Errorf("a watch of a key that is hidden now: got %v, %+v and the error %v, want etcd's refusal", watcher, head, err)
	}
	if e := waitUntil(t, first, news, "a key that is hidden now"); !errors.Is(e.Err, errEnded) {
		t.Errorf("the watch from before: got %+v, want the error %v", e, errEnded)
	}
	first.Close()
	s.expectNoSlots(t, "both")
}
