package share

import (
	"errors"
	"slices"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
)

// Feed wakes the watchers of a source that has all events itself, such as the mirror of an
// etcd v3 store. The source only appends to a queue, so that it need not wait until
// thousands of answers are encrypted.
type Feed struct {
	count *WatchCounters
	limit int64

	mu      sync.Mutex
	queue   []*Watcher // to be notified
	whole   int        // how many of these are of events before the last one; -1 if none began since the queue was taken
	running bool       // a goroutine notifies them
	event   *Event     // the last one that was delivered, while the queue is not empty
	source  any        // what that event was made of
	held    int64      // bytes of the large events that watchers have
	holders map[*Watcher]struct{}
}

// NewFeed returns a feed without watchers. It updates Waiting, Delivered and the durations
// of the counters. memory bounds the bytes of the events that clients have not taken; the
// clients that hold the most are broken off beyond it.
func NewFeed(c *WatchCounters, memory int64) *Feed {
	return &Feed{count: c, limit: memory, holders: make(map[*Watcher]struct{})}
}

// fed is what a watcher of a feed has beside its result. It is guarded by feed.mu.
type fed struct {
	feed    *Feed
	stop    func() // ends the watch at the source; nil before Started
	stream  bool
	waiting bool     // included in the counter
	behind  []*Event // events of a stream behind its result
	bytes   int      // of their bodies
	ended   bool     // closed, or failed
	// finished is the last event that the watcher has ceased to use.
	finished *Event
}

const (
	// maxBehind bounds the events that a stream may be behind. It is the length of etcd's own
	// history: a client that is further behind has to read everything again anyway.
	maxBehind = 1000
	// maxBehindBytes bounds the bytes of their bodies.
	maxBehindBytes = 4 << 20
)

var errBehind = errors.New("the client does not receive the events of its stream")

// Watcher returns a watcher of a client that the source does not know yet. A stream receives one event
// after another.
func (f *Feed) Watcher(n Notifier, a *account.Account, stream bool) *Watcher {
	f.count.Waiting.Add(1)
	both := &struct {
		Watcher
		fed
	}{Watcher{notifier: n, account: a}, fed{feed: f, stream: stream, waiting: true}}
	both.Watcher.fed = &both.fed
	return &both.Watcher
}

// Started records how to end the watch at the source. Events that were delivered before are
// not notified: the caller looks at the result.
func (w *Watcher) Started(stop func()) {
	f := w.fed.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	w.fed.stop = stop
}

// Deliver gives an event to a watcher. Equal sources are one event. It does not block.
func (w *Watcher) Deliver(source any, index uint64, body, chunked []byte) {
	f := w.fed.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.fed.ended || w.result.Load() != nil && !w.fed.stream {
		return
	}
	fresh := f.event == nil || f.source != source
	if fresh {
		f.finishEvent()
		f.event, f.source = &Event{Index: index, Body: body, Chunked: chunked, received: time.Now()}, source
		f.event.pending.Store(1) // until the queue is empty
		f.whole = len(f.queue)
	}
	f.count.Delivered.Add(1)
	w.put(f.event)
	if fresh && f.held > f.limit {
		f.makeRoom()
	}
}

// Fail ends a watcher because events may have been missed.
func (w *Watcher) Fail(reason error) {
	f := w.fed.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !w.fed.ended && (w.result.Load() == nil || w.fed.stream) {
		w.fed.ended = true
		w.put(&Event{Err: reason, received: time.Now()})
	}
}

// put adds an event to a watcher and to the queue; feed.mu is held.
func (w *Watcher) put(e *Event) {
	f := w.fed.feed
	switch {
	case w.result.Load() == nil:
		e.pending.Add(1)
		w.counted = true
		w.result.Store(e)
		f.hold(w, e)
	case e.Err == nil && (len(w.fed.behind) == maxBehind || w.fed.bytes+len(e.Body) > maxBehindBytes):
		w.fed.ended = true
		f.dropAll(w.fed.behind)
		w.fed.behind, w.fed.bytes = []*Event{{Err: errBehind}}, 0
	default:
		f.hold(w, e)
		w.fed.behind = append(w.fed.behind, e)
		w.fed.bytes += len(e.Body)
	}
	w.fed.answered(w.fed.stream && !w.fed.ended)
	if w.fed.stop == nil {
		return
	}
	f.queue = append(f.queue, w)
	if !f.running {
		f.running = true
		go f.notify()
	}
}

// answered counts a watcher that waits no more, unless it is a stream that goes on.
func (d *fed) answered(waits bool) {
	if d.waiting && !waits {
		d.waiting = false
		d.feed.count.Waiting.Add(-1)
	}
}

// finishEvent ends the delivery of the last event; f.mu is held.
func (f *Feed) finishEvent() {
	if f.event != nil {
		f.release(f.event, time.Now())
		f.event, f.source = nil, nil
	}
}

// release measures the delivery of an event when the last of its watchers, which had it at a time, is closed.
func (f *Feed) release(e *Event, at time.Time) {
	if e.pending.Add(-1) == 0 && e.Err == nil && f.count.ObserveDelivery != nil {
		f.count.ObserveDelivery(at.Sub(e.received))
	}
}

// finish ends the use of the event that a watcher had at a time; f.mu is held.
func (f *Feed) finish(w *Watcher, at time.Time) {
	e := w.result.Load()
	if e == nil || w.fed.finished == e {
		return
	}
	w.fed.finished = e
	f.drop(e)
	if w.counted {
		w.counted = false
		f.release(e, at)
	}
}

// next moves to the next event of a stream.
func (d *fed) next(w *Watcher) bool {
	f := d.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if !d.stream {
		return false
	}
	f.finish(w, time.Now())
	if len(d.behind) == 0 {
		w.result.Store(nil)
		return true
	}
	e := d.behind[0]
	d.behind = slices.Delete(d.behind, 0, 1)
	d.bytes -= len(e.Body)
	w.result.Store(e)
	return true
}

// close ends the watch of a client, which had its event at a time, at the source.
func (d *fed) close(w *Watcher, at time.Time) {
	f := d.feed
	f.mu.Lock()
	d.ended = true
	d.answered(false)
	f.dropAll(d.behind)
	d.behind, d.bytes = nil, 0
	stop := d.stop
	f.finish(w, at)
	delete(f.holders, w)
	f.mu.Unlock()
	if stop != nil {
		stop() // the source may hold its own lock while it delivers
	}
}
