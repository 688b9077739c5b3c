package share

import (
	"context"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// Watch is what a client asks for.
type Watch struct {
	// Path is the canonical path of the key, as it is sent: /v2/keys/a%20b; Key is
	// what it stands for: /a b.
	Path, Key string
	Recursive bool
	// Since is the waitIndex; 0 for what comes from now on.
	Since uint64
}

// Waker is told, from another goroutine, that a watcher has a result. It must not
// wait.
type Notifier interface {
	Notify()
	// Woken follows when all of those who hear at the same time were woken: for what
	// none of them should have to wait for.
	AfterNotify()
}

// Watcher is one client that waits.
type Watcher struct {
	hub      *hub
	notifier Notifier
	since    uint64
	index    int  // where in hub.waiting; under hub.mu
	counted  bool // for a result that others were woken for as well
	result   atomic.Pointer[Event]
}

// notWaiting is the place of a watcher that has its result.
const notWaiting = -1

// Result is the event that was waited for, or nil. It never changes once it is
// there.
func (w *Watcher) Result() *Event { return w.result.Load() }

// Leave must be called when the client has its event, or gives up.
func (w *Watcher) Close() {
	h := w.hub
	h.mu.Lock()
	if w.index != notWaiting {
		last := len(h.waiting) - 1
		h.waiting[w.index] = h.waiting[last]
		h.waiting[w.index].index = w.index
		h.waiting[last] = nil
		h.waiting = h.waiting[:last]
		w.index = notWaiting
		h.watches.count.Waiting.Add(-1)
	}
	h.mu.Unlock()
	if e := w.result.Load(); e != nil && w.counted && e.pending.Add(-1) == 0 && e.Err == nil {
		h.watches.recordDelivery(e)
	}
	h.watches.release(h)
}

// Join begins a watch. It returns when the head of the answer is known, which tells
// an index that was etcd's after Join was called; the watcher's result is the first
// event above it, or from w.Since on. Without a watcher the head is a whole answer,
// a refusal of etcd's. The error is an [*upstream.Error].
func (ws *Watches) Join(ctx context.Context, w Watch, waker Notifier) (*Watcher, *Head, error) {
	asked := time.Now()
	for {
		p := hubKey{path: w.Path, key: w.Key, recursive: w.Recursive}
		watcher, head, again, err := ws.join(ctx, p, asked, w.Since, waker)
		if again == beforeRing {
			ws.count.Misses.Add(1)
			p.since = w.Since
			watcher, head, again, err = ws.join(ctx, p, asked, w.Since, waker)
		}
		if again == joined {
			return watcher, head, err
		}
	}
}

// What became of an attempt to join.
type joinResult int

const (
	joined     joinResult = iota // or it failed, for good
	hubEnded                     // the hub ended before anything was said to the client
	beforeRing                   // the index is older than what the hub remembers
)

func (ws *Watches) join(ctx context.Context, p hubKey, asked time.Time, since uint64, waker Notifier) (_ *Watcher, head *Head, _ joinResult, err error) {
	h, inTime := ws.acquire(p, asked)
	entered := true
	defer func() {
		if entered {
			ws.release(h)
		}
	}()
	select {
	case <-h.ready:
	case <-ctx.Done():
		return nil, nil, joined, &upstream.Error{Kind: upstream.Canceled, Err: context.Cause(ctx)}
	}
	if h.err != nil || h.head.Status != 200 {
		if !inTime {
			return nil, nil, hubEnded, nil // that answer is older than the question
		}
		return nil, h.head, joined, h.err
	}
	if head = h.head; !inTime {
		if head, err = ws.index.read(ctx); err != nil {
			return nil, nil, joined, err
		}
		if head.cluster != h.head.cluster {
			h.stop(errElsewhere)
			return nil, nil, joined, &upstream.Error{Kind: upstream.Broken, Err: errElsewhere}
		}
	}
	watcher := &Watcher{hub: h, notifier: waker, since: since, index: notWaiting}
	again := h.attach(watcher, &head)
	if again == joined {
		entered = false
		return watcher, head, joined, nil
	}
	return nil, nil, again, nil
}

// attach lets a watcher wait, or gives it its event at once.
func (h *hub) attach(w *Watcher, head **Head) joinResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	// The index may come from a member that is behind the one which is watched.
	if h.since == 0 && h.ring.last > (*head).Index {
		*head = (*head).at(h.ring.last)
	}
	asked := w.since
	if asked == 0 {
		w.since = (*head).Index + 1
	}
	if w.since < h.ring.start {
		if asked == 0 {
			return hubEnded // so many events came since the index was read
		}
		return beforeRing
	}
	if e := h.ring.from(w.since); e != nil {
		w.result.Store(e)
		return joined
	}
	if h.end != nil {
		return hubEnded
	}
	w.index = len(h.waiting)
	h.waiting = append(h.waiting, w)
	h.watches.count.Waiting.Add(1)
	return joined
}

// took measures an event that its last watcher has.
func (ws *Watches) recordDelivery(e *Event) { ws.count.ObserveDelivery(time.Since(e.received)) }
