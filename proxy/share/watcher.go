package share

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"etcd-tlsproxy/proxy/account"
	"etcd-tlsproxy/proxy/bulk"
	"etcd-tlsproxy/proxy/upstream"
)

// Watch describes the events that a client waits for.
type Watch struct {
	// Path is the canonical path of the key as it is sent, such as /v2/keys/a%20b. Key
	// is the decoded key, such as /a b.
	Path, Key string
	Recursive bool
	// Since is the waitIndex; 0 means events from now on.
	Since uint64
	// Claim is what a watch at etcd costs if this watch needs one. The zero Claim costs
	// nothing.
	Claim bulk.Claim
}

// Notifier is notified when its watcher has a result. Its methods are called from
// another goroutine and must not block.
type Notifier interface {
	// Notify delivers the result.
	Notify()
	// AfterNotify is called once every watcher of the same event has been notified, and
	// perhaps those of later events. Bookkeeping that must not delay delivery belongs here.
	AfterNotify()
	// BreakOff makes the writes of the event fail, now and later, because its client is slow to take
	// it. It must not block.
	BreakOff()
}

// Watcher is one waiting client, of a hub or of a [Feed].
type Watcher struct {
	hub      *hub // nil for a watcher of a feed
	fed      *fed // nil for a watcher of a hub
	notifier Notifier
	account  *account.Account // nil for a client without one
	broken   bool             // its event was broken off; guarded by the lock of its holders
	since    uint64
	index    int  // in hub.waiting; guarded by hub.mu
	counted  bool // included in result.pending
	result   atomic.Pointer[Event]
}

// notWaiting is the index of a watcher that is not in hub.waiting.
const notWaiting = -1

// Result returns the event, or nil if there is none yet. Once set, it changes only by Next.
func (w *Watcher) Result() *Event { return w.result.Load() }

// Next drops the event of a stream, so that Result returns the one behind it, and returns
// true. If the watch is not a stream, its event is the last one, and Next returns false.
func (w *Watcher) Next() bool { return w.fed != nil && w.fed.next(w) }

// Close must be called when the client has its event or gives up.
func (w *Watcher) Close() { w.CloseAt(time.Now()) }

// CloseAt is Close for a client that had its event at a time.
func (w *Watcher) CloseAt(at time.Time) {
	if w.fed != nil {
		w.fed.close(w, at)
		return
	}
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
	if e := w.result.Load(); e != nil {
		h.watches.texts.unhold(w, e)
		if w.counted && e.pending.Add(-1) == 0 && e.Err == nil {
			h.watches.count.ObserveDelivery(at.Sub(e.received))
		}
		e.release()
	}
	h.watches.release(h)
}

// Join starts a watch. It returns when the head of the answer is known. The head holds
// an index that etcd had after Join was called, and the watcher's result is the first
// event above it, or the first from w.Since on. If the watcher is nil, the head is a
// complete answer by which etcd refuses the watch. The error is an [*upstream.Error].
func (ws *Watches) Join(ctx context.Context, w Watch, notifier Notifier) (*Watcher, *Head, error) {
	asked := time.Now()
	for {
		p := hubKey{path: w.Path, key: w.Key, recursive: w.Recursive}
		watcher, head, again, err := ws.join(ctx, p, asked, &w, notifier)
		if again == beforeRing {
			ws.count.Misses.Add(1)
			p.since = w.Since
			watcher, head, again, err = ws.join(ctx, p, asked, &w, notifier)
		}
		if again == joined {
			return watcher, head, err
		}
	}
}

// joinResult is the result of one attempt to join a hub.
type joinResult int

const (
	joined     joinResult = iota // or failed permanently
	hubEnded                     // the hub ended before the client got a head
	beforeRing                   // the ring does not reach back to the index
)

func (ws *Watches) join(ctx context.Context, p hubKey, asked time.Time, want *Watch, notifier Notifier) (_ *Watcher, head *Head, _ joinResult, err error) {
	h, inTime := ws.acquire(p, asked, &want.Claim)
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
			return nil, nil, hubEnded, nil // the head is older than the client's request
		}
		return nil, h.head, joined, h.err
	}
	if head = h.head; !inTime {
		if head, err = ws.index.read(ctx); errors.Is(err, errHidden) {
			head, err = h.readIndex(ctx)
		}
		switch {
		case errors.Is(err, errHidden):
			h.stop(errEnded) // the next hub gets etcd's refusal
			return nil, nil, hubEnded, nil
		case err != nil:
			return nil, nil, joined, err
		}
		if head.cluster != h.head.cluster {
			ws.saw(head.cluster) // which ends the hub, unless it is the newer one
			h.stop(errElsewhere)
			return nil, nil, joined, &upstream.Error{Kind: upstream.Broken, Err: errElsewhere}
		}
	}
	watcher := &Watcher{hub: h, notifier: notifier, account: want.Claim.Account(), since: want.Since, index: notWaiting}
	again := h.attach(watcher, &head)
	if again == joined {
		entered = false
		return watcher, head, joined, nil
	}
	return nil, nil, again, nil
}

// attach adds a watcher to the hub, or sets its result at once.
func (h *hub) attach(w *Watcher, head **Head) joinResult {
	h.mu.Lock()
	defer h.mu.Unlock()
	// The index may come from a member that lags behind the watched one.
	if h.since == 0 && h.ring.last > (*head).Index {
		*head = (*head).at(h.ring.last)
	}
	asked := w.since
	if asked == 0 {
		w.since = (*head).Index + 1
	}
	if w.since < h.ring.start {
		if asked == 0 {
			return hubEnded // too many events have come since the index was read
		}
		return beforeRing
	}
	if e := h.ring.from(w.since); e != nil {
		e.use(1)
		w.result.Store(e)
		h.watches.texts.holdAll(e, w)
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
