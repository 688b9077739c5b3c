package share

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// deliver adds an event to the ring and notifies its watchers.
func (h *hub) deliver(e *Event) {
	h.mu.Lock()
	if h.end != nil || e.Index <= h.ring.last {
		h.mu.Unlock()
		return
	}
	if h.since == 0 && !h.concerns(e.key) {
		h.ring.last = e.Index
		h.mu.Unlock()
		return
	}
	h.ring.add(e)
	matched := h.dequeue(func(w *Watcher) bool { return w.since <= e.Index }, e)
	h.mu.Unlock()
	if len(matched) > 0 {
		h.watches.countDelivered(h, len(matched))
	}
	notifyAll(matched)
}

// dequeue removes and returns the matching watchers, with e as their result; h.mu is held.
func (h *hub) dequeue(match func(*Watcher) bool, e *Event) (taken []*Watcher) {
	rest := h.waiting[:0]
	for _, w := range h.waiting {
		if match(w) {
			taken = append(taken, w)
			continue
		}
		w.index = len(rest)
		rest = append(rest, w)
	}
	clear(h.waiting[len(rest):])
	h.waiting = rest
	e.pending.Store(int32(len(taken)))
	e.use(len(taken))
	h.watches.count.Waiting.Add(int64(-len(taken)))
	for _, w := range taken {
		w.index = notWaiting
		w.counted = true
		w.result.Store(e)
	}
	h.watches.texts.holdAll(e, taken...)
	return taken
}

// partSize is the number of watchers that justifies another goroutine.
const partSize = 64

// notifyAll notifies watchers. None is settled before all were notified.
func notifyAll(watchers []*Watcher) {
	inParts(watchers, tell)
	inParts(watchers, settle)
}

// inParts calls a function for small parts of the watchers on all processors, because each
// notification encrypts and writes an event. A processor that is busy otherwise gets fewer
// parts. It must be called without locks.
func inParts(watchers []*Watcher, f func([]*Watcher)) {
	if len(watchers) <= partSize {
		f(watchers)
		return
	}
	var taken atomic.Int64
	work := func() {
		for {
			end := int(taken.Add(partSize))
			if end-partSize >= len(watchers) {
				return
			}
			f(watchers[end-partSize : min(end, len(watchers))])
		}
	}
	var others sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), (len(watchers)+partSize-1)/partSize) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}

func tell(watchers []*Watcher) {
	for _, w := range watchers {
		w.notifier.Notify()
	}
}

func settle(watchers []*Watcher) {
	for _, w := range watchers {
		w.notifier.AfterNotify()
	}
}

// maxUnsettled bounds the watchers of a feed that were notified and are not settled, but for those of
// one event.
const maxUnsettled = 16 << 10

// notify notifies watchers until the queue is empty. Nobody is settled while others wait to be
// notified, unless very many are not settled yet. The source may still deliver an event while
// the first of its watchers are notified, so AfterNotify waits until the event after it, or
// until the queue is empty.
func (f *Feed) notify() {
	var told []*Watcher // and not settled
	past := 0           // how many of these are of events before the last one
	for {
		f.mu.Lock()
		watchers, whole := f.queue, f.whole
		f.queue, f.whole = nil, -1
		if len(watchers) == 0 && len(told) == 0 {
			f.running = false
			f.finishEvent()
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		inParts(watchers, tell)
		if whole >= 0 {
			past = len(told) + whole
		}
		told = append(told, watchers...)
		due := 0
		switch {
		case len(watchers) == 0:
			due = min(len(told), partSize)
		case len(told) > maxUnsettled:
			due = past
		}
		inParts(told[:due], settle)
		told, past = told[due:], max(past-due, 0)
	}
}
