package share

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// oneText fails unless all watchers have the same text as their result, and nothing but its
// bytes is held.
func oneText(t *testing.T, ws *Watches, watchers []*Watcher, value string) {
	t.Helper()
	first := watchers[0].Result()
	for i, w := range watchers {
		switch e := w.Result(); {
		case e == nil || e.Err != nil || !strings.Contains(string(e.Body), value):
			t.Fatalf("watcher %d: got the event %.100v, want the value", i, e)
		case &e.Chunked[0] != &first.Chunked[0]:
			t.Errorf("watcher %d: got a text of its own, want that of watcher 0", i)
		}
	}
	soon(t, "nothing but one text is held", func() bool { return ws.texts.held.Load() == first.text.size })
	if least, most := int64(len(value)), int64(2*len(value)); first.text.size < least || first.text.size > most {
		t.Errorf("the text of a value of %d bytes: got %d bytes counted, want %d to %d", len(value), first.text.size, least, most)
	}
}

func TestAnEventThatSeveralHubsReceiveIsKeptOnce(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	var watchers []*Watcher
	var bells []bell
	path := ""
	for range 45 {
		path += "/d"
		w, _, news := join(t, ws, path, true, 0)
		watchers, bells = append(watchers, w), append(bells, news)
	}
	value := strings.Repeat("0123456789", 100_000)
	set(t, etcd, path+"/k", value)
	for _, news := range bells {
		<-news
	}
	oneText(t, ws, watchers, value)
	for _, w := range watchers {
		w.Close()
	}
}

func TestAnOldEventIsKeptOnceFromWhateverIndexItIsRead(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	ws.pastPatience = waitTime
	_, head, _ := join(t, ws, "/a", false, 0)
	for i := range 60 {
		set(t, etcd, "/other", fmt.Sprint(i))
	}
	value := strings.Repeat("0123456789", 100_000)
	set(t, etcd, "/a/b", value)
	var watchers []*Watcher
	for i := range uint64(60) {
		w, _, _ := join(t, ws, "/a", true, head.Index+1+i)
		watchers = append(watchers, w)
	}
	oneText(t, ws, watchers, value)
	// Each of the watchers still holds its event, but neither a hub nor a watch at etcd.
	soon(t, "no hub is left but that of the first watcher", func() bool { return ws.count.Hubs.Load() == 1 })
	if n := ws.pool.Counters().Watching.Load(); n != 1 {
		t.Errorf("got %d watches at etcd, want 1", n)
	}
	for _, w := range watchers {
		w.Close()
	}
}

func TestAnOldEventIsReadWithTheSlotOfARead(t *testing.T) {
	slots := make(chan int64, 10)
	var s *scripted
	s = newScripted(t, func(_ int64, w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("waitIndex") == "" {
			hold(0, w, r)
			return
		}
		slots <- s.pool.Counters().Active.Load()
		writeHead(w, 7, "c")
		if r.URL.Query().Get("waitIndex") == "5" {
			writeEvent(w, "/a", 6)
			return
		}
		<-r.Context().Done()
	}, nil)
	s.pastPatience = waitTime
	want := watchOf("/a")
	want.Since = 5
	w, _, err := s.Join(context.Background(), want, make(bell, 1))
	if err != nil {
		t.Fatal(err)
	}
	if n := <-slots; n != 1 {
		t.Errorf("an event that exists: got %d slots for reads, want 1", n)
	}
	if e := w.Result(); e == nil || e.Index != 6 {
		t.Errorf("an event that exists: got the event %+v when the head is known, want that at index 6", e)
	}
	w.Close()
	// An index up to etcd's own, at which there is no event yet.
	want.Since, s.pastPatience = 6, PastPatience
	if w, _, err = s.Join(context.Background(), want, make(bell, 1)); err != nil {
		t.Fatal(err)
	}
	<-slots
	if n, m := s.pool.Counters().Active.Load(), s.pool.Counters().Watching.Load(); n != 0 || m < 1 {
		t.Errorf("an event that does not exist: got %d slots for reads and %d for watches, want 0 and at least 1", n, m)
	}
	w.Close()
}

func TestAnEventWithoutRoomBreaksItsWatchesOff(t *testing.T) {
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	ws.texts.limit, ws.pastPatience = 256<<10, waitTime
	w, head, news := join(t, ws, "/a", false, 0)
	set(t, etcd, "/a", strings.Repeat("0123456789", 100_000))
	<-news
	if e := w.Result(); !errors.Is(e.Err, errNoRoom) {
		t.Errorf("an event that does not fit: got %.100v, want %v", e, errNoRoom)
	}
	w.Close()
	_, _, err := ws.Join(context.Background(), Watch{Path: "/v2/keys/a", Key: "/a", Since: head.Index + 1}, make(bell, 1))
	var failed *upstream.Error
	if !errors.As(err, &failed) || failed.Kind != upstream.Busy {
		t.Errorf("reading the event: got the error %v, want one of the kind %v before any head", err, upstream.Busy)
	}
	set(t, etcd, "/a", "x") // its event has the large value as the previous one
	w, _, news = join(t, ws, "/a", false, 0)
	set(t, etcd, "/a", "small")
	if <-news; w.Result().Err != nil || !strings.Contains(string(w.Result().Body), `"value":"small"`) {
		t.Errorf("a small event afterwards: got %.100v, want its value", w.Result())
	}
	w.Close()
}

// TestANewEventDoesNotWaitBehindOldOnes lets all places of large events that exist already be in
// use.
func TestANewEventDoesNotWaitBehindOldOnes(t *testing.T) {
	t.Parallel()
	etcd := newEtcd(t)
	ws := newWatches(t, etcd.URL())
	ws.pastPatience = waitTime
	w, head, news := join(t, ws, "/a", false, 0)
	defer w.Close()
	if !ws.texts.past.TryAcquire(maxLarge) {
		t.Fatal("the places of old events are in use")
	}
	set(t, etcd, "/a", strings.Repeat("0123456789", 100_000))
	<-news
	if e := w.Result(); e.Err != nil {
		t.Errorf("a new event: got the error %v, want the event", e.Err)
	}
	set(t, etcd, "/b", strings.Repeat("0123456789", 100_000))
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	old := Watch{Path: "/v2/keys/b", Key: "/b", Since: head.Index + 1}
	if other, _, err := ws.Join(ctx, old, make(bell, 1)); err == nil {
		other.Close()
		t.Error("an old event without a place: got it received, want it to wait")
	}
	ws.texts.past.Release(maxLarge)
	other, _, err := ws.Join(context.Background(), old, make(bell, 1))
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
}
