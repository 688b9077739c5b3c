package share

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// place is what a hub is for. With since 0 it follows all events from now on;
// else it waits for the first one from an index on that no ring covers.
type hubKey struct {
	path, key string // one tells the other
	recursive bool
	since     uint64
}

// hub is one watch at etcd and those who wait for its events.
type hub struct {
	hubKey
	watches *Watches
	cancel  context.CancelFunc
	ready   chan struct{} // closed when head or err is there
	head    *Head         // etcd's answer; a refusal if its status is not 200
	err     error

	// Under the lock of watches.
	users     int       // who waits, or is about to
	visits    uint64    // how often somebody came
	requested time.Time // when etcd was asked first
	expiry    *time.Timer
	delivered bool // somebody was told of an event

	mu      sync.Mutex
	ring    ring
	waiting []*Watcher
	end     *Event // set when the hub has ended
}

// target is what etcd is asked, for events from an index on; 0 is from now on.
//
// One event is asked for at a time. A stream would save the asking, but etcd lets a
// stream die without a word when it has a hundred events to send that nobody took
// yet, as when that many keys expire at once; what a waitIndex asks for is found in
// etcd's history, or etcd says that it is not there any more.
func (p hubKey) target(since uint64) string {
	query := "?wait=true"
	if since != 0 {
		query += "&waitIndex=" + strconv.FormatUint(since, 10)
	}
	if p.recursive {
		query += "&recursive=true"
	}
	return p.path + query
}

// Why a hub ends.
var (
	errEnded     = errors.New("etcd ended the watch")
	errCleared   = errors.New("etcd does not remember all events any more")
	errUnused    = errors.New("nobody watches")
	errElsewhere = errors.New("the endpoints are of different clusters")
	errBackwards = errors.New("etcd's index went backwards")
)

// run carries the hub from its first request to its end.
func (h *hub) run(ctx context.Context) {
	h.watches.recordRequest(h)
	resp, head, err := h.request(ctx, h.since)
	if err != nil || head.Status != 200 {
		h.err = err
		if err == nil { // a whole answer, and no watch
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
		err = errEnded // it was asked for one
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

// fits reports whether another answer goes on where the last one ended.
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

// begin lets those in who wait for the head.
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

// follow hands on the event that an answer brings.
func (h *hub) readEvent(resp *upstream.Response) error {
	defer resp.Close()
	body, err := readAll(resp)
	if err != nil {
		return err
	}
	if len(body) == 0 {
		return errEnded // which is how an etcd leaves that shuts down
	}
	e, err := parseEvent(body)
	if err != nil {
		return &upstream.Error{Kind: upstream.Broken, Err: err}
	}
	h.deliver(e)
	return nil
}

// concerns reports whether an event is one that etcd tells a watcher who came in
// time. Its history, from which late questions are answered, also has those of hidden
// keys below, and the end of directories whose name the key's begins with.
func (p hubKey) concerns(key string) bool {
	below, isBelow := strings.CutPrefix(key, strings.TrimSuffix(p.key, "/")+"/")
	return key == p.key || isBelow && !strings.Contains("/"+below, "/_") || strings.HasPrefix(p.key, strings.TrimSuffix(key, "/")+"/")
}

// deliver wakes those who wait for an event.
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
	woken := h.dequeue(func(w *Watcher) bool { return w.since <= e.Index }, e)
	h.mu.Unlock()
	if len(woken) > 0 {
		h.watches.countDelivered(h, len(woken))
	}
	notifyAll(woken)
}

// take ends the waiting of those that match; h.mu is held.
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

// some is how many watchers are worth a goroutine.
const minFanOutBatch = 64

// wake is not for under a lock: it takes others. To wake a watcher is to encrypt and
// write its event, so all processors take part.
func notifyAll(woken []*Watcher) {
	share := max(minFanOutBatch, (len(woken)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var others sync.WaitGroup
	for len(woken) > share {
		part := woken[:share]
		woken = woken[share:]
		others.Go(func() { notifyBatch(part) })
	}
	notifyBatch(woken)
	others.Wait()
}

func notifyBatch(woken []*Watcher) {
	for _, w := range woken {
		w.notifier.Notify()
	}
	for _, w := range woken {
		w.notifier.AfterNotify()
	}
}

// stop ends the hub, and the waiting of all.
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
		h.ring.events = nil // else: the first event from an index on stays what it is
	}
	woken := h.dequeue(func(*Watcher) bool { return true }, h.end)
	h.mu.Unlock()
	notifyAll(woken)
}
