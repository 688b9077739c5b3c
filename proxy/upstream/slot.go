package upstream

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// slot is the kind of slot that a request in flight holds.
type slot int

const (
	writing slot = iota
	reading
	watching
)

// slotFor returns the kind of slot that a request needs.
func slotFor(req *Request) slot {
	switch {
	case req.Watch && !req.Past:
		return watching
	case safe(req.Method):
		return reading
	}
	return writing
}

// slots bounds the requests in flight. Some slots are reserved for writes: clients that are
// slow to take large answers hold read slots for long, and writes must go on. While no
// request waits, acquiring a slot needs no lock.
type slots struct {
	limit, readLimit int64

	inUse   atomic.Int64 // the number of all requests in the lower half, of reads in the upper half
	waiting atomic.Int64
	mu      sync.Mutex
	queues  [2]list.List // of *waiter; for writes and for reads
	lastSeq uint64
}

// waiter is one waiting request. A lower seq was earlier.
type waiter struct {
	seq     uint64
	granted chan struct{}
}

const (
	aRequest = 1
	aRead    = 1<<32 | aRequest
)

var weights = [...]int64{writing: aRequest, reading: aRead}

func newSlots(limit int) *slots {
	return &slots{limit: int64(limit), readLimit: int64(max(1, limit-max(1, limit/8)))}
}

// try acquires a slot if one is free. It compares and swaps rather than adding and undoing:
// a transient over-count could make a concurrent try fail although a slot is free.
func (p *slots) try(s slot) bool {
	for {
		now := p.inUse.Load()
		if now&(1<<32-1) >= p.limit || s == reading && now>>32 >= p.readLimit {
			return false
		}
		if p.inUse.CompareAndSwap(now, now+weights[s]) {
			return true
		}
	}
}

// acquire acquires a slot, and waits in the order of arrival if none is free.
func (p *slots) acquire(ctx context.Context, s slot, patience time.Duration) error {
	if p.waiting.Load() == 0 && p.try(s) {
		return nil
	}
	p.mu.Lock()
	p.lastSeq++
	t := &waiter{seq: p.lastSeq, granted: make(chan struct{})}
	place := p.queues[s].PushBack(t)
	p.waiting.Add(1) // from now on each release sees it
	p.grantWaiting()
	p.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = context.DeadlineExceeded
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-t.granted:
		return nil // granted at the last moment
	default:
	}
	p.queues[s].Remove(place)
	p.waiting.Add(-1)
	return err
}

// release releases a slot.
func (p *slots) release(s slot) {
	p.inUse.Add(-weights[s])
	if p.waiting.Load() > 0 {
		p.mu.Lock()
		p.grantWaiting()
		p.mu.Unlock()
	}
}

// grantWaiting grants free slots to waiters in their order; p.mu is held.
func (p *slots) grantWaiting() {
	for {
		write, read := p.queues[writing].Front(), p.queues[reading].Front()
		switch {
		case read != nil && (write == nil || read.Value.(*waiter).seq < write.Value.(*waiter).seq) && p.try(reading):
			p.grant(reading, read)
		case write != nil && p.try(writing):
			p.grant(writing, write)
		default:
			return // a read behind a write needs a slot that the write could use as well
		}
	}
}

func (p *slots) grant(s slot, place *list.Element) {
	close(p.queues[s].Remove(place).(*waiter).granted)
	p.waiting.Add(-1)
}

// acquire acquires a slot, which release releases.
func (p *Pool) acquire(ctx context.Context, s slot) *Error {
	if s == watching {
		if !p.watches.TryAcquire(1) {
			return &Error{Kind: Busy, Err: errors.New("too many watches")}
		}
		p.count.Watching.Add(1)
		return nil
	}
	if err := p.slots.acquire(ctx, s, p.o.HeaderTimeout); err != nil {
		if ctx.Err() != nil {
			return &Error{Kind: Canceled, Err: context.Cause(ctx)}
		}
		return &Error{Kind: Busy, Err: errors.New("too many requests")}
	}
	p.count.Active.Add(1)
	return nil
}

func (p *Pool) release(s slot) {
	if s == watching {
		p.count.Watching.Add(-1)
		p.watches.Release(1)
		return
	}
	p.count.Active.Add(-1)
	p.slots.release(s)
}
