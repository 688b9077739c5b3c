package share

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
)

// woken counts its notifications.
type woken chan struct{}

func (w woken) Notify() { w <- struct{}{} }

func (w woken) AfterNotify() {}

func (w woken) BreakOff() {}

// wait waits for a notification.
func (w woken) wait(t *testing.T) {
	t.Helper()
	select {
	case <-w:
	case <-time.After(waitTime):
		t.Fatalf("after %v: got no notification, want one", waitTime)
	}
}

// quiet fails if there is a notification that nobody waited for.
func (w woken) quiet(t *testing.T) {
	t.Helper()
	select {
	case <-w:
		t.Error("got a notification, want none")
	default:
	}
}

func newFeed() (*Feed, *WatchCounters) {
	count := &WatchCounters{ObserveDelivery: func(time.Duration) {}}
	return NewFeed(count, 1<<20), count
}

func deliver(w *Watcher, index uint64) {
	body := fmt.Sprintf("event %d\n", index)
	w.Deliver(index, index, []byte(body), []byte(body))
}

func TestAFeedNotifiesEachWatcherOfAnEventOnce(t *testing.T) {
	f, count := newFeed()
	n := make(woken, 1000)
	var watchers []*Watcher
	for range 200 {
		w := f.Watcher(n, nil, false)
		w.Started(func() {})
		watchers = append(watchers, w)
	}
	if got := count.Waiting.Load(); got != 200 {
		t.Errorf("before the event %d watchers wait, want 200", got)
	}
	for _, w := range watchers {
		deliver(w, 7)
	}
	if got := count.Waiting.Load(); got != 0 {
		t.Errorf("with the event %d watchers wait, want 0", got)
	}
	for range watchers {
		n.wait(t)
	}
	for _, w := range watchers {
		deliver(w, 8) // a watch has one event
		if e := w.Result(); e == nil || e.Index != 7 || string(e.Body) != "event 7\n" {
			t.Fatalf("got result %+v, want event 7", e)
		}
		if w.Next() {
			t.Fatal("a watch that is not a stream goes on")
		}
		w.Close()
	}
	n.quiet(t)
	if waiting, delivered := count.Waiting.Load(), count.Delivered.Load(); waiting != 0 || delivered != 200 {
		t.Errorf("got %d waiting watchers and %d delivered events, want 0 and 200", waiting, delivered)
	}
}

func TestAnEventBeforeTheHeadOfAWatchIsAResultWithoutANotification(t *testing.T) {
	f, _ := newFeed()
	n := make(woken, 1)
	w := f.Watcher(n, nil, false)
	deliver(w, 7)
	f.mu.Lock()
	if f.running || len(f.queue) > 0 {
		t.Error("the watcher is about to be notified")
	}
	f.mu.Unlock()
	w.Started(func() {})
	if e := w.Result(); e == nil || e.Index != 7 {
		t.Errorf("got result %+v, want event 7", e)
	}
	n.quiet(t)
	w.Close()
}

func TestAWatcherThatIsClosedEndsItsWatchWhileTheSourceDelivers(t *testing.T) {
	f, count := newFeed()
	var source sync.Mutex // like the lock of a store, which delivers and stops under it
	n := make(woken, 1000)
	for range 100 {
		w := f.Watcher(n, nil, false)
		stopped := false
		w.Started(func() {
			source.Lock()
			defer source.Unlock()
			stopped = true
		})
		var delivering sync.WaitGroup
		delivering.Go(func() {
			source.Lock()
			defer source.Unlock()
			deliver(w, 7)
		})
		w.Close()
		delivering.Wait()
		if !stopped {
			t.Fatal("the source still has the watch of a closed watcher")
		}
	}
	if got := count.Waiting.Load(); got != 0 {
		t.Errorf("%d watchers wait, want 0", got)
	}
}

func TestAStreamReceivesItsEventsInOrderAndThenItsFailure(t *testing.T) {
	f, count := newFeed()
	n := make(woken, 1000)
	w := f.Watcher(n, nil, true)
	w.Started(func() {})
	for index := range uint64(50) {
		deliver(w, index+1)
	}
	lost := errors.New("lost")
	w.Fail(lost)
	deliver(w, 51)
	for index := uint64(1); index <= 50; index++ {
		if e := w.Result(); e == nil || e.Index != index {
			t.Fatalf("got result %+v, want event %d", e, index)
		}
		if !w.Next() {
			t.Fatalf("the stream ended with event %d", index)
		}
	}
	if e := w.Result(); e == nil || !errors.Is(e.Err, lost) {
		t.Errorf("got result %+v, want the failure", e)
	}
	w.Close()
	if got := count.Waiting.Load(); got != 0 {
		t.Errorf("%d watchers wait, want 0", got)
	}
}

func TestAStreamWhoseClientDoesNotReceiveIsBoundedAndFails(t *testing.T) {
	for name, size := range map[string]int{"events": 1, "bytes": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			f, _ := newFeed()
			n := make(woken, 2*maxBehind)
			w := f.Watcher(n, nil, true)
			w.Started(func() {})
			body := make([]byte, size)
			for index := range uint64(2 * maxBehind) {
				w.Deliver(index, index, body, body)
				if bytes := w.fed.bytes; bytes > maxBehindBytes || len(w.fed.behind) > maxBehind {
					t.Fatalf("the stream holds %d bytes of %d events, want at most %d of %d", bytes, len(w.fed.behind), maxBehindBytes, maxBehind)
				}
			}
			w.Next()
			if e := w.Result(); e == nil || !errors.Is(e.Err, errBehind) {
				t.Errorf("behind the first event got %+v, want the failure", e)
			}
			w.Close()
		})
	}
}

func TestTheDeliveryOfAnEventIsMeasuredWhenItsLastWatcherIsClosed(t *testing.T) {
	measured := make(chan time.Duration, 10)
	f := NewFeed(&WatchCounters{ObserveDelivery: func(d time.Duration) { measured <- d }}, 1<<20)
	n := make(woken, 10)
	a, b := f.Watcher(n, nil, false), f.Watcher(n, nil, false)
	f.mu.Lock() // the event stays the last one until both have it
	a.fed.stop, b.fed.stop = func() {}, func() {}
	f.running = true
	f.mu.Unlock()
	deliver(a, 7)
	deliver(b, 7)
	f.notify()
	a.Close()
	if len(measured) != 0 {
		t.Error("the delivery was measured before the last watcher was closed")
	}
	b.Close()
	if len(measured) != 1 {
		t.Errorf("the delivery was measured %d times, want once", len(measured))
	}
}
