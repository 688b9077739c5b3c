package upstream

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// slot is what a request on its way holds.
type slot int

const (
	writing slot = iota
	reading
	watching
)

// slotFor says which one a request takes.
func slotFor(req *Request) slot {
	switch {
	case req.Watch:
		return watching
	case safe(req.Method):
		return reading
	}
	return writing
}

// slots bounds the requests on their way. Reads do not get all there are: clients that
// are slow to take large answers hold theirs for long, and writes must go on. As long
// as nobody has to wait, a request takes no lock.
type slots struct {
	limit, readLimit int64

	inUse   atomic.Int64 // all in the lower half, the reads among them in the upper
	waiting atomic.Int64
	mu      sync.Mutex
	queues  [2]list.List // of *turn; for writes and for reads
	lastSeq uint64
}

// turn is the place of one that waits: the lower the earlier.
type waiter struct {
	seq     uint64
	granted chan struct{}
}

const (
	aRequest = 1
	aRead    = 1<<32 | aRequest
)

var weights = [...]int64{writing: aRequest, reading: aRead}

func newSlots(most int) *slots {
	return &slots{limit: int64(most), readLimit: int64(max(1, most-max(1, most/8)))}
}

// try takes a slot if one is free. It is never taken in passing, which could keep
// another from a free one.
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

// take takes a slot, now or when it is this one's turn.
func (p *slots) acquire(ctx context.Context, s slot, patience time.Duration) error {
	if p.waiting.Load() == 0 && p.try(s) {
		return nil
	}
	p.mu.Lock()
	p.lastSeq++
	t := &waiter{seq: p.lastSeq, granted: make(chan struct{})}
	place := p.queues[s].PushBack(t)
	p.waiting.Add(1) // whoever gives a slot back from now on sees it
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
		return nil // at the last moment
	default:
	}
	p.queues[s].Remove(place)
	p.waiting.Add(-1)
	return err
}

// give gives a slot back.
func (p *slots) release(s slot) {
	p.inUse.Add(-weights[s])
	if p.waiting.Load() > 0 {
		p.mu.Lock()
		p.grantWaiting()
		p.mu.Unlock()
	}
}

// admit lets in who waits, in their order; p.mu is held.
func (p *slots) grantWaiting() {
	for {
		write, read := p.queues[writing].Front(), p.queues[reading].Front()
		switch {
		case read != nil && (write == nil || read.Value.(*waiter).seq < write.Value.(*waiter).seq) && p.try(reading):
			p.grant(reading, read)
		case write != nil && p.try(writing):
			p.grant(writing, write)
		default:
			return // a read that is later than a write fits only where the write does
		}
	}
}

func (p *slots) grant(s slot, place *list.Element) {
	close(p.queues[s].Remove(place).(*waiter).granted)
	p.waiting.Add(-1)
}

// enter takes a slot, which leave gives back.
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
