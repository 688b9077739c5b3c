package share

import (
	"errors"
	"testing"
	"time"
)

// byHand returns a feed whose queue only notify empties, and what it measures.
func byHand() (f *Feed, measured *int) {
	measured = new(int)
	f = NewFeed(&WatchCounters{ObserveDelivery: func(time.Duration) { *measured++ }}, 1<<20)
	f.running = true
	return f, measured
}

// started returns a watcher that its source knows.
func (f *Feed) started(stream bool) (*Watcher, *countingNotifier) {
	n := &countingNotifier{}
	w := f.Watcher(n, nil, stream)
	w.Started(func() {})
	return w, n
}

func TestAFeedNotifiesAgainAfterItsQueueWasEmpty(t *testing.T) {
	f, _ := newFeed()
	n := make(woken, 10)
	for index := uint64(1); index <= 3; index++ {
		w := f.Watcher(n, nil, false)
		w.Started(func() {})
		deliver(w, index)
		n.wait(t)
		soon(t, "the goroutine of the feed has ended", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return !f.running
		})
		if f.event != nil || f.source != nil || len(f.queue) != 0 {
			t.Errorf("a feed whose queue is empty: got the event %+v kept, want none", f.event)
		}
		w.Close()
	}
	n.quiet(t)
}

// during runs a function while its watcher is notified.
type during struct {
	countingNotifier
	do func()
}

func (d *during) Notify() {
	d.countingNotifier.Notify()
	d.do()
}

// TestAFeedSettlesNobodyWhileOthersWaitToBeNotified has a source that is slower than the feed: it delivers to the
// next watcher while one is notified.
func TestAFeedSettlesNobodyWhileOthersWaitToBeNotified(t *testing.T) {
	f, _ := byHand()
	indexes := []uint64{7, 7, 8, 8, 9}
	notifiers := make([]during, len(indexes))
	watchers := make([]*Watcher, len(indexes))
	for i := range watchers {
		notifiers[i].do = func() {
			if got := settled(notifiers); got != 0 {
				t.Errorf("when watcher %d is notified: got %d settled, want none", i, got)
			}
			if i+1 < len(watchers) {
				deliver(watchers[i+1], indexes[i+1])
			}
		}
		watchers[i] = f.Watcher(&notifiers[i], nil, false)
		watchers[i].Started(func() {})
	}
	deliver(watchers[0], indexes[0])
	f.notify()
	wantAllOnce(t, notifiers)
	for _, w := range watchers {
		w.Close()
	}
}

// settled returns how many watchers are settled.
func settled(notifiers []during) (n int) {
	for i := range notifiers {
		n += int(notifiers[i].after.Load())
	}
	return n
}

// wantAllOnce fails unless each watcher was notified and settled once.
func wantAllOnce(t *testing.T, notifiers []during) {
	t.Helper()
	for i := range notifiers {
		if told, after := notifiers[i].notified.Load(), notifiers[i].after.Load(); told != 1 || after != 1 {
			t.Errorf("watcher %d: got notified %d times and settled %d times, want once", i, told, after)
		}
	}
}

// TestAFeedThatIsNeverIdleSettlesThoseOfPastEvents has many watchers of one event. While the last of them is notified, two
// others get the next event, one after the other, and then a third gets the event after that.
func TestAFeedThatIsNeverIdleSettlesThoseOfPastEvents(t *testing.T) {
	for _, c := range []struct{ many, second, third int }{
		{maxUnsettled - 1, 0, maxUnsettled - 1}, {maxUnsettled, maxUnsettled, maxUnsettled},
	} {
		f, _ := byHand()
		notifiers := make([]during, c.many+3)
		first, second, third := &notifiers[c.many], &notifiers[c.many+1], &notifiers[c.many+2]
		watcher := func(n Notifier) *Watcher {
			w := f.Watcher(n, nil, false)
			w.Started(func() {})
			return w
		}
		a, b, z := watcher(first), watcher(second), watcher(third)
		for i := range notifiers {
			notifiers[i].do = func() {}
		}
		notifiers[c.many-1].do = func() { deliver(a, 8) }
		first.do = func() { deliver(b, 8) }
		second.do = func() {
			if got := settled(notifiers); got != c.second {
				t.Errorf("after %d and one watcher: got %d settled, want %d", c.many, got, c.second)
			}
			deliver(z, 9)
		}
		third.do = func() {
			if got := settled(notifiers); got != c.third {
				t.Errorf("after %d and two watchers: got %d settled, want %d", c.many, got, c.third)
			}
		}
		for i := range c.many {
			deliver(watcher(&notifiers[i]), 7)
		}
		f.notify()
		wantAllOnce(t, notifiers)
	}
}

func TestTheDeliveryOfAnEventEndsWhenItsClientHadIt(t *testing.T) {
	var took time.Duration
	f := NewFeed(&WatchCounters{ObserveDelivery: func(d time.Duration) { took = d }}, 1<<20)
	f.running = true
	w, _ := f.started(false)
	deliver(w, 7)
	received := w.Result().received
	f.notify()
	if w.CloseAt(received.Add(time.Hour)); took != time.Hour {
		t.Errorf("a client that had its event after an hour: got a delivery of %v", took)
	}
}

func TestEachEventOfAStreamIsMeasuredOnce(t *testing.T) {
	f, measured := byHand()
	w, n := f.started(true)
	check := func(when string, index uint64, want int) {
		t.Helper()
		got := uint64(0)
		if e := w.Result(); e != nil {
			got = e.Index
		}
		if got != index || *measured != want {
			t.Errorf("%s: got the event %d and %d measured, want %d and %d", when, got, *measured, index, want)
		}
	}
	next := func() {
		t.Helper()
		if !w.Next() {
			t.Error("a stream: got its end, want it to go on")
		}
	}
	var events []*Event
	for index := uint64(1); index <= 3; index++ {
		deliver(w, index)
		events = append(events, f.event)
	}
	check("three events at once", 1, 1) // the second, for which no client waits
	next()
	check("the second", 2, 2)
	f.notify()
	check("the second, when the queue is empty", 2, 3)
	next()
	check("the third", 3, 3)
	next()
	check("none", 0, 3)
	deliver(w, 4)
	events = append(events, f.event)
	f.notify()
	check("the fourth", 4, 3)
	w.Close()
	check("closed", 4, 4)
	if got := n.notified.Load(); got != 4 {
		t.Errorf("notifications of four events: got %d", got)
	}
	for _, e := range events {
		if got := e.pending.Load(); got != 0 {
			t.Errorf("event %d in the end: got %d watchers that are not closed, want 0", e.Index, got)
		}
	}
}

func TestOneEventOfManyWatchersIsMeasuredWhenAllAreClosedAndTheQueueIsEmpty(t *testing.T) {
	f, measured := byHand()
	a, _ := f.started(false)
	b, _ := f.started(false)
	deliver(a, 7)
	a.Close()
	if *measured != 0 {
		t.Error("an event that others are about to get: it was measured, want a wait for them")
	}
	deliver(b, 7)
	if a.Result() != b.Result() {
		t.Error("two watchers of one source: got two events, want one")
	}
	e := b.Result()
	b.Close()
	b.Close()
	if f.notify(); *measured != 1 || e.pending.Load() != 0 {
		t.Errorf("in the end: got %d measured and %d watchers that are not closed, want 1 and 0", *measured, e.pending.Load())
	}
	c, _ := f.started(false)
	deliver(c, 8)
	if c.Result() == e {
		t.Error("another source: got the event of the one before, want another")
	}
	c.Close()
}

func TestAFailureIsNotMeasuredAndEndsTheWait(t *testing.T) {
	lost := errors.New("lost")
	for _, stream := range []bool{false, true} {
		f, measured := byHand()
		w, n := f.started(stream)
		w.Fail(lost)
		w.Fail(errors.New("again"))
		deliver(w, 7)
		f.notify()
		if e := w.Result(); e == nil || !errors.Is(e.Err, lost) || f.count.Waiting.Load() != 0 || n.notified.Load() != 1 || n.after.Load() != 1 {
			t.Errorf("a watcher that failed, stream %t: got %+v, %d that wait and %d notifications; want the first failure, 0 and 1", stream, e, f.count.Waiting.Load(), n.notified.Load())
		}
		w.Close()
		if *measured != 0 || f.count.Delivered.Load() != 0 {
			t.Errorf("a failure, stream %t: got %d measured and %d delivered, want none", stream, *measured, f.count.Delivered.Load())
		}
	}
	f, _ := byHand()
	w, _ := f.started(false)
	deliver(w, 7)
	w.Fail(lost)
	if e := w.Result(); e == nil || e.Err != nil {
		t.Errorf("a watch that failed after its event: got %+v, want the event", e)
	}
	w.Close()
	if w.Fail(lost); w.Result().Err != nil {
		t.Errorf("a closed watch that failed: got %+v, want its event", w.Result())
	}
	f.notify()
	closed, n := f.started(true)
	closed.Close()
	closed.Fail(lost)
	deliver(closed, 8)
	if closed.Result() != nil || n.notified.Load() != 0 || f.count.Waiting.Load() != 0 {
		t.Errorf("a closed stream: got the result %+v and %d that wait, want none", closed.Result(), f.count.Waiting.Load())
	}
}

func TestAStreamWaitsUntilItIsClosedOrFails(t *testing.T) {
	f, _ := byHand()
	for _, end := range []func(*Watcher){(*Watcher).Close, func(w *Watcher) { w.Fail(errBehind) }} {
		w, _ := f.started(true)
		for index := uint64(1); index <= 2; index++ {
			deliver(w, index)
			if got := f.count.Waiting.Load(); got != 1 {
				t.Errorf("a stream with %d events: got %d that wait, want 1", index, got)
			}
		}
		end(w)
		if got := f.count.Waiting.Load(); got != 0 {
			t.Errorf("a stream that has ended: got %d that wait, want 0", got)
		}
		w.Close()
		if got := f.count.Waiting.Load(); got != 0 {
			t.Errorf("a stream that was closed: got %d that wait, want 0", got)
		}
	}
	f.notify()
	NewFeed(&WatchCounters{}, 1<<20).release(&Event{}, time.Now()) // nothing observes it
}

func TestAStreamMayBe1000EventsOr4MiBBehind(t *testing.T) {
	for _, c := range []struct{ size, events int }{{1, 1000}, {4 << 20, 1}, {2 << 20, 2}, {1<<20 + 1, 3}} {
		f, _ := byHand()
		w, _ := f.started(true)
		body := make([]byte, c.size)
		for i := range uint64(c.events) + 1 { // the first is the result
			w.Deliver(i, i+1, body, body)
		}
		if len(w.fed.behind) != c.events || w.fed.bytes != c.events*c.size {
			t.Errorf("%d events of %d bytes behind the first: got %d with %d bytes, want all", c.events, c.size, len(w.fed.behind), w.fed.bytes)
		}
		// What the client receives makes room.
		if w.Next(); w.fed.bytes != (c.events-1)*c.size {
			t.Errorf("after one was received: got %d bytes behind, want %d", w.fed.bytes, (c.events-1)*c.size)
		}
		w.Deliver("one more", 5000, body, body)
		w.Deliver("too many", 5001, body, body)
		if len(w.fed.behind) != 1 || !errors.Is(w.fed.behind[0].Err, errBehind) || w.fed.bytes != 0 || f.count.Waiting.Load() != 0 {
			t.Errorf("one event too many: got %d behind with %d bytes and %d that wait, want the failure alone", len(w.fed.behind), w.fed.bytes, f.count.Waiting.Load())
		}
		w.Deliver("later", 5002, body, body)
		w.Fail(errEnded)
		if len(w.fed.behind) != 1 {
			t.Errorf("after the failure: got %d events behind, want none but it", len(w.fed.behind))
		}
		if w.Close(); len(w.fed.behind) != 0 || w.fed.bytes != 0 {
			t.Errorf("a closed stream: got %d events kept, want none", len(w.fed.behind))
		}
		f.notify()
	}
}
