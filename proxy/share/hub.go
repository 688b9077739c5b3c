package share

// Locks. Watches.mu guards the map of hubs and the users of each. hub.mu guards one hub's
// ring and watchers. If both are ever needed, Watches.mu comes first; today no code holds
// both, so that no hub can delay another. Notifiers are called without either, because
// they acquire the locks of their connections.

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

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
	weight  weight

	// Guarded by watches.mu.
	counted   bool      // in watches.past
	chained   bool      // in watches.chains
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
	defer h.releaseWeight()
	defer h.watches.waited(h)
	var resp *upstream.Response
	var head *Head
	var past *Event
	err := h.acquireWeight(ctx)
	if err == nil && h.since != 0 {
		err = h.acquirePast(ctx)
	}
	if err == nil {
		h.watches.recordRequest(h)
		resp, head, err = h.request(ctx, h.since)
	}
	switch {
	case err != nil:
	case head.Status != 200: // a complete answer instead of a watch
		h.head = head
		head.Body, err = readRefusal(resp)
		resp.Close()
	case h.since != 0:
		past, err = h.readPast(ctx, resp, head)
	}
	h.weight.past.Release()
	if err != nil || head.Status != 200 {
		h.err = err
		h.stop(errEnded)
		close(h.ready)
		return
	}
	h.publishHead(head)
	if past != nil {
		h.deliver(past)
		_ = h.weighEvent(len(past.Body)) // so that the next hub with an index is charged for it
		past.release()
		h.stop(errEnded)
		return
	}
	for h.since == 0 {
		if err := h.readEvent(ctx, resp); err != nil {
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
	err = h.readEvent(ctx, resp)
	if err == nil {
		err = errEnded // it had to deliver only one event
	}
	h.stop(err)
}

// readPast reads the event if it exists already. Otherwise the request becomes a watch, and
// the event is nil.
//
// The answer to a watch whose event exists is that of a read, so the request has the slot of
// a read, and no client gets a head before its event is in memory. Otherwise a client could
// make etcd send a large event as often as there are watches.
func (h *hub) readPast(ctx context.Context, resp *upstream.Response, head *Head) (*Event, error) {
	arrived := false
	if h.since <= head.Index {
		patience := h.watches.pastPatience
		if h.weight.past.IsLong() {
			patience = h.watches.longPatience
		}
		var err error
		if arrived, err = resp.Arrived(patience); err != nil {
			resp.Close()
			return nil, err
		}
	}
	if arrived {
		defer resp.Close()
		e, err := h.receive(ctx, resp, h.watches.texts.past)
		if err == nil {
			h.weight.past.Began(int64(len(e.Body)), true)
		}
		return e, err
	}
	h.weight.past.Missed()
	h.watches.waitForNext(h)
	err := h.acquireWeight(ctx)
	if err == nil {
		err = resp.KeepWatching()
	}
	if err != nil {
		resp.Close()
	}
	return nil, err
}

func (h *hub) request(ctx context.Context, since uint64) (*upstream.Response, *Head, error) {
	resp, err := h.watches.pool.Do(ctx, &upstream.Request{Method: "GET", Target: h.target(since), Watch: true, Past: h.since != 0})
	if err != nil {
		return nil, nil, err
	}
	head := newHead(resp)
	if head.Status == 200 && head.Index == 0 {
		resp.Close()
		return nil, nil, &upstream.Error{Kind: upstream.Broken, Err: errNoIndex}
	}
	if head.Status == 200 {
		h.watches.saw(head.cluster)
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
func (h *hub) readEvent(ctx context.Context, resp *upstream.Response) error {
	defer resp.Close()
	e, err := h.receive(ctx, resp, h.watches.texts.large)
	if err != nil {
		return err
	}
	h.deliver(e)
	size := len(e.Body)
	e.release()
	return h.weighEvent(size)
}

// receive reads the event of an answer, which the caller uses.
func (h *hub) receive(ctx context.Context, resp *upstream.Response, places *semaphore.Weighted) (*Event, error) {
	t, err := h.watches.texts.receive(ctx, resp, places, h.wants)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errEnded // etcd does this when it shuts down
	}
	return h.watches.texts.newEvent(t), nil
}

// stop ends the hub and fails its watchers, whose number it returns.
func (h *hub) stop(reason error) (watchers int) {
	h.cancel()
	h.watches.remove(h)
	h.mu.Lock()
	if h.end != nil {
		h.mu.Unlock()
		return 0
	}
	h.end = &Event{Err: reason, received: time.Now()}
	if h.since == 0 {
		h.ring.clear() // a hub with an index keeps its one event, which cannot change, for its users
	}
	matched := h.dequeue(func(*Watcher) bool { return true }, h.end)
	h.mu.Unlock()
	notifyAll(matched)
	return len(matched)
}

// forget drops the events of a hub that has ended and has no users any more.
func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring.clear()
}
