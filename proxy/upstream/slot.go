package upstream

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"
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

// enter takes a slot, which leave gives back. Reads do not get all there are: clients
// that are slow to take large answers hold theirs for long, and writes must go on.
func (p *Pool) enter(ctx context.Context, s slot) *Error {
	if s == watching {
		if !p.watches.TryAcquire(1) {
			return &Error{Kind: Busy, Err: errors.New("too many watches")}
		}
		p.count.Watching.Add(1)
		return nil
	}
	if s == reading {
		if err := p.wait(ctx, p.reads); err != nil {
			return err
		}
	}
	if err := p.wait(ctx, p.requests); err != nil {
		if s == reading {
			p.reads.Release(1)
		}
		return err
	}
	p.count.Active.Add(1)
	return nil
}

// wait takes a place of a semaphore, now or when there is one.
func (p *Pool) wait(ctx context.Context, places *semaphore.Weighted) *Error {
	if places.TryAcquire(1) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, p.o.HeaderTimeout)
	defer cancel()
	if err := places.Acquire(waiting, 1); err != nil {
		if ctx.Err() != nil {
			return &Error{Kind: Canceled, Err: context.Cause(ctx)}
		}
		return &Error{Kind: Busy, Err: errors.New("too many requests")}
	}
	return nil
}

func (p *Pool) leave(s slot) {
	if s == watching {
		p.count.Watching.Add(-1)
		p.watches.Release(1)
		return
	}
	p.count.Active.Add(-1)
	p.requests.Release(1)
	if s == reading {
		p.reads.Release(1)
	}
}
