package account

import (
	"container/list"
	"context"
	"errors"
	"time"
)

// waiter is one waiting call of Acquire.
type waiter struct {
	account *Account
	n       int64
	kind    Kind
	settled chan struct{} // closed when the wait has ended; err is then set
	err     error
	place   *list.Element // in the queue of the account
}

// end ends the wait; the pool's lock is held.
func (w *waiter) end(err error) {
	w.err = err
	close(w.settled)
}

// hasEnded reports whether end was called; the pool's lock is held.
func (w *waiter) hasEnded() bool {
	select {
	case <-w.settled:
		return true
	default:
		return false
	}
}

func (p *Pool) acquireSlowly(ctx context.Context, a *Account, n int64, k Kind) error {
	w, err := p.enter(a, n, k)
	if w == nil {
		return err
	}
	select {
	case <-w.settled:
		return w.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.hasEnded() {
		return w.err // at the last moment
	}
	p.leave(w)
	err = context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		p.evict()
	}
	return err
}

func (p *Pool) tryAcquireSlowly(a *Account, n int64, k Kind) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.check(a, n, k) != nil {
		return false
	}
	p.refresh(a, time.Now())
	if p.queue.len == 0 {
		return p.take(a, n, k)
	}
	// Whoever does not wait must not take the place of one who does, so nobody is pushed.
	p.grantWaiters()
	among := everybody
	if next := p.queue.next(among); next != nil && k == Write && next.kind == Ordinary {
		among = writers // they need not wait for others
	}
	if !p.queue.overtakes(a, k, among) || !p.take(a, n, k) {
		return false
	}
	p.queue.endTurn(a)
	return true
}

// enter acquires the units at once and returns no waiter, or returns a waiter in the queue.
func (p *Pool) enter(a *Account, n int64, k Kind) (*waiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.check(a, n, k); err != nil {
		return nil, err
	}
	now := time.Now()
	p.refresh(a, now)
	if p.queue.len == 0 && p.take(a, n, k) {
		return nil, nil
	}
	alone := p.queue.len == 0
	w := p.push(a, n, k)
	if w.hasEnded() {
		return nil, w.err
	}
	p.congestion.add(now, alone)
	p.scheduleReclaim()
	return w, nil
}

// Most returns the units that can be acquired at once, if nothing is in use, for what is no
// write.
func (p *Pool) Most() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total - p.reserve
}

// check reports why units can never be acquired; p.mu is held.
func (p *Pool) check(a *Account, n int64, k Kind) error {
	most := p.total
	if k == Ordinary && !p.newcomers {
		most -= p.reserve
	}
	switch {
	case n <= 0:
		panic("BUG: no units of pool " + p.name + " are acquired")
	case n > most:
		return ErrTooLarge
	case p.perAccount > 0 && a.Held(p)+p.queue.unitsOf(a)+n > p.perAccount:
		return ErrTooMany
	}
	return nil
}

// push adds a waiter and grants what can be granted now, perhaps to this waiter; p.mu is
// held. Before it looks at the units in use it sets the flag, so each release that it does
// not see calls releasedWhileWaiting.
func (p *Pool) push(a *Account, n int64, k Kind) *waiter {
	w := &waiter{account: a, n: n, kind: k, settled: make(chan struct{})}
	p.queue.push(w)
	p.state.Or(waitersFlag)
	if p.queue.len > p.maxWaiters {
		last := p.queue.greediest()
		p.queue.remove(last)
		p.evict()
		last.end(ErrBusy)
	}
	p.grantWaiters()
	return w
}

// evict counts a waiter that gets nothing; p.mu is held.
func (p *Pool) evict() {
	p.evicted++
	p.evictedAt = time.Now()
}

// leave removes a waiter that gives up. Others may have waited behind it. p.mu is held.
func (p *Pool) leave(w *waiter) {
	p.queue.remove(w)
	p.grantWaiters()
}

// releasedWhileWaiting grants units that were released to the waiters.
func (p *Pool) releasedWhileWaiting(a *Account, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.usages.add(a, -n)
	p.queue.moved(a)
	kept := min(n, p.promised)
	p.promised -= kept
	p.early += n - kept
	p.grantWaiters()
}

// grantWaiters grants units to waiters as long as there are enough for the next in turn;
// p.mu is held. Nobody overtakes a waiter that needs more units than there are, except that
// writes need not wait for others: they have the reserve.
func (p *Pool) grantWaiters() {
	among := everybody
	for w := p.queue.next(among); w != nil; w = p.queue.next(among) {
		if p.take(w.account, w.n, w.kind) {
			p.queue.served(w)
			w.end(nil)
			continue
		}
		if w.kind == Write {
			break
		}
		among = writers
	}
	if p.queue.len == 0 {
		p.state.And(^uint64(waitersFlag))
	}
}
