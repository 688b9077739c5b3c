package shadow

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"etcd-tlsproxy/proxy/account"
)

const (
	// standbyPeriod is how long a proxy that does not append lets the one that does go ahead.
	standbyPeriod = 250 * time.Millisecond
	// retryPeriod is the time between two attempts.
	retryPeriod = 200 * time.Millisecond
	// minEvent is what an event is charged besides its bytes.
	minEvent = 1 << 10
)

// reader reads the events of the v2 API in their order.
type reader struct {
	s *Shadow
	// changed is sent to when there is another event or another tree, and asked when a watch is to be asked again.
	changed, asked chan struct{}

	mu    sync.Mutex
	queue []*event
	// next is the index of the next event to read; 0 is not known.
	next uint64
}

// wake tells whoever appends that there may be something to do. It does not wait.
func (r *reader) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// ask makes the watch that waits ask again.
func (r *reader) ask() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// run reads until the shadow is closed.
func (r *reader) run() {
	for r.s.ctx.Err() == nil {
		next := r.from()
		events, err := r.read(next)
		switch {
		case errors.Is(err, errCleared):
			r.cleared(next)
		case err != nil:
			r.s.fail(&r.s.unread, "the events of the v2 API cannot be read: "+err.Error())
			r.s.pause(retryPeriod)
		default:
			r.s.fail(&r.s.unread, "")
			for i := 0; i < len(events) && r.charge(events[i]); i++ {
				r.add(events[i])
			}
			if len(events) > 0 {
				r.standBy()
			}
		}
	}
}

// from returns the index of the next event to read: behind those that wait, and behind what the tree has.
func (r *reader) from() uint64 {
	index, _, ok := r.s.at()
	r.mu.Lock()
	defer r.mu.Unlock()
	if ok {
		r.drop(index)
		if len(r.queue) > 0 && r.queue[0].after > index || len(r.queue) == 0 && r.next != index+1 {
			// What the tree needs next is not there. Perhaps etcd still has it.
			r.clear()
			r.next = index + 1
		}
	}
	return r.next
}

// drop forgets the events that the tree has; r.mu is held.
func (r *reader) drop(index uint64) {
	n := 0
	for n < len(r.queue) && r.queue[n].index <= index {
		r.s.pool.Release(r.s.account, r.queue[n].bytes, account.Ordinary)
		n++
	}
	clear(r.queue[:n])
	r.queue = r.queue[n:]
}

// clear forgets all events; r.mu is held.
func (r *reader) clear() { r.drop(^uint64(0)) }

// charge makes room for an event. Without a tree the oldest ones make way; otherwise etcd keeps those that follow.
func (r *reader) charge(e *event) bool {
	for !r.s.pool.TryAcquire(r.s.account, e.bytes, account.Ordinary) {
		if _, _, ok := r.s.at(); ok {
			if !r.s.pause(retryPeriod) {
				return false
			}
			continue
		}
		r.mu.Lock()
		if len(r.queue) == 0 {
			r.mu.Unlock()
			return false
		}
		r.drop(r.queue[len(r.queue)/2].index)
		r.mu.Unlock()
	}
	return true
}

// add adds an event to those that wait.
func (r *reader) add(e *event) {
	r.mu.Lock()
	r.queue = append(r.queue, e)
	r.next = e.index + 1
	r.mu.Unlock()
	r.wake()
}

// standBy lets another proxy append what was read. If it does, nothing of that need be read here.
func (r *reader) standBy() {
	before, _, ok := r.s.at()
	if !ok || r.s.store.Keeps() {
		return
	}
	for end := time.Now().Add(standbyPeriod); time.Now().Before(end) && r.s.pause(standbyPeriod/10); {
		if now, _, _ := r.s.at(); now != before {
			continue
		}
		r.mu.Lock()
		waiting := len(r.queue)
		r.mu.Unlock()
		if waiting > 1 { // it does not
			return
		}
	}
}

// first returns the first events behind those that the tree has.
func (r *reader) first(index uint64) []*event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(index)
	return slices.Clone(r.queue[:min(len(r.queue), maxOps)])
}

// waitingEvents returns how many events wait.
func (r *reader) waitingEvents() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}

// errCleared means that etcd has forgotten the events at an index.
var errCleared = errors.New("the v2 API has forgotten the events")

// cleared goes on with what etcd has.
func (r *reader) cleared(next uint64) {
	r.s.lose(fmt.Sprintf("the v2 API has forgotten the events from the index %d on", next))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	r.next = 0
}
