package share

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// waitTime is how long a test waits for what has to come.
const waitTime = 10 * time.Second

// scripted is an etcd whose answers to watches a test chooses.
type scripted struct {
	*Watches
	server  string
	watches atomic.Int64  // requests of watches
	ended   chan struct{} // has an element for each of them that its client ended
	mu      sync.Mutex
	asked   []string // the targets of the watches
}

// newScripted starts watches through a server. answer gets the number of the watch, from 1. The
// index that reads of the index get is 7 unless index writes another answer.
func newScripted(t *testing.T, answer func(n int64, w http.ResponseWriter, r *http.Request), index http.HandlerFunc) *scripted {
	t.Helper()
	s := &scripted{ended: make(chan struct{}, 100)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("wait") == "true":
			s.mu.Lock()
			s.asked = append(s.asked, r.RequestURI)
			s.mu.Unlock()
			answer(s.watches.Add(1), w, r)
			if r.Context().Err() != nil {
				s.ended <- struct{}{}
			}
		case index != nil:
			index(w, r)
		default:
			writeHead(w, 7, "c")
		}
	}))
	t.Cleanup(server.Close)
	s.server = server.URL
	s.Watches = newWatches(t, s.server)
	return s
}

func (s *scripted) targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// waitForEnd waits until a watch at etcd is ended by the hub.
func (s *scripted) waitForEnd(t *testing.T, what string) {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(waitTime):
		t.Fatalf("%s: after %v the watch at etcd is still open, want it closed", what, waitTime)
	}
}

func (s *scripted) expectHubs(t *testing.T, want int64, when string) {
	t.Helper()
	if got := s.count.Hubs.Load(); got != want {
		t.Errorf("hubs %s: got %d, want %d", when, got, want)
	}
}

func writeHead(w http.ResponseWriter, index uint64, cluster string) {
	w.Header().Set("X-Etcd-Index", fmt.Sprint(index))
	w.Header().Set("X-Etcd-Cluster-Id", cluster)
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
}

func writeEvent(w http.ResponseWriter, key string, index uint64) {
	fmt.Fprintf(w, `{"action":"set","node":{"key":%q,"value":"v","modifiedIndex":%d,"createdIndex":%d}}`+"\n", key, index, index)
}

// hold answers a watch with a head, and no event.
func hold(_ int64, w http.ResponseWriter, r *http.Request) {
	writeHead(w, 7, "c")
	<-r.Context().Done()
}

func watchOf(key string) Watch { return Watch{Path: "/v2/keys" + key, Key: key} }

// waitUntil waits for a notification, and returns the result.
func waitUntil(t *testing.T, w *Watcher, news bell, what string) *Event {
	t.Helper()
	select {
	case <-news:
	case <-time.After(waitTime):
		t.Fatalf("%s: after %v the watcher was not notified", what, waitTime)
	}
	return w.Result()
}

// tryJoin is a join of a watch that may fail.
func (s *scripted) tryJoin(ctx context.Context, w Watch) error {
	watcher, _, err := s.Join(ctx, w, make(bell, 1))
	if watcher != nil {
		watcher.Close()
	}
	return err
}

func TestAJoinThatIsCanceledLeavesNoHubAndNoWatchAtEtcd(t *testing.T) {
	arrived := make(chan struct{}, 1)
	s := newScripted(t, func(_ int64, _ http.ResponseWriter, r *http.Request) { // a head that does not come
		arrived <- struct{}{}
		<-r.Context().Done()
	}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-arrived
		cancel()
	}()
	var failed *upstream.Error
	if err := s.tryJoin(ctx, watchOf("/a")); !errors.As(err, &failed) || failed.Kind != upstream.Canceled {
		t.Errorf("Join that was canceled: got the error %v, want one of the kind %v", err, upstream.Canceled)
	}
	s.expectHubs(t, 0, "after a join that was canceled")
	s.waitForEnd(t, "a join that was canceled")
}

func TestALateJoinThatFailsLeavesTheHubToTheOthersAndNoLonger(t *testing.T) {
	for what, answer := range map[string]http.HandlerFunc{
		"fails":        func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"has no index": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"knows no root": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "9")
			w.WriteHeader(http.StatusNotFound)
		},
	} {
		s := newScripted(t, hold, answer)
		first, _, _ := join(t, s.Watches, "/a", false, 0)
		for range 3 {
			if err := s.tryJoin(context.Background(), watchOf("/a")); !errors.Is(err, errNoIndex) {
				t.Errorf("Join while etcd %s: got the error %v, want %v", what, err, errNoIndex)
			}
			s.expectHubs(t, 1, "while the first watcher waits")
			if got := s.count.Waiting.Load(); got != 1 {
				t.Errorf("waiting watchers after a join that failed: got %d, want 1", got)
			}
		}
		first.Close()
		s.expectHubs(t, 0, "after the last watcher has left")
		s.waitForEnd(t, "a hub without watchers")
	}
}

func TestAWatcherThatLeavesTakesNoOtherWithIt(t *testing.T) {
	const watchers = 4
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {0, 3, 1, 2}, {1, 3, 0, 2}, {2, 0, 3, 1}, {1, 0, 2, 3}} {
		ready := make(chan struct{})
		s := newScripted(t, func(n int64, w http.ResponseWriter, r *http.Request) {
			writeHead(w, 7, "c")
			if n > 1 {
				<-r.Context().Done()
				return
			}
			select {
			case <-ready:
				writeEvent(w, "/a", 8)
			case <-r.Context().Done():
			}
		}, nil)
		var all []*Watcher
		var bells []bell
		for range watchers {
			w, _, news := join(t, s.Watches, "/a", false, 0)
			all, bells = append(all, w), append(bells, news)
		}
		for _, i := range order[:2] {
			all[i].Close()
		}
		if got := s.count.Waiting.Load(); got != watchers-2 {
			t.Errorf("waiting watchers after two of %d left: got %d", watchers, got)
		}
		close(ready)
		for _, i := range order[2:] {
			if e := waitUntil(t, all[i], bells[i], fmt.Sprintf("watcher %d of %v", i, order)); e == nil || e.Index != 8 {
				t.Errorf("watcher %d after %v left: got %+v, want the event 8", i, order[:2], e)
			}
			all[i].Close()
		}
		for _, i := range order[:2] {
			if len(bells[i]) > 0 || all[i].Result() != nil {
				t.Errorf("watcher %d, which has left: got a result, want none", i)
			}
		}
		if got := s.count.Waiting.Load(); got != 0 {
			t.Errorf("waiting watchers in the end: got %d, want 0", got)
		}
	}
}

func TestAnEventThatDoesNotConcernAHubIsAskedForOnce(t *testing.T) {
	second := make(chan struct{})
	s := newScripted(t, func(n int64, w http.ResponseWriter, r *http.Request) {
		writeHead(w, 6+uint64(n), "c") // the hidden event raises the index
		switch n {
		case 1:
			writeEvent(w, "/a/_hidden", 8)
		case 2:
			close(second)
			<-r.Context().Done()
		default:
			<-r.Context().Done()
		}
	}, nil)
	w, _, news := join(t, s.Watches, "/a", true, 0)
	<-second
	if got, want := s.targets(), []string{"/v2/keys/a?wait=true&recursive=true", "/v2/keys/a?wait=true&waitIndex=9&recursive=true"}; !slices.Equal(got, want) {
		t.Errorf("requests to etcd: got %q, want %q", got, want)
	}
	if len(news) > 0 || w.Result() != nil {
		t.Errorf("watcher: got the event of a hidden key, want none")
	}
	w.Close()
}

func TestAHubEndsVisiblyWhenItCannotGoOn(t *testing.T) {
	continued := func(index uint64, cluster string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) { writeHead(w, index, cluster) }
	}
	for what, c := range map[string]struct {
		first string // instead of an event
		next  func(w http.ResponseWriter)
		want  error
	}{
		"an event that cannot be read":  {first: "garbage\n", want: errUnreadableEvent},
		"an event without an index":     {first: "{\"node\":{\"key\":\"/a\"}}\n", want: errUnreadableEvent},
		"an event whose key is no text": {first: "{\"node\":{\"key\":1,\"modifiedIndex\":8}}\n", want: errUnreadableEvent},
		"an answer without an event":    {want: errEnded},
		"another cluster":               {first: "event", next: continued(8, "other"), want: errElsewhere},
		"an index that goes backwards":  {first: "event", next: continued(7, "c"), want: errBackwards},
		"a history that is gone":        {first: "event", next: func(w http.ResponseWriter) { w.Header().Set("X-Etcd-Index", "5000"); w.WriteHeader(400) }, want: errCleared},
		"an answer without its index":   {first: "event", next: func(w http.ResponseWriter) { w.WriteHeader(200) }, want: errNoIndex},
	} {
		t.Run(what, func(t *testing.T) {
			ready := make(chan struct{})
			s := newScripted(t, func(n int64, w http.ResponseWriter, r *http.Request) {
				switch {
				case n == 1:
					writeHead(w, 7, "c")
					<-ready
					if c.first == "event" {
						writeEvent(w, "/a", 8)
					} else {
						_, _ = w.Write([]byte(c.first))
					}
				case n == 2 && c.next != nil:
					c.next(w)
				default:
					<-r.Context().Done()
				}
			}, nil)
			// The second waits for an event that comes after the first.
			w, _, news := join(t, s.Watches, "/a", false, 100)
			close(ready)
			e := waitUntil(t, w, news, what)
			if e == nil || !errors.Is(e.Err, c.want) {
				t.Errorf("result of the watcher: got %+v, want the error %v", e, c.want)
			}
			w.Close()
			s.expectHubs(t, 0, "after the end")
			s.expectNoSlots(t, what)
		})
	}
}

func TestAfterCloseAJoinFails(t *testing.T) {
	s := newScripted(t, hold, nil)
	s.Close()
	var failed *upstream.Error
	if err := s.tryJoin(context.Background(), watchOf("/a")); !errors.As(err, &failed) {
		t.Errorf("Join after Close: got the error %v, want an *upstream.Error", err)
	}
	s.expectHubs(t, 0, "after Close")
}

func TestCloseEndsTheWatchesAtEtcdAndTellsTheirWatchers(t *testing.T) {
	s := newScripted(t, hold, nil)
	w, _, news := join(t, s.Watches, "/a", false, 0)
	s.Close()
	if e := waitUntil(t, w, news, "Close"); e == nil || !errors.Is(e.Err, errUnused) {
		t.Errorf("result of a watcher after Close: got %+v, want the error %v", e, errUnused)
	}
	s.waitForEnd(t, "Close")
	w.Close()
}

// eventWhen returns the answers of an etcd that sends the event 8 when ready is closed, and none
// after it.
func eventWhen(ready chan struct{}) func(int64, http.ResponseWriter, *http.Request) {
	return func(n int64, w http.ResponseWriter, r *http.Request) {
		if n > 1 {
			writeHead(w, 8, "c")
			<-r.Context().Done()
			return
		}
		writeHead(w, 7, "c")
		select {
		case <-ready:
			writeEvent(w, "/a", 8)
		case <-r.Context().Done():
		}
	}
}

func TestAHubThatLingersEndsItsWatchAtEtcd(t *testing.T) {
	ready := make(chan struct{})
	s := newScripted(t, eventWhen(ready), nil)
	s.linger = time.Hour
	w, _, news := join(t, s.Watches, "/a", false, 0)
	close(ready)
	waitUntil(t, w, news, "the event")
	soon(t, "the hub waits for its next event", func() bool { return s.watches.Load() == 2 })
	w.Close()
	s.expectHubs(t, 1, "after the last watcher has left")
	s.expire(w.hub, w.hub.visits) // what its timer does
	s.expectHubs(t, 0, "after the timer")
	s.waitForEnd(t, "a hub whose time is over")
}

func TestAHubThatIsJoinedAgainDoesNotExpire(t *testing.T) {
	ready := make(chan struct{})
	s := newScripted(t, eventWhen(ready), nil)
	s.linger = time.Hour
	w, _, news := join(t, s.Watches, "/a", false, 0)
	close(ready)
	waitUntil(t, w, news, "the event")
	h := w.hub
	w.Close()
	s.Watches.mu.Lock()
	expiry, visit, lingering := h.expiry, h.visits, s.lingering
	s.Watches.mu.Unlock()
	if expiry == nil || lingering != 1 {
		t.Fatalf("a hub whose last watcher left: got the expiry %v and %d lingering hubs, want one of each", expiry, lingering)
	}
	again, _, _ := join(t, s.Watches, "/a", false, 0)
	if again.hub != h {
		t.Error("Join of a hub that lingers: got another hub, want the same")
	}
	s.expire(h, visit) // the timer that was about to fire
	s.expectHubs(t, 1, "after the timer of an earlier visit")
	if s.lingering != 0 {
		t.Errorf("lingering hubs after a join: got %d, want 0", s.lingering)
	}
	again.Close()
}

func TestADeliveryIsMeasuredOnceAllWatchersHaveClosed(t *testing.T) {
	ready := make(chan struct{})
	s := newScripted(t, eventWhen(ready), nil)
	measured := make(chan time.Duration, 10)
	s.count.ObserveDelivery = func(d time.Duration) { measured <- d }
	var all []*Watcher
	var bells []bell
	for range 3 {
		w, _, news := join(t, s.Watches, "/a", false, 0)
		all, bells = append(all, w), append(bells, news)
	}
	close(ready)
	for i, news := range bells {
		waitUntil(t, all[i], news, "the event")
	}
	late, _, _ := join(t, s.Watches, "/a", false, 8) // is served from the ring, and not counted
	late.Close()
	for i, w := range all {
		if len(measured) > 0 {
			t.Errorf("measured deliveries after %d of 3 watchers: got one, want none", i)
		}
		w.Close()
	}
	if got := len(measured); got != 1 {
		t.Errorf("measured deliveries after all watchers: got %d, want 1", got)
	}
	if got := s.count.Delivered.Load(); got != 3 {
		t.Errorf("delivered events: got %d, want 3", got)
	}
	if got := s.count.Misses.Load(); got != 0 {
		t.Errorf("misses: got %d, want none", got)
	}
}

func TestTheListOfHubsLeavesOutThoseOfTheHistory(t *testing.T) {
	s := newScripted(t, hold, nil)
	now, _, _ := join(t, s.Watches, "/a", true, 0)
	old, _, _ := join(t, s.Watches, "/b", false, 3)
	defer now.Close()
	defer old.Close()
	if !slices.Contains(s.targets(), "/v2/keys/b?wait=true&waitIndex=3") {
		t.Fatalf("requests to etcd: got %q, want one of the history from 3", s.targets())
	}
	list := s.TopHubs(10)
	if i := slices.IndexFunc(list, func(h HubState) bool { return h.Key == "/a" }); i < 0 || list[i] != (HubState{Key: "/a", Recursive: true, Watchers: 1, Index: 7}) {
		t.Errorf("TopHubs: got %+v, want /a with one watcher and the index 7", list)
	}
	for _, h := range list {
		if h.Key == "/b" && h.Watchers > 0 {
			t.Errorf("TopHubs: got %+v, want no hub that waits for the history", h)
		}
	}
	if got := s.TopHubs(0); len(got) != 0 {
		t.Errorf("TopHubs(0): got %+v, want none", got)
	}
}

func TestASharedAnswerThatBreaksOffFailsItsReadersAndNothingElse(t *testing.T) {
	r, saved := newReads(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
		conn.Close()
	})
	const target, readers = "/v2/keys/a", 3
	lead, _, err := r.Join(context.Background(), target, "", &bulk.Claim{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, readers)
	for range readers {
		go func() {
			next, answer, err := r.Join(context.Background(), target, "", &bulk.Claim{}, nil)
			next.Done()
			if answer != nil {
				answer.Release()
				err = fmt.Errorf("got the answer %q", answer.Body)
			}
			errs <- err
		}()
	}
	r.waitForReaders(t, target, readers)
	lead.Done()
	for range readers {
		var failed *upstream.Error
		if err := <-errs; !errors.As(err, &failed) || failed.Kind != upstream.Broken {
			t.Errorf("reader of an answer that broke off: got the error %v, want one of the kind %v", err, upstream.Broken)
		}
	}
	if got := saved.Load(); got != 0 {
		t.Errorf("saved requests: got %d, want none for an answer that failed", got)
	}
}

func TestABatchSavesOneRequestLessThanItHasReaders(t *testing.T) {
	for readers, want := range map[int]uint64{1: 0, 5: 4} {
		r, saved := newReads(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Etcd-Index", "7")
			_, _ = w.Write([]byte(strings.Repeat("x", 100)))
		})
		const target = "/v2/keys/a"
		lead, _, err := r.Join(context.Background(), target, "", &bulk.Claim{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				_, answer, err := r.Join(context.Background(), target, "", &bulk.Claim{}, nil)
				if err != nil || answer == nil || answer.Status != 200 || len(answer.Body) != 100 {
					t.Errorf("Join: got %+v, %v; want an answer of 100 bytes", answer, err)
					return
				}
				answer.Release()
			})
		}
		r.waitForReaders(t, target, readers)
		lead.Done()
		all.Wait()
		if got := saved.Load(); got != want {
			t.Errorf("requests saved by a batch of %d readers: got %d, want %d", readers, got, want)
		}
	}
}
