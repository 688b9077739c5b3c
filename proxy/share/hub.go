package share

// Locks. Watches.mu guards the map of hubs and the users of each. hub.mu guards one hub's
// ring and watchers. If both are ever needed, Watches.mu comes first; today no code holds
// both, so that no hub can delay another. Notifiers are called without either, because
// they acquire the locks of their connections.

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// hub is one watch at etcd and the watchers of its events.
type hub struct {
	hubKey
	watches *Watches
	cancel  context.CancelFunc
	ready   chan struct{} // closed when head or err is set
	head    *Head         // etcd's answer; a refusal if its status is not 200
	err     error

	// Guarded by watches.mu.
	users     int       // watchers that wait or are about to wait
	visits    uint64    // how often a user was added
	requested time.Time // when the first request was sent
	expiry    *time.Timer
	delivered bool // a watcher was notified of an event

	mu      sync.Mutex
	ring    ring
	waiting []*Watcher
	end     *Event // set when the hub has ended
}

// Why a hub ends.
var (
	errEnded     = errors.New("etcd ended the watch")
	errCleared   = errors.New("etcd no longer remembers all events")
	errUnused    = errors.New("no watcher is left")
	errElsewhere = errors.New("the endpoints are of different clusters")
	errBackwards = errors.New("etcd's index went backwards")
)

// serve serves the hub until it ends.
func (h *hub) serve(ctx context.Context) {
	h.watches.recordRequest(h)
	resp, head, err := h.request(ctx, h.since)
	if err != nil || head.Status != 200 {
		h.err = err
		if err == nil { // a complete answer instead of a watch
			h.head = head
			head.Body, h.err = readAll(resp)
			resp.Close()
		}
		h.stop(errEnded)
		close(h.ready)
		return
	}
	h.publishHead(head)
	for h.since == 0 {
		if err := h.readEvent(resp); err != nil {
			h.stop(err)
			return
		}
		if resp, head, err = h.request(ctx, h.ring.last+1); err == nil {
			err = h.checkContinuity(head)
		}
		if err != nil {
			if resp != nil {
				resp.Close()
			}
			h.stop(err)
			return
		}
	}
	err = h.readEvent(resp)
	if err == nil {
		err = errEnded // it had to deliver only one event
	}
	h.stop(err)
}

func (h *hub) request(ctx context.Context, since uint64) (*upstream.Response, *Head, error) {
	resp, err := h.watches.pool.Do(ctx, &upstream.Request{Method: "GET", Target: h.target(since), Watch: true})
	if err != nil {
		return nil, nil, err
	}
	head := newHead(resp)
	if head.Status == 200 && head.Index == 0 {
		resp.Close()
		return nil, nil, &upstream.Error{Kind: upstream.Broken, Err: errNoIndex}
	}
	return resp, head, nil
}

// checkContinuity returns an error unless an answer continues where the last one ended.
func (h *hub) checkContinuity(head *Head) error {
	switch {
	case head.Status != 200:
		return errCleared
	case head.cluster != h.head.cluster:
		return errElsewhere
	case head.Index < h.ring.last:
		return errBackwards
	}
	return nil
}

// publishHead admits the watchers that wait for the head.
func (h *hub) publishHead(head *Head) {
	h.mu.Lock()
	h.head = head
	h.ring.start, h.ring.last = head.Index+1, head.Index
	if h.since != 0 {
		h.ring.start, h.ring.last, h.ring.keep = h.since, h.since-1, true
	}
	h.mu.Unlock()
	close(h.ready)
}

// readEvent reads the event of an answer and delivers it.
func (h *hub) readEvent(resp *upstream.Response) error {
	defer resp.Close()
	body, err := readAll(resp)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return errEnded // etcd does this when it shuts down
	}
	e, err := parseEvent(body)
	if err != nil {
		return &upstream.Error{Kind: upstream.Broken, Err: err}
	}
	h.deliver(e)
	return nil
}

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
	h.watches.count.Waiting.Add(int64(-len(taken)))
	for _, w := range taken {
		w.index = notWaiting
		w.counted = true
		w.result.Store(e)
	}
	return taken
}

// minFanOutBatch is the number of watchers that justifies another goroutine.
const minFanOutBatch = 64

// notifyAll notifies watchers on all processors, because each notification encrypts and
// writes an event. It must be called without locks.
func notifyAll(watchers []*Watcher) {
	share := max(minFanOutBatch, (len(watchers)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var others sync.WaitGroup
	for len(watchers) > share {
		part := watchers[:share]
		watchers = watchers[share:]
		others.Go(func() { notifyBatch(part) })
	}
	notifyBatch(watchers)
	others.Wait()
}

func notifyBatch(watchers []*Watcher) {
	for _, w := range watchers {
		w.notifier.Notify()
	}
	for _, w := range watchers {
		w.notifier.AfterNotify()
	}
}

// stop ends the hub and fails its watchers.
func (h *hub) stop(reason error) {
	h.cancel()
	h.watches.remove(h)
	h.mu.Lock()
	if h.end != nil {
		h.mu.Unlock()
		return
	}
	h.end = &Event{Err: reason, received: time.Now()}
	h.ring.release()
	if h.since == 0 {
		h.ring.events = nil // a hub with an index keeps its one event, which cannot change
	}
	matched := h.dequeue(func(*Watcher) bool { return true }, h.end)
	h.mu.Unlock()
	notifyAll(matched)
}
