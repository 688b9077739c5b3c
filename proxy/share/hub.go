package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strconv"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/upstream"
)

// place is what a hub is for. With since 0 it follows all events from now on;
// else it waits for the first one from an index on that no ring covers.
type place struct {
	path      string
	recursive bool
	since     uint64
}

// hub is one watch at etcd and those who wait for its events.
type hub struct {
	place
	watches *Watches
	cancel  context.CancelFunc
	ready   chan struct{} // closed when head or err is there
	head    *Head         // etcd's answer; a refusal if its status is not 200
	err     error

	// Under the lock of watches.
	users  int // who waits, or is about to
	sent   bool
	unused *time.Timer

	mu      sync.Mutex
	ring    ring
	waiting []*Watcher
	end     *Event // set when the hub has ended
}

// target is what etcd is asked. With stream it sends each event once it happens,
// so nothing can slip between two requests. What a late waitIndex finds in etcd's
// history is a little more: events of hidden keys, and deletions of directories
// above a key that did not exist. A watcher that came in time never sees these.
func (p place) target() string {
	query := "?wait=true&stream=true"
	if p.since != 0 {
		query = "?wait=true&waitIndex=" + strconv.FormatUint(p.since, 10)
	}
	if p.recursive {
		query += "&recursive=true"
	}
	return p.path + query
}

// Why a hub ends.
var (
	errEnded     = errors.New("etcd ended the watch")
	errUnused    = errors.New("nobody watches")
	errElsewhere = errors.New("the endpoints are of different clusters")
)

// run carries the watch from its request to its end.
func (h *hub) run(ctx context.Context) {
	h.watches.send(h)
	resp, err := h.watches.pool.Do(ctx, &upstream.Request{Method: "GET", Target: h.target(), Watch: true})
	if err == nil {
		defer resp.Close()
		err = h.begin(resp)
	}
	if err != nil {
		h.err = err
		h.stop(err)
		close(h.ready)
		return
	}
	if h.head.Status != 200 {
		h.stop(errEnded)
		close(h.ready)
		return
	}
	close(h.ready)
	h.stop(h.follow(resp))
}

// begin reads the head, and all of an answer that is none to a watch.
func (h *hub) begin(resp *upstream.Response) error {
	head := newHead(resp)
	if head.Status != 200 {
		var err error
		if head.Body, err = io.ReadAll(io.LimitReader(resp, mostShared)); err != nil {
			return err
		}
	} else if head.Index == 0 {
		return &upstream.Error{Kind: upstream.Broken, Err: errNoIndex}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.head = head
	h.ring.start, h.ring.last = head.Index+1, head.Index
	if h.since != 0 {
		h.ring.start, h.ring.last = h.since, h.since-1
	}
	return nil
}

// follow hands the events on. It returns why there are no more.
func (h *hub) follow(resp *upstream.Response) error {
	var line []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := resp.Read(buf)
		line = append(line, buf[:n]...)
		for {
			end := bytes.IndexByte(line, '\n')
			if end < 0 {
				break
			}
			e, err := parseEvent(bytes.Clone(line[:end+1]))
			if err != nil {
				return &upstream.Error{Kind: upstream.Broken, Err: err}
			}
			h.deliver(e)
			if h.since != 0 {
				return errEnded // it was asked for one
			}
			line = append(line[:0], line[end+1:]...)
		}
		switch {
		case err == io.EOF:
			return errEnded // etcd shuts down, or its buffer of events ran over
		case err != nil:
			return err
		case len(line) == 0 && cap(line) > 64<<10:
			line = nil // grown for one large event
		}
	}
}

// deliver wakes those who wait for an event. etcd tells a stream twice that the
// watched directory was deleted.
func (h *hub) deliver(e *Event) {
	h.mu.Lock()
	if e.Index <= h.ring.last {
		h.mu.Unlock()
		return
	}
	h.ring.add(e)
	woken := h.take(func(w *Watcher) bool { return w.since <= e.Index }, e)
	h.mu.Unlock()
	h.watches.count.Fanned.Add(uint64(len(woken)))
	wake(woken)
}

// take ends the waiting of those that match; h.mu is held.
func (h *hub) take(match func(*Watcher) bool, e *Event) (taken []*Watcher) {
	rest := h.waiting[:0]
	for _, w := range h.waiting {
		if match(w) {
			taken = append(taken, w)
			continue
		}
		w.at = len(rest)
		rest = append(rest, w)
	}
	clear(h.waiting[len(rest):])
	h.waiting = rest
	e.sending.Store(int32(len(taken)))
	for _, w := range taken {
		w.at = notWaiting
		w.woken = true
		w.result.Store(e)
	}
	return taken
}

// some is how many watchers are worth a goroutine.
const some = 64

// wake is not for under a lock: it takes others. To wake a watcher is to encrypt and
// write its event, so all processors take part.
func wake(woken []*Watcher) {
	share := max(some, (len(woken)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var others sync.WaitGroup
	for len(woken) > share {
		part := woken[:share]
		woken = woken[share:]
		others.Go(func() { wakeAll(part) })
	}
	wakeAll(woken)
	others.Wait()
}

func wakeAll(woken []*Watcher) {
	for _, w := range woken {
		w.waker.Wake()
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
	woken := h.take(func(*Watcher) bool { return true }, h.end)
	h.mu.Unlock()
	wake(woken)
}
