package account

import (
	"math"
	"time"
)

// Reclaim revokes holders of up to so many bytes, in all pools: those of accounts above their
// share in the order of their classes, accounts that have proved a password last, and then
// what is silent or stalled, whoever holds it. It returns the bytes that will be released.
func (l *Ledger) Reclaim(bytes int64) (taken int64) {
	r := ledgerReclaim{pools: l.table.Pools(), left: bytes, now: time.Now()}
	above, rest := l.creditors()
	for _, proved := range []bool{false, true} {
		for class := Silent; class < Busy; class++ {
			r.take(above, class, func(c *creditor) bool { return c.proved == proved })
		}
	}
	everybody := append(above, rest...)
	for i := range everybody {
		everybody[i].excess = math.MaxInt64
	}
	for class := Silent; class <= Stalled; class++ {
		r.take(everybody, class, func(*creditor) bool { return true })
	}
	return r.taken
}

// ledgerReclaim is one call of Reclaim.
type ledgerReclaim struct {
	pools       []*Pool
	left, taken int64 // bytes
	now         time.Time
}

// take revokes holders of a class.
func (r *ledgerReclaim) take(from []creditor, class Class, may func(*creditor) bool) {
	for i := range from {
		if c := &from[i]; r.left > 0 && may(c) {
			for _, p := range r.pools {
				if p.bytes > 0 {
					r.takeOf(p, c, class)
				}
			}
		}
	}
}

// takeOf revokes holders of a class in one pool.
func (r *ledgerReclaim) takeOf(p *Pool, c *creditor, class Class) {
	revoked := 0
	for _, h := range c.account.holdersOf(p) {
		if r.left <= 0 || c.excess <= 0 {
			break
		}
		if h.Class() != class {
			continue
		}
		if n := p.bytes * h.Revoke(class); n > 0 {
			r.left -= n
			r.taken += n
			c.excess -= n
			revoked++
		}
	}
	if revoked == 0 {
		return
	}
	if c.above && p.pauses {
		c.account.pause(r.now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked += uint64(revoked)
}
